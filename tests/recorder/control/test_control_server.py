"""The socket's server: its bounds, what it says to garbage, its file from start to stop."""

import asyncio
import json
import os
import random
import socket
import sqlite3
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from recorder.catalogue.sqlite import Catalogue
from recorder.config import Config, parse
from recorder.control import Bounds, Control, ControlError
from recorder.control_client import ControlRefused, NoGateway, ask
from recorder.model import Attribution, Person, Right, Session
from recorder.rights import account
from tests.servers.client import run

ME = account(os.geteuid())


class NoSessions:
    """A gateway in which nothing runs."""

    def live(self) -> Sequence[Session]:
        return ()

    def end(self, session: str, reason: str) -> bool:
        return False


def config_in(folder: Path) -> Config:
    (folder / "var").mkdir(parents=True)
    return parse("", folder / "tachograph.toml")


@asynccontextmanager
async def control(config: Config, bounds: Bounds | None = None) -> AsyncIterator[Control]:
    catalogue = Catalogue(config.catalogue, write=True)
    try:
        async with Control(config, NoSessions(), catalogue, bounds or Bounds()) as running:
            yield running
    finally:
        catalogue.close()


@asynccontextmanager
async def connected(config: Config) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_unix_connection(str(config.socket))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def answer(reader: asyncio.StreamReader) -> dict[str, object]:
    line = await reader.readline()
    found: dict[str, object] = json.loads(line)
    return found


async def ping(config: Config) -> dict[str, object]:
    return await asyncio.to_thread(ask, config.socket, "ping")


def test_a_connection_may_ask_again_and_again(short_path: Path) -> None:
    config = config_in(short_path / "d")

    async def talk() -> None:
        async with control(config), connected(config) as (reader, writer):
            for _ in range(3):
                writer.write(b'{"verb": "ping"}\n')
                found = await answer(reader)
                assert (found["ok"], found["person"], found["pid"]) == (True, ME, os.getpid())
                assert found["rights"] == sorted(Right)
            writer.write(b'{"verb": "ping"}\n' * 20)
            assert [(await answer(reader))["ok"] for _ in range(20)] == [True] * 20
            writer.write_eof()
            assert await reader.read() == b""

    run(talk())


def test_garbage_is_answered_and_the_next_request_served(short_path: Path) -> None:
    config = config_in(short_path / "d")
    source = random.Random(20)
    lines = [source.randbytes(source.randrange(1, 2000)).replace(b"\n", b"") for _ in range(200)]
    lines += [b"", b"{}", b"[" * 60_000, b'{"verb":' * 8000, b'{"verb": "\\ud800"}', b"null", b'{"verb": "kill"}']

    async def talk() -> None:
        async with control(config), connected(config) as (reader, writer):
            for line in lines:
                writer.write(line + b"\n")
                found = await answer(reader)
                assert found["ok"] is False
                assert found["code"] == "malformed", line[:80]
                assert str(found["error"]).isprintable()
            writer.write(b'{"verb": "ping"}\n')
            assert (await answer(reader))["ok"] is True

    run(talk())


@pytest.mark.parametrize("size", [64 * 1024 + 1, 1_000_000])
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_that_is_too_long_ends_the_connection_with_a_word(short_path: Path, size: int, end: bytes) -> None:
    config = config_in(short_path / "d")

    async def talk() -> None:
        async with control(config):
            async with connected(config) as (reader, writer):
                writer.write(b"x" * size + end)
                assert (await answer(reader))["error"] == "a request has 65536 bytes at most"
                with_nothing_more = await _rest(reader)
                assert with_nothing_more == b""
            assert (await ping(config))["person"] == ME

    run(talk())


async def _rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""  # the gateway closed with bytes of ours unread


def test_half_a_line_is_no_request(short_path: Path) -> None:
    config = config_in(short_path / "d")

    async def talk() -> None:
        async with control(config), connected(config) as (reader, writer):
            writer.write(b'{"verb": "ping"}')
            writer.write_eof()
            assert (await answer(reader))["error"] == "a request is one whole line"

    run(talk())


@pytest.mark.parametrize("sent", [b"", b"{", b'{"verb": "ping"}\n{'])
def test_who_sends_too_slowly_is_cut_off(short_path: Path, sent: bytes) -> None:
    config = config_in(short_path / "d")

    async def talk() -> None:
        async with control(config, Bounds(request=0.1)):
            async with connected(config) as (reader, writer):
                writer.write(sent)
                assert (await _rest(reader)).count(b"\n") == sent.count(b"\n")
            assert (await ping(config))["person"] == ME

    run(talk())


def test_who_never_reads_is_cut_off(short_path: Path) -> None:
    config = config_in(short_path / "d")

    async def talk() -> None:
        async with control(config, Bounds(request=0.2)), connected(config) as (_, writer):
            writer.transport.pause_reading()  # type: ignore[attr-defined] # it reads as well as writes
            with pytest.raises(ConnectionError):
                await _ask_without_end(writer)

    run(talk())


async def _ask_without_end(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b'{"verb": "ping"}\n' * 1000)
        await writer.drain()


