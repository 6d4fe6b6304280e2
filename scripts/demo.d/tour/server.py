"""The embedded SSH server: real shells, commands and SFTP as the present user, on a loopback port. For demo and tests.

It accepts one key for one login, forwards nothing, and knows the environment that sshd's `AcceptEnv` lets through.
"""

import asyncio
import os
import posixpath
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from tour import shell

_ACCEPTED = ("TACHO_", "LANG", "LC_")
_CLOSE_LIMIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Account:
    """Who may log in, and into what: `key` is a public key line, `environment` what every process starts with."""

    login: str
    key: str
    home: Path
    environment: dict[str, str]


class _Doorkeeper(asyncssh.SSHServer):
    def __init__(self, account: Account) -> None:
        self._login = account.login
        self._key = asyncssh.import_public_key(account.key)

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == self._login and key.public_data == self._key.public_data


class _Files(asyncssh.SFTPServer):
    """SFTP whose relative paths begin at the account's home, as sshd's do."""

    def __init__(self, chan: "asyncssh.SSHServerChannel[bytes]", home: Path) -> None:
        super().__init__(chan)
        self._home = os.fsencode(home)

    def map_path(self, path: bytes) -> bytes:
        return posixpath.join(self._home, path)


class Server:
    """Serves one account on 127.0.0.1 from `start` to `close`."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._acceptor: asyncssh.SSHAcceptor | None = None
        self._running: set[asyncio.Task[None]] = set()

    async def start(self, host_key: bytes) -> int:
        """Listens on a free port, which it returns; `host_key` is a private key in OpenSSH form."""
        self._acceptor = await asyncssh.listen(
            "127.0.0.1",
            0,
            config=[],
            server_factory=lambda: _Doorkeeper(self._account),
            server_host_keys=[asyncssh.import_private_key(host_key)],
            process_factory=self._process,
            sftp_factory=lambda channel: _Files(channel, self._account.home),
            encoding=None,
            line_editor=False,
            password_auth=False,
            kbdint_auth=False,
            host_based_auth=False,
            gss_host=None,
            agent_forwarding=False,
            x11_forwarding=False,
            login_timeout=30,
        )
        return self._acceptor.get_port()

    async def close(self) -> None:
        """Accepts no more, and ends what still runs."""
        if self._acceptor is not None:
            self._acceptor.close()
            await self._acceptor.wait_closed()
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=_CLOSE_LIMIT_S)

    def _process(self, process: shell.Process) -> None:
        task = asyncio.create_task(self._serve(process))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _serve(self, process: shell.Process) -> None:
        if process.subsystem is not None:
            process.exit(1)
            return
        asked = {name: value for name, value in process.env.items() if name.startswith(_ACCEPTED)}
        work = shell.Work(process.command, self._account.home, self._account.environment | asked)
        status = await (shell.on_pipes if process.term_type is None else shell.on_terminal)(process, work)
        if status >= 0:
            process.exit(status)
        else:
            process.exit_with_signal(shell.signal_name(-status))
