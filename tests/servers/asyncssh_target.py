"""A target made with asyncssh in the test's own loop, for what OpenSSH's sshd does not do when it is asked."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import asyncssh

from tests.servers.gateway import TargetEntry

NAME = "web-made"
_CLOSE_LIMIT_S = 10.0


class Session(asyncssh.SSHServerSession[bytes]):
    """A session that accepts everything; its subclasses say what it does."""

    def __init__(self) -> None:
        self.channel: asyncssh.SSHServerChannel[bytes] | None = None
        self.seen: list[object] = []

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self.channel = chan

    def exec_requested(self, command: str) -> bool:
        return True

    def pty_requested(
        self, term_type: str, term_size: tuple[int, int, int, int], term_modes: Mapping[int, int]
    ) -> bool:
        return True

    def signal_received(self, signal: str) -> None:
        self.seen.append(signal)
        if self.channel is not None:
            self.channel.write(f"signal {signal}\n".encode())

    def break_received(self, msec: int) -> bool:
        self.seen.append(msec)
        return True

    def eof_received(self) -> bool:
        if self.channel is not None:
            self.channel.exit(0)
        return False


class _Owner(asyncssh.SSHServer):
    def __init__(self, factory: Callable[[], Session], accepted: list[asyncssh.SSHServerConnection]) -> None:
        self._factory = factory
        self._accepted = accepted

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._accepted.append(conn)

    def begin_auth(self, username: str) -> bool:
        return False

    def session_requested(self) -> Session:
        return self._factory()


@asynccontextmanager
async def target(factory: Callable[[], Session] = Session) -> AsyncIterator[TargetEntry]:
    """Serves until the context ends; what the gateway's configuration needs."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    accepted: list[asyncssh.SSHServerConnection] = []
    acceptor = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_factory=lambda: _Owner(factory, accepted),
        server_host_keys=[key],
        encoding=None,
        config=[],
    )
    try:
        public = key.export_public_key().decode().strip()
        yield TargetEntry(NAME, f"127.0.0.1:{acceptor.get_port()}", public)
    finally:
        # What is left open would be found, and complained of, in the middle of some later test.
        acceptor.close()
        for connection in accepted:
            connection.abort()
        async with asyncio.timeout(_CLOSE_LIMIT_S):
            await asyncio.gather(*(connection.wait_closed() for connection in accepted))
            await acceptor.wait_closed()