def test_more_connections_than_a_uid_may_have_are_told_so_and_later_ones_served(short_path: Path) -> None:
    config = config_in(short_path / "d")

    async def talk() -> None:
        async with control(config, Bounds(request=0.5, connections=12, of_one_uid=4)):
            said = await asyncio.gather(*(_hold(config) for _ in range(200)))
            assert sum(b"connections to the gateway already" in line for line in said) >= 150
            assert said.count(b"") >= 4  # those that were let in had nothing to say, and were cut off
            assert (await ping(config))["person"] == ME

    run(talk())


async def _hold(config: Config) -> bytes:
    """Connects, says nothing, and waits for what comes."""
    connection = socket.socket(socket.AF_UNIX)
    connection.setblocking(False)
    while connection.connect_ex(str(config.socket)):
        await asyncio.sleep(0.01)  # the queue is full: 200 come at once
    reader, writer = await asyncio.open_unix_connection(sock=connection)
    said = await _rest(reader)
    writer.close()
    return said


def test_the_gateways_stop_ends_every_connection_and_removes_the_socket(short_path: Path) -> None:
    config = config_in(short_path / "d")

    async def talk() -> None:
        async with control(config):
            held = [await asyncio.open_unix_connection(str(config.socket)) for _ in range(5)]
            held[0][1].write(b'{"verb"')
        for reader, writer in held:
            assert await _rest(reader) == b""
            writer.close()
        assert not config.socket.exists()
        with pytest.raises(NoGateway):
            await ping(config)

    run(talk())


def test_a_dead_gateways_socket_is_replaced(short_path: Path) -> None:
    config = config_in(short_path / "d")
    config.socket.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(config.socket))

    async def talk() -> None:
        async with control(config):
            assert (await ping(config))["person"] == ME

    run(talk())


def test_a_socket_that_has_taken_its_place_is_left_alone(short_path: Path) -> None:
    config = config_in(short_path / "d")

    async def talk() -> None:
        async with control(config):
            config.socket.rename(short_path / "old")
            async with control(config):
                assert (await ping(config))["person"] == ME
            config.socket.write_text("mine")
        assert config.socket.read_text() == "mine"

    run(talk())


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_owner_and_group_may_reach_the_socket_whatever_the_umask(short_path: Path, umask: int) -> None:
    config = config_in(short_path / "d")

    async def talk() -> None:
        async with control(config):
            status = config.socket.stat()
            assert stat.S_ISSOCK(status.st_mode)
            assert stat.S_IMODE(status.st_mode) == 0o660
            assert stat.S_IMODE(config.socket.parent.stat().st_mode) == 0o750

    before = os.umask(umask)
    try:
        run(talk())
    finally:
        os.umask(before)


def test_a_data_folder_deep_down_is_served_too(short_path: Path) -> None:
    config = config_in(short_path / ("d" * 120) / ("e" * 120))

    async def talk() -> None:
        async with control(config):
            assert config.socket.exists()
            assert (await ping(config))["person"] == ME
        assert not config.socket.exists()

    run(talk())


@pytest.mark.parametrize("wrong", ["a folder in its place", "a file in the folder's place"])
def test_a_socket_that_cannot_be_made_is_one_sentence(short_path: Path, wrong: str) -> None:
    config = config_in(short_path / "d")
    if wrong == "a folder in its place":
        config.socket.mkdir(parents=True)
    else:
        config.socket.parent.write_text("")

    async def talk() -> None:
        with pytest.raises(ControlError, match=r"cannot make the control socket .*; mend the rights of"):
            async with control(config):
                pass

    run(talk())


def test_persons_can_be_exchanged_while_it_serves(short_path: Path) -> None:
    config = config_in(short_path / "d")
    reader = Person("ana", os_user=ME, may=frozenset({Right.READ}))

    async def talk() -> None:
        async with control(config) as running, connected(config) as (answers, writer):
            for persons, who in (((), ME), ((reader,), "ana"), ((Person("bo"),), None)):
                running.reconfigure(replace(config, persons=persons))
                writer.write(b'{"verb": "ping"}\n')
                assert (await answer(answers))["person"] == who
            with pytest.raises(ControlRefused) as refused:
                await asyncio.to_thread(ask, config.socket, "kill", id="x")
            assert refused.value.forbidden

    run(talk())


def test_a_catalogue_that_fails_is_said_and_the_gateway_goes_on(short_path: Path) -> None:
    config = config_in(short_path / "d")
    row = Session("019e0000-1111-7000-8000-0000000000aa", "ssh", Attribution("ci", "r1"), "web1", "deploy", 1)

    async def talk() -> None:
        async with control(config):
            db = sqlite3.connect(config.catalogue)
            db.execute("DROP TABLE custody")
            db.close()
            other = Catalogue(config.catalogue, write=True)
            other.put(row)
            other.close()
            with pytest.raises(ControlRefused, match=r"cannot write the catalogue .*no such table") as refused:
                await asyncio.to_thread(ask, config.socket, "viewed", session=row.id)
            assert not refused.value.forbidden
            assert (await ping(config))["person"] == ME

    run(talk())
