"""Clients of this machine (ssh, scp, sftp, rsync, git) and asyncssh, pointed at a gateway or at an sshd."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, TypeVar

import asyncssh

from tests.servers.process import LIMIT_S, environment

_Value = TypeVar("_Value")
HOST = "gateway"  # the name that the clients use
Done = subprocess.CompletedProcess[bytes]
Running = subprocess.Popen[bytes]


class Client:
    """An agent's client: its key, its known_hosts, its ssh_config. `user` is what asyncssh connects as."""

    def __init__(self, folder: Path, port: int, host_key: str, key: Path, user: str) -> None:
        folder.mkdir()
        self.folder = folder
        self.port = port
        self.key = key
        self.user = user
        self.known_hosts = folder / "known_hosts"
        self.known_hosts.write_text(f"[127.0.0.1]:{port} {host_key}\n")
        self.config = folder / "ssh_config"
        self.config.write_text(
            f"Host {HOST}\n  HostName 127.0.0.1\n  Port {port}\nHost *\n  IdentityFile {key}\n  IdentitiesOnly yes\n"
            f"  IdentityAgent none\n  UserKnownHostsFile {self.known_hosts}\n  GlobalKnownHostsFile /dev/null\n"
            f"  StrictHostKeyChecking yes\n  BatchMode yes\n  ControlPath none\n  ConnectTimeout {LIMIT_S:.0f}\n"
        )
        self.env = environment(
            HOME=str(folder),
            GIT_SSH_COMMAND=f"ssh -F {self.config}",
            GIT_AUTHOR_NAME="a",
            GIT_AUTHOR_EMAIL="a@a.example",
            GIT_COMMITTER_NAME="a",
            GIT_COMMITTER_EMAIL="a@a.example",
            GIT_CONFIG_NOSYSTEM="1",
        )

    def command(self, program: str, *arguments: str | bytes) -> list[str | bytes]:
        """The command line of ssh, scp or sftp with this client's configuration."""
        return [program, "-F", str(self.config), *arguments]

    def run(self, command: Sequence[str | bytes], stdin: bytes = b"", limit: float = LIMIT_S, **env: str) -> Done:
        """Runs a program to its end."""
        return subprocess.run(command, input=stdin, capture_output=True, env=self.env | env, timeout=limit)

    def ssh(self, *arguments: str | bytes, stdin: bytes = b"", limit: float = LIMIT_S, **env: str) -> Done:
        """`ssh ARGUMENTS`, to its end."""
        return self.run(self.command("ssh", *arguments), stdin, limit, **env)

    def exec(self, command: str | bytes, stdin: bytes = b"", limit: float = LIMIT_S) -> Done:
        """Runs `command` on the target as asyncssh would, by ssh."""
        return self.ssh(f"{self.user}@{HOST}", command, stdin=stdin, limit=limit)

    @contextmanager
    def start(self, *arguments: str | bytes, stdin: int | IO[bytes] = subprocess.PIPE) -> Iterator[Running]:
        """`ssh ARGUMENTS`, running; what still runs at the end of the context is killed."""
        with subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *self.command("ssh", *arguments)],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.env,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    @asynccontextmanager
    async def connect(self, **options: object) -> AsyncIterator[asyncssh.SSHClientConnection]:
        """An asyncssh connection; `options` are asyncssh.connect's and win."""
        defaults: dict[str, object] = {
            "host": "127.0.0.1",
            "port": self.port,
            "username": self.user,
            "client_keys": [str(self.key)],
            "known_hosts": str(self.known_hosts),
            "agent_path": None,
            "config": [],
            "login_timeout": LIMIT_S,
        }
        connection = await asyncssh.connect(**(defaults | options))
        try:
            yield connection
        finally:
            connection.close()
            await connection.wait_closed()


def echo(ssh: Running, line: bytes) -> float:
    """Sends a line through a `cat` at the other end; the seconds until it is back."""
    stdin, stdout = ssh.stdin, ssh.stdout
    assert stdin is not None
    assert stdout is not None
    began = time.monotonic()
    stdin.write(line)
    stdin.flush()
    assert stdout.readline() == line
    return time.monotonic() - began


def run(work: Coroutine[object, object, _Value], limit: float = LIMIT_S) -> _Value:
    """Runs `work` in a loop of its own, `limit` seconds at most."""

    async def limited() -> _Value:
        async with asyncio.timeout(limit):
            return await work

    return asyncio.run(limited())
