"""What paramiko's threads may send to a channel that both sides have closed: as with sshd, nothing comes of it."""

import asyncssh
import pytest
from asyncssh.constants import MSG_CHANNEL_DATA, MSG_CHANNEL_WINDOW_ADJUST
from asyncssh.packet import String, UInt32

from tests.interop.ways import Way, Ways
from tests.servers.client import run

pytestmark = pytest.mark.service


async def _closed_channel(connection: asyncssh.SSHClientConnection) -> int:
    """The other side's number of a channel that is over."""
    process = await connection.create_process("cat", encoding=None)
    number = process.channel._send_chan
    process.stdin.write_eof()
    assert (await process.wait()).exit_status == 0
    await process.channel.wait_closed()
    assert isinstance(number, int)
    return number


def test_window_of_a_closed_channel(ways: Ways) -> None:
    def work(way: Way) -> list[object]:
        async def talk() -> list[object]:
            async with way.client.connect() as connection:
                number = await _closed_channel(connection)
                connection.send_packet(MSG_CHANNEL_WINDOW_ADJUST, UInt32(number), UInt32(1000))
                done = await connection.run("echo two", encoding=None)
                return [done.exit_status, done.stdout]

        return run(talk())

    said, (tape,) = ways.same(work)
    assert said == [0, b"two\n"]
    assert tape.commands() == {1: b"cat", 2: b"echo two"}


@pytest.mark.parametrize(
    ("kind", "beyond"), [(MSG_CHANNEL_DATA, 0), (MSG_CHANNEL_DATA, 1000), (MSG_CHANNEL_WINDOW_ADJUST, 1000)]
)
def test_what_else_comes_for_no_channel_ends_the_connection(ways: Ways, kind: int, beyond: int) -> None:
    async def talk() -> None:
        async with ways.through.client.connect() as connection:
            closed = await _closed_channel(connection)
            payload = String(b"data") if kind == MSG_CHANNEL_DATA else UInt32(1000)
            connection.send_packet(kind, UInt32(closed + beyond), payload)
            with pytest.raises((asyncssh.Error, OSError)):
                await connection.run("echo two", encoding=None)

    watch = ways.gateway.watch()
    run(talk())
    watch.tape()
