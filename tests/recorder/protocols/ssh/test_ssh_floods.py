"""Agents that send without end what is not data: memory stays small, answers clear, and others notice nothing."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import asyncssh
import pytest
from asyncssh.constants import (
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_OPEN,
    MSG_CHANNEL_OPEN_FAILURE,
    MSG_CHANNEL_REQUEST,
    MSG_CHANNEL_WINDOW_ADJUST,
    MSG_DEBUG,
    MSG_GLOBAL_REQUEST,
    MSG_IGNORE,
    MSG_UNIMPLEMENTED,
)
from asyncssh.packet import Boolean, SSHPacket, String, UInt32

from tests.servers.client import HOST, Client, run
from tests.servers.echo import Echo
from tests.servers.gateway import Gateway, TargetEntry
from tests.servers.site import Site
from tests.servers.tapes import Taped

pytestmark = pytest.mark.service

_MIB = 1024 * 1024
_FLOOD_S = 0.4
_UNSENT = 4 * _MIB  # bytes that the gateway does not read, at which the flood waits
_GROWTH = 48  # MiB

Connection = asyncssh.SSHClientConnection
Send = Callable[[Connection, int], None]


@pytest.fixture(scope="module")
def listening() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        made.listen(512)
        yield made.getsockname()[1]


@pytest.fixture(scope="module")
def flooded(site: Site, listening: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    entry = TargetEntry(
        "web-bastion", site.sshd.address, site.sshd.host_key, forward=(f"127.0.0.1:{listening}",)
    )  # fmt: skip
    gateway = site.start(tmp_path_factory.mktemp("flooded") / "g", entry)
    yield gateway
    assert gateway.server.running
    gateway.stop()
    gateway.assert_sound()


@pytest.fixture(scope="module")
def echo(site: Site, flooded: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Echo]:
    client = site.client(tmp_path_factory.mktemp("echo") / "c", flooded)
    with Echo(client, f"web1@{HOST}") as echoing:
        yield echoing


@pytest.fixture
def agent(site: Site, flooded: Gateway, tmp_path: Path) -> Client:
    return site.client(tmp_path / "agent", flooded, "web-bastion")


def _resident(pid: int) -> float:
    """MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / _MIB


def _on_channel(kind: int, *fields: bytes) -> Send:
    return lambda connection, channel: connection.send_packet(kind, UInt32(channel), *fields)


def _on_connection(kind: int, *fields: bytes) -> Send:
    return lambda connection, _: connection.send_packet(kind, *fields)


_OPEN = UInt32(7), UInt32(1024), UInt32(1024)
_SIZE = UInt32(80), UInt32(24), UInt32(0), UInt32(0)
_FLOODS = {
    "sessions": _on_connection(MSG_CHANNEL_OPEN, String("session"), *_OPEN),
    "unknown channels": _on_connection(MSG_CHANNEL_OPEN, String("x@test.example"), *_OPEN),
    "keepalives": _on_connection(MSG_GLOBAL_REQUEST, String("keepalive@openssh.com"), Boolean(True)),
    "unknown global requests": _on_connection(MSG_GLOBAL_REQUEST, String("x" * 200), Boolean(True)),
    "remote forwardings": _on_connection(
        MSG_GLOBAL_REQUEST, String("tcpip-forward"), Boolean(True), String("h"), UInt32(0)
    ),
    "unknown requests": _on_channel(MSG_CHANNEL_REQUEST, String("x@test.example"), Boolean(True), bytes(500)),
    "window changes": _on_channel(MSG_CHANNEL_REQUEST, String("window-change"), Boolean(False), *_SIZE),
    "large variables": _on_channel(
        MSG_CHANNEL_REQUEST, String("env"), Boolean(False), String("TEST_X"), String(bytes(30_000))
    ),
    "window adjusts": _on_channel(MSG_CHANNEL_WINDOW_ADJUST, UInt32(1)),
    "ignore": _on_connection(MSG_IGNORE, String(b"")),
    "debug": _on_connection(MSG_DEBUG, Boolean(True), String("x"), String("")),
    "unimplemented": _on_connection(MSG_UNIMPLEMENTED, UInt32(1)),
    "unknown messages": _on_connection(250, b"x"),
    "empty data": _on_channel(MSG_CHANNEL_DATA, String(b"")),
    "single bytes": _on_channel(MSG_CHANNEL_DATA, String(b"x")),
}


async def _flood(connection: Connection, send: Callable[[], None]) -> int:
    """Sends without reading for a while; how many were sent."""
    transport = connection._transport
    assert transport is not None
    transport.pause_reading()
    loop = asyncio.get_running_loop()
    end, count = loop.time() + _FLOOD_S, 0
    while loop.time() < end and connection._transport is not None:
        for _ in range(50):
            if transport.get_write_buffer_size() < _UNSENT:
                send()
                count += 1
        await asyncio.sleep(0)
    return count


