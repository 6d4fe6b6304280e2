"""The target: the machine's own sshd where PATH leads to one that works unprivileged, else the embedded server."""

import asyncio
import contextlib
import os
import pwd
import re
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from tour.child import Child
from tour.failure import DemoError
from tour.server import Account, Server
from tour.shell import program_of_shell

_SHELLS = frozenset({"bash", "sh", "dash", "ash", "ksh"})
_START_LIMIT_S = 8.0


@dataclass(frozen=True, slots=True)
class Target:
    """Where the gateway connects to, as which account, and what to say of it."""

    port: int
    login: str
    host_key: str
    description: str


class _Unusable(Exception):
    """This sshd cannot serve here; the text says why."""


def present_user() -> str:
    """The login of the user that runs this; DemoError when the machine knows none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        raise DemoError(f"the user id {os.getuid()} has no entry in the password file: run this as a user") from None


@asynccontextmanager
async def running(folder: Path, home: Path, key: Path, embedded: bool) -> AsyncIterator[Target]:
    """A target that serves `home` to the holder of `key` (a private key's file, with its .pub beside it)."""
    login = present_user()
    folder.mkdir()
    host_key = asyncssh.generate_private_key("ssh-ed25519", comment="web1")
    (folder / "host_key").touch(mode=0o600)
    host_key.write_private_key(str(folder / "host_key"))
    public = host_key.export_public_key().decode().strip()
    note = ""
    async with contextlib.AsyncExitStack() as stack:
        program = None if embedded else shutil.which("sshd")
        if program is not None:
            try:
                port = await stack.enter_async_context(_sshd(Path(program).absolute(), folder, home, login, key))
            except _Unusable as why:
                note = f" (this machine's sshd cannot be used: {why})"
            else:
                yield Target(port, login, public, "this machine's own sshd")
                return
        account = Account(login, key.with_suffix(".pub").read_text(), home, _environment(login, home))
        server = Server(account)
        stack.push_async_callback(server.close)
        try:
            port = await server.start(host_key.export_private_key())
        except OSError as error:
            raise DemoError(f"the embedded SSH server cannot listen on 127.0.0.1: {error.strerror}") from None
        yield Target(port, login, public, f"an embedded SSH server{note}")


def _environment(login: str, home: Path) -> dict[str, str]:
    path = os.environ.get("PATH", os.defpath)
    names = {"HOME": str(home), "USER": login, "LOGNAME": login, "SHELL": program_of_shell()}
    return {**names, "PATH": path, "LANG": "C.UTF-8"}


@asynccontextmanager
async def _sshd(program: Path, folder: Path, home: Path, login: str, key: Path) -> AsyncIterator[int]:
    """Starts sshd with a configuration of its own, logs in once to see that it works; _Unusable when it does not."""
    shell = pwd.getpwnam(login).pw_shell or "/bin/sh"
    if Path(shell).name not in _SHELLS:
        raise _Unusable(f"the login shell of {login} is {shell}")
    port = _free_port()
    configuration = folder / "sshd_config"
    configuration.write_text(_configuration(port, folder, home, key.with_suffix(".pub")), encoding="utf-8")
    with _privilege_folder(await _complaint(program, configuration)):
        log = folder / "sshd.log"
        child = await Child.start([str(program), "-D", "-e", "-f", str(configuration)], cwd=folder, errors=log)
        try:
            await _log_in(child, port, login, home, key, log)
            yield port
        finally:
            await child.stop()


async def _complaint(program: Path, configuration: Path) -> str:
    child = await Child.start(
        [str(program), "-t", "-f", str(configuration)], errors=configuration.with_name("sshd-t.log")
    )
    try:
        async with asyncio.timeout(_START_LIMIT_S):
            status = await child.wait()
    except TimeoutError:
        await child.stop()
        raise _Unusable("sshd -t does not end") from None
    said = configuration.with_name("sshd-t.log").read_text(errors="replace").strip()
    if status and "privilege separation directory" not in said:
        raise _Unusable(said.splitlines()[-1] if said else f"sshd -t ends with status {status}")
    return said if status else ""


@contextlib.contextmanager
def _privilege_folder(complaint: str) -> Iterator[None]:
    """Makes the empty folder that sshd misses when root starts it on a machine where it never ran; removes it again."""
    found = re.search(r"privilege separation directory:? (/\S+)", complaint)
    if found is None:
        if complaint:
            raise _Unusable(complaint.splitlines()[-1])
        yield
        return
    missing = Path(found[1])
    try:
        missing.mkdir(mode=0o755)
    except OSError as error:
        raise _Unusable(f"cannot make {missing}: {error.strerror}") from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # another sshd uses it by now
            missing.rmdir()


async def _log_in(child: Child, port: int, login: str, home: Path, key: Path, log: Path) -> None:
    try:
        async with asyncio.timeout(_START_LIMIT_S):
            while True:
                with contextlib.suppress(ConnectionRefusedError):
                    connection = await asyncssh.connect(
                        *("127.0.0.1", port), config=[], username=login, client_keys=[str(key)], known_hosts=None,
                        agent_path=None, preferred_auth="publickey",
                    )  # fmt: skip
                    break
                if child.ended:
                    raise _Unusable(_last_line(log))
                await asyncio.sleep(0.03)
            async with connection:
                answer = await connection.run("tty && cd && pwd", term_type="dumb", timeout=_START_LIMIT_S)
    except TimeoutError:
        raise _Unusable("it does not answer") from None
    except (asyncssh.Error, OSError) as error:
        raise _Unusable(f"{error}: {_last_line(log)}") from None
    if answer.exit_status or str(home) not in str(answer.stdout):
        raise _Unusable(f"it gives no terminal in {home}")


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it ends at once"


def _configuration(port: int, folder: Path, home: Path, authorized: Path) -> str:
    path = os.environ.get("PATH", os.defpath)
    if '"' in f"{path}{folder}{home}":
        raise _Unusable('a path holds a "')
    keys = str(authorized).replace("%", "%%")
    return f"""\
Port {port}
ListenAddress 127.0.0.1
HostKey "{folder}/host_key"
PidFile none
AuthorizedKeysFile "{keys}"
AuthenticationMethods publickey
PermitRootLogin yes
StrictModes no
UsePAM no
UseDNS no
PermitUserRC no
PrintMotd no
PrintLastLog no
AllowTcpForwarding no
X11Forwarding no
AcceptEnv TACHO_* LANG LC_*
SetEnv "HOME={home}" "PATH={path}" "LANG=C.UTF-8"
Subsystem sftp internal-sftp
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
