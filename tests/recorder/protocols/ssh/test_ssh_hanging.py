"""Targets that hang at each stage or never stop talking: the agent is told within the limit, others notice nothing."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import asyncssh
import pytest

from recorder.format.frame import Kind
from tests.servers.client import HOST, Client, run
from tests.servers.echo import Echo
from tests.servers.gateway import Gateway
from tests.servers.hanging import hanging, name_of
from tests.servers.site import Site
from tests.servers.tapes import Taped

pytestmark = pytest.mark.service

_SERVE = "recorder.protocols.ssh.serve"
_QUICK = {
    f"{_SERVE}.target:_CONNECT_LIMIT_S": 2.0,
    f"{_SERVE}.pair:_OPEN_LIMIT_S": 0.5,
    f"{_SERVE}.attention:KEEPALIVE_S": 0.5,
    f"{_SERVE}.attention:KEEPALIVES": 2,
}
_IDLE = '[limits]\nidle = "3s"\n'


@pytest.fixture(scope="module")
def quick(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway before all of them, which loses patience soon."""
    folder = tmp_path_factory.mktemp("quick")
    with hanging(folder) as targets:
        gateway = site.start(folder / "g", *targets, altered=_QUICK, extra=_IDLE)
        yield gateway
        gateway.stop()
        gateway.assert_sound()


@pytest.fixture
def agent(site: Site, quick: Gateway, tmp_path: Path) -> Client:
    return site.client(tmp_path / "agent", quick)


@pytest.fixture(scope="module")
def echo(site: Site, quick: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Echo]:
    client = site.client(tmp_path_factory.mktemp("echo") / "c", quick)
    with Echo(client, f"web1@{HOST}") as echoing:
        yield echoing


@pytest.fixture(autouse=True)
def _another_works_meanwhile(echo: Echo) -> Iterator[None]:
    mark = echo.mark()
    yield
    assert echo.median(mark) < 0.5


def _ended(quick: Gateway, stage: str, after: int) -> Taped:
    session = quick.server.line(rf"session (\S+): \S+ from \S+ to \S+@{name_of(stage)}$", after)[1]
    quick.server.line(rf"session {session} ended: ", after)
    return Taped(quick.tapes, session)


@pytest.mark.parametrize(
    ("stage", "sentence"),
    [
        ("line of 1 MB", "Banner line too long; see whether an SSH server listens there"),
        ("endless lines", "Too many banner lines; see whether an SSH server listens there"),
        ("long version", "Version too long; see whether an SSH server listens there"),
        ("huge packet", "Max packet size exceeded; see whether an SSH server listens there"),
        ("banner of 1 MB", "Max packet size exceeded; see whether an SSH server listens there"),
        ("many banners", "more than 64 KiB of banners before authentication; see whether an SSH server"),
        ("dead", "the target has not answered for 1.5 s"),
        ("garbage", "the connection to the target failed: MAC verification failed"),
        pytest.param("exec", "idle for 3s: nothing crossed in either direction", marks=pytest.mark.long),
    ],
)
def test_agent_is_told_within_the_limit(quick: Gateway, agent: Client, stage: str, sentence: str) -> None:
    mark, begun = quick.server.mark(), time.monotonic()
    with agent.start(f"{name_of(stage)}@{HOST}", "true") as ssh:
        ssh.wait(20)
        said = ssh.stderr.read().decode() if ssh.stderr is not None else ""
    assert ssh.returncode == 255
    assert time.monotonic() - begun < 10
    tape = _ended(quick, stage, mark)
    assert sentence in said
    assert f"(session {tape.session})" in said
    assert sentence in str(tape.ended["reason"])


def test_agent_of_a_target_that_does_not_let_the_gateway_in_is_told_where_it_hangs(
    quick: Gateway, agent: Client
) -> None:
    stages = {
        "tcp": "it did not say that it speaks SSH",
        "version": "it did not finish the key exchange",
        "kexinit": "it did not finish the key exchange",
        "service": "it did not finish the authentication",
        "authentication": "it did not finish the authentication",
    }
    mark = quick.server.mark()
    with ExitStack() as running:
        at_once = {stage: running.enter_context(agent.start(f"{name_of(stage)}@{HOST}", "true")) for stage in stages}
        for stage, ssh in at_once.items():
            _, said = ssh.communicate(timeout=20)
            tape = _ended(quick, stage, mark)
            reason = str(tape.ended["reason"])
            assert reason.startswith(f"target {name_of(stage)} (127.0.0.1:")
            assert reason.endswith(f") did not let the gateway in within 2 s, {stages[stage]}: see whether it is up")
            assert f"{reason} (session {tape.session})".encode() in said


def test_channel_that_the_target_does_not_open_fails_and_the_session_goes_on(quick: Gateway, agent: Client) -> None:
    mark = quick.server.mark()

    async def talk() -> list[tuple[int, str]]:
        failures = []
        async with agent.connect(username=name_of("channel")) as connection:
            for _ in range(2):
                with pytest.raises(asyncssh.ChannelOpenError) as failed:
                    await connection.create_process("true", encoding=None)
                failures.append((failed.value.code, failed.value.reason))
        return failures

    expected = asyncssh.OPEN_CONNECT_FAILED, "the target did not open the channel within 0.5 s"
    assert run(talk()) == [expected, expected]
    tape = _ended(quick, "channel", mark)
    assert tape.noted("channel-failed") == [{"code": expected[0], "reason": expected[1]}] * 2
    assert tape.ended["reason"] == "the agent disconnected"


def test_target_that_stops_reading_in_the_middle_of_data(quick: Gateway, agent: Client) -> None:
    mark = quick.server.mark()
    with Path("/dev/zero").open("rb") as zeros, agent.start(f"{name_of('data')}@{HOST}", "true", stdin=zeros) as ssh:
        _, said = ssh.communicate(timeout=20)
    tape = _ended(quick, "data", mark)
    assert f"idle for 3s: nothing crossed in either direction ([limits] idle) (session {tape.session})".encode() in said
    assert 0 < len(tape.crossed(Kind.IN)) < 16 * 1024 * 1024


def test_flood_of_a_target_passes_by(quick: Gateway, agent: Client) -> None:
    mark = quick.server.mark()
    done = agent.ssh(f"{name_of('flood')}@{HOST}", "true")
    assert (done.returncode, done.stdout) == (0, b"up\n"), done.stderr
    assert _ended(quick, "flood", mark).noted("exit") == [{"status": 0}]


@pytest.mark.parametrize("said", [b"x" * 1024 * 1024, b"welcome\r\n" * 100_000, b"SSH-2.0-" + b"x" * 1_000_000])
def test_agent_that_never_comes_to_its_version(quick: Gateway, said: bytes) -> None:
    mark = quick.server.mark()
    with socket.create_connection(("127.0.0.1", quick.port)) as ours:
        ours.settimeout(20)
        with suppress(ConnectionError):
            ours.sendall(said)
            while ours.recv(65536):
                pass
    quick.server.line("did not authenticate: ", mark)