def _flooded_by(agent: Client, gateway: Gateway, send: Send, command: str = "cat > /dev/null") -> tuple[Taped, float]:
    """The tape of a session that is flooded, and by how many MiB the gateway grew meanwhile."""

    async def talk() -> float:
        async with agent.connect() as connection:
            process = await connection.create_process(command, encoding=None)
            before = _resident(gateway.pid)
            channel = process.channel._send_chan or 0
            assert await _flood(connection, lambda: send(connection, channel)) > 200
            grown = _resident(gateway.pid) - before
            connection.abort()
            return grown

    watch = gateway.watch()
    grown = run(talk())
    return watch.tape(), grown


@pytest.mark.parametrize("flood", _FLOODS)
def test_flood(agent: Client, flooded: Gateway, echo: Echo, flood: str) -> None:
    mark = echo.mark()
    tape, grown = _flooded_by(agent, flooded, _FLOODS[flood])
    assert echo.median(mark) < 0.5
    assert grown < _GROWTH
    assert tape.closed


def test_single_bytes_that_a_target_does_not_read(agent: Client, flooded: Gateway, echo: Echo) -> None:
    mark = echo.mark()
    # The window of OpenSSH takes 2 MiB, the gateway's queue the rest.
    _, grown = _flooded_by(agent, flooded, _FLOODS["single bytes"], "sleep 60")
    assert echo.median(mark) < 0.5
    assert grown < _GROWTH


@pytest.mark.long
def test_gateway_does_not_read_from_a_peer_that_reads_no_answers(agent: Client, flooded: Gateway, echo: Echo) -> None:
    answered = 0

    def count(_handler: object, _kind: int, _id: int, _packet: SSHPacket) -> None:
        nonlocal answered
        answered += 1

    async def talk() -> int:
        with socket.socket() as narrow:
            narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            narrow.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            narrow.connect(("127.0.0.1", flooded.port))
            async with agent.connect(sock=narrow, host="", port=0) as connection:
                transport = connection._transport
                assert transport is not None
                connection._packet_handlers = {**connection._packet_handlers, MSG_CHANNEL_OPEN_FAILURE: count}
                transport.pause_reading()
                sent = 0
                while True:
                    size = transport.get_write_buffer_size()
                    if size < 512 * 1024:
                        for _ in range(100):
                            _FLOODS["unknown channels"](connection, 0)
                        sent += 100
                        await asyncio.sleep(0)
                        continue
                    await asyncio.sleep(0.3)
                    if transport.get_write_buffer_size() == size:
                        break
                transport.resume_reading()
                while answered < sent:
                    await asyncio.sleep(0.01)
                return sent

    mark = echo.mark()
    sent = run(talk())
    assert answered == sent
    assert echo.median(mark) < 0.5


def test_more_channels_than_a_connection_may_have(agent: Client, flooded: Gateway, listening: int) -> None:
    async def talk() -> list[asyncssh.ChannelOpenError]:
        async with agent.connect() as connection:
            opening = (connection.open_connection("127.0.0.1", listening, encoding=None) for _ in range(300))
            answers = await asyncio.gather(*opening, return_exceptions=True)
            refused = [answer for answer in answers if isinstance(answer, asyncssh.ChannelOpenError)]
            assert len(answers) - len(refused) == 256
            for answer in answers:
                if not isinstance(answer, BaseException):
                    answer[1].close()
                    await answer[1].wait_closed()
            await connection.open_connection("127.0.0.1", listening, encoding=None)
            return refused

    watch = flooded.watch()
    refused = run(talk())
    assert {error.code for error in refused} == {asyncssh.OPEN_RESOURCE_SHORTAGE}
    assert {error.reason for error in refused} == {"this connection has 256 channels, the most that it may have"}
    assert len(watch.tape().noted("channel")) == 257


def test_many_channels_that_are_not_read_hold_little(agent: Client, flooded: Gateway, echo: Echo) -> None:
    async def talk() -> float:
        async with agent.connect() as connection:
            before = _resident(flooded.pid)
            for _ in range(60):
                process = await connection.create_process("cat /dev/zero", encoding=None, window=1)
                assert process.channel is not None
            await asyncio.sleep(0.5)
            grown = _resident(flooded.pid) - before
            connection.abort()
            return grown

    mark = echo.mark()
    grown = run(talk())
    assert echo.median(mark) < 0.5
    assert grown < _GROWTH


def test_garbage_after_authentication(agent: Client, flooded: Gateway) -> None:
    async def talk() -> None:
        async with agent.connect() as connection:
            with suppress(asyncssh.Error):
                await connection.create_process("cat", encoding=None)
                transport = connection._transport
                assert transport is not None
                transport.write((64).to_bytes(4, "big") + bytes(100_000))
                await connection.wait_closed()

    watch = flooded.watch()
    run(talk())
    assert watch.tape().ended["reason"] == "the agent disconnected"
