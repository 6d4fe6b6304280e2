"""Peers that fall silent are noticed and their sessions ended; peers that ask are answered; quiet ones stay."""

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from recorder.format.frame import Kind
from recorder.model import State
from tests.servers.client import HOST, Client, run
from tests.servers.fixtures import NewGateway
from tests.servers.gateway import Gateway, TargetEntry
from tests.servers.proxy import proxy
from tests.servers.site import Site

pytestmark = pytest.mark.service

_ATTENTION = "recorder.protocols.ssh.serve.attention"
_ATTENTIVE = {f"{_ATTENTION}:KEEPALIVE_S": 0.4, f"{_ATTENTION}:KEEPALIVES": 2}  # gone after 1.2 s


@pytest.fixture(scope="module")
def attentive(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that soon notices."""
    gateway = site.start(tmp_path_factory.mktemp("attentive") / "g", altered=_ATTENTIVE)
    yield gateway
    gateway.stop()
    gateway.assert_sound()


@pytest.fixture
def agent(site: Site, attentive: Gateway, tmp_path: Path) -> Client:
    return site.client(tmp_path / "agent", attentive)


def test_agent_that_is_stopped_loses_its_session(attentive: Gateway, agent: Client) -> None:
    watch = attentive.watch()
    with agent.start(f"web1@{HOST}", "echo up; cat") as ssh:
        assert ssh.stdout is not None
        assert ssh.stdout.readline() == b"up\n"
        ssh.send_signal(signal.SIGSTOP)
        tape = watch.tape()
        ssh.kill()
    assert tape.ended["reason"] == "the agent has not answered for 1.2 s"
    assert attentive.row_when(tape.session, lambda row: row.state is State.CLOSED).reason == tape.ended["reason"]


@pytest.mark.long
def test_agent_that_is_stopped_while_much_is_sent_to_it_loses_its_session(attentive: Gateway, agent: Client) -> None:
    watch = attentive.watch()
    with agent.start(f"web1@{HOST}", "cat /dev/zero") as ssh:
        assert ssh.stdout is not None
        assert ssh.stdout.read(1024 * 1024) == bytes(1024 * 1024)
        ssh.send_signal(signal.SIGSTOP)
        tape = watch.tape()
        ssh.kill()
    assert tape.ended["reason"] == "the agent has not answered for 1.2 s"
    assert len(tape.crossed(Kind.OUT)) > 1024 * 1024


def test_target_that_falls_silent_ends_the_session(site: Site, new_gateway: NewGateway, tmp_path: Path) -> None:
    async def talk() -> None:
        async with proxy(site.sshd.port) as way:
            entry = TargetEntry("web-far", f"127.0.0.1:{way.port}", site.sshd.host_key)
            gateway = new_gateway(entry, altered=_ATTENTIVE)
            watch = gateway.watch()
            client = site.client(tmp_path / "c", gateway)
            with client.start(f"{entry.name}@{HOST}", "echo up; cat") as ssh:
                assert ssh.stdout is not None
                assert await asyncio.to_thread(ssh.stdout.readline) == b"up\n"
                way.silence()
                _, said = await asyncio.to_thread(ssh.communicate)
            tape = await asyncio.to_thread(watch.tape)
            assert tape.ended["reason"] == "the target has not answered for 1.2 s"
            assert f"{tape.ended['reason']} (session {tape.session})".encode() in said

    run(talk())


def test_quiet_session_of_ends_that_answer_goes_on(attentive: Gateway, agent: Client) -> None:
    watch = attentive.watch()
    with agent.start(f"web1@{HOST}", "echo up; cat") as ssh:
        assert ssh.stdout is not None
        assert ssh.stdout.readline() == b"up\n"
        time.sleep(2)  # longer than a silent peer has
        assert ssh.communicate(b"still there")[0] == b"still there"
    assert ssh.returncode == 0
    tape = watch.tape()
    assert tape.ended["reason"] == "the agent disconnected"
    assert tape.noted("request") == []


@pytest.mark.parametrize("command", [pytest.param("sleep 3", marks=pytest.mark.long), "cat /dev/zero"])
def test_client_that_asks_is_answered(gateway: Gateway, client: Client, command: str) -> None:
    options = ("-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=1")
    start = time.monotonic()
    with client.start(*options, f"web1@{HOST}", f"timeout 2.5 {command}") as ssh:
        assert ssh.stdout is not None
        if command == "sleep 3":
            _, said = ssh.communicate()
        else:
            time.sleep(2.3)  # its output is not read meanwhile
            _, said = ssh.communicate()
    assert b"not responding" not in said
    assert ssh.returncode == 124
    assert time.monotonic() - start > 2


@pytest.mark.long
def test_asyncssh_answers_too(attentive: Gateway, agent: Client) -> None:
    async def talk() -> None:
        async with agent.connect() as connection:
            process = await connection.create_process("cat", encoding=None)
            await asyncio.sleep(2)
            process.stdin.write(b"on")
            process.stdin.write_eof()
            assert await process.stdout.read() == b"on"

    run(talk())
