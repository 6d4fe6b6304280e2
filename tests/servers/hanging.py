"""Targets that misbehave, each at a stage of its own: they fall silent, talk without end, or talk nonsense."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import asyncssh
from asyncssh.connection import SSHServerConnection
from asyncssh.constants import MSG_GLOBAL_REQUEST, MSG_IGNORE, MSG_KEXINIT, MSG_SERVICE_REQUEST
from asyncssh.packet import Boolean, SSHPacket, String

from tests.servers.gateway import TargetEntry
from tests.servers.process import Server, environment

_MIB = 1024 * 1024
_BANNERS = 40
_POURED = 50  # times 300 packets
_VERSION = b"SSH-2.0-Test_1\r\n"


async def _stall(_handler: object, _kind: int, _id: int, _packet: SSHPacket) -> None:
    """Takes a packet and never comes to the next."""
    await asyncio.Event().wait()


class _Session(asyncssh.SSHServerSession[bytes]):
    """Accepts everything; then does as its stage says."""

    def __init__(self, stage: str, connection: SSHServerConnection) -> None:
        self._stage = stage
        self._connection = connection
        self._channel: asyncssh.SSHServerChannel[bytes] | None = None

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self._channel = chan

    def exec_requested(self, command: str) -> bool:
        return True

    def session_started(self) -> None:
        assert self._channel is not None
        self._channel.write(b"up\n")
        if self._stage == "data":
            asyncio.get_running_loop().call_soon(self._channel.pause_reading)  # asyncssh begins to read after this
        elif self._stage == "dead":
            transport = self._connection._transport
            assert transport is not None
            transport.pause_reading()
        elif self._stage == "flood":
            asyncio.get_running_loop().call_soon(self._pour, _POURED)
        elif self._stage == "garbage":
            asyncio.get_running_loop().call_later(0.1, self._garble)

    def _pour(self, left: int) -> None:
        assert self._channel is not None
        for _ in range(100):
            self._connection.send_debug("x" * 100)
            self._connection.send_packet(MSG_IGNORE, String(b"x" * 100))
            self._connection.send_packet(MSG_GLOBAL_REQUEST, String("x@test.example"), Boolean(False))
        if left:
            asyncio.get_running_loop().call_soon(self._pour, left - 1)
        else:
            self._channel.exit(0)

    def _garble(self) -> None:
        transport = self._connection._transport
        if transport is not None:
            transport.write((64).to_bytes(4, "big") + os.urandom(100_000))

    def eof_received(self) -> bool:
        return True


class _Owner(asyncssh.SSHServer):
    def __init__(self, stage: str) -> None:
        self._stage = stage

    def connection_made(self, conn: SSHServerConnection) -> None:
        self._connection = conn
        silent = {"kexinit": MSG_KEXINIT, "service": MSG_SERVICE_REQUEST}.get(self._stage)
        if silent is not None:
            conn._packet_handlers = {**conn._packet_handlers, silent: _stall}

    async def begin_auth(self, username: str) -> bool:
        if self._stage == "authentication":
            await asyncio.Event().wait()
        if self._stage == "banner of 1 MB":
            self._connection.send_auth_banner("x" * _MIB)
        elif self._stage == "many banners":
            for _ in range(_BANNERS):
                self._connection.send_auth_banner("x" * 30_000)
        return False

    async def session_requested(self) -> asyncssh.SSHServerSession[bytes]:
        if self._stage == "channel":
            await asyncio.Event().wait()
        return _Session(self._stage, self._connection)


_SSH = ("kexinit", "service", "authentication", "banner of 1 MB", "many banners", "channel")
_SSH_SESSIONS = ("exec", "data", "dead", "flood", "garbage")


async def _hushed(said: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(said)
    await reader.read()
    writer.close()


async def _endless(piece: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        for _ in range(64 * _MIB // len(piece)):
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        pass  # that is what the test wants
    finally:
        writer.close()


_RAW: dict[str, Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]] = {
    "tcp": partial(_hushed, b""),
    "version": partial(_hushed, _VERSION),
    "line of 1 MB": partial(_hushed, b"x" * _MIB),
    "endless lines": partial(_endless, b"welcome\r\n" * 1000),
    "long version": partial(_hushed, _VERSION.strip() * 100 + b"\r\n"),
    "huge packet": partial(_hushed, _VERSION + b"\x7f" * _MIB),
}


def name_of(stage: str) -> str:
    """The target's name."""
    return "web-" + stage.replace(" ", "-")


async def _listen(key: asyncssh.SSHKey) -> dict[str, int]:
    ports: dict[str, int] = {}
    for stage in _SSH + _SSH_SESSIONS:
        acceptor = await asyncssh.listen(
            "127.0.0.1", 0, server_factory=partial(_Owner, stage), server_host_keys=[key], encoding=None, config=[],
            login_timeout=0,
        )  # fmt: skip
        ports[stage] = acceptor.get_port()
    for stage, talk in _RAW.items():
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        ports[stage] = server.sockets[0].getsockname()[1]
    return ports


async def _serve() -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    public = key.export_public_key().decode().strip()
    ports = await _listen(key)
    sys.stdout.write(f"ready {json.dumps({'key': public, 'ports': ports})}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


@contextmanager
def hanging(folder: Path) -> Iterator[list[TargetEntry]]:
    """Serves all of them in a process of its own; what the gateway's configuration needs."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.servers.hanging"]
    with Server(command, folder / "hanging.log", environment(PYTHONPATH=str(root))) as server:
        said = json.loads(server.line("^ready (.*)$")[1])
        yield [TargetEntry(name_of(stage), f"127.0.0.1:{port}", said["key"]) for stage, port in said["ports"].items()]


if __name__ == "__main__":
    asyncio.run(_serve())
