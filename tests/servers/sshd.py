"""OpenSSH's sshd of this machine on a free loopback port, in a folder of its own."""

import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.servers.process import Server, ServerError, environment

_RUN = Path("/run/sshd")  # sshd, started by root, insists on it
_ATTEMPTS = 5
LOGIN = getpass.getuser()


class Sshd:
    """A running sshd that lets `LOGIN` in by the keys in `authorized_keys`."""

    def __init__(self, server: Server, folder: Path, port: int) -> None:
        self.server = server
        self.folder = folder
        self.port = port

    @classmethod
    def start(cls, folder: Path, authorized: Sequence[str] = (), options: Sequence[str] = ()) -> Self:
        """Starts it; `options` are lines of sshd_config that win over those here."""
        program = shutil.which("sshd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
        if program is None:
            raise ServerError("sshd is not installed: apt-get install openssh-server")
        if os.geteuid() == 0:
            _RUN.mkdir(mode=0o755, exist_ok=True)
        folder = folder.absolute()
        (folder / "home").mkdir(parents=True)
        new_key(folder / "host")
        (folder / "authorized_keys").write_text("".join(f"{line}\n" for line in authorized))
        for _ in range(_ATTEMPTS):
            port = _free_port()
            config = folder / "sshd_config"
            config.write_text("\n".join([*options, *_options(folder, port)]) + "\n")
            server = Server([program, "-D", "-e", "-f", str(config)], folder / "sshd.log", environment())
            try:
                server.line(r"^Server listening on ")
            except ServerError:
                server.stop()
                if "Address already in use" not in server.text():
                    raise
                continue
            return cls(server, folder, port)
        raise ServerError(f"no free port in {_ATTEMPTS} attempts")

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"127.0.0.1:{self.port}"

    @property
    def host_key(self) -> str:
        """The public half of its host key, as a line."""
        return public(self.folder / "host")

    @property
    def home(self) -> Path:
        """HOME of the sessions."""
        return self.folder / "home"

    def stop(self) -> None:
        """Ends it."""
        self.server.stop()


def _options(folder: Path, port: int) -> list[str]:
    return [
        f"ListenAddress 127.0.0.1:{port}",
        f"HostKey {folder}/host",
        f"PidFile {folder}/sshd.pid",
        f"AuthorizedKeysFile {folder}/authorized_keys",
        f'SetEnv HOME="{folder}/home" MARK=target',
        "AcceptEnv TACHO_* TEST_*",
        "StrictModes no",
        "UsePAM no",
        "UseDNS no",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "PermitRootLogin prohibit-password",
        "PermitUserRC no",
        "PrintMotd no",
        "PrintLastLog no",
        "MaxStartups 100",
        "MaxSessions 64",
        "AllowTcpForwarding yes",
        "AllowAgentForwarding yes",
        "PermitTunnel yes",
        "X11Forwarding yes",
        "Subsystem sftp internal-sftp",
        "LogLevel VERBOSE",
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def new_key(path: Path) -> Path:
    """A fresh Ed25519 key pair at `path` and `path`.pub."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", str(path)], check=True)
    return path


def public(path: Path) -> str:
    """The public line `TYPE BASE64` of the key at `path`."""
    return " ".join(path.with_name(path.name + ".pub").read_text().split()[:2])
