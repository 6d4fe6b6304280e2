"""Limits of live sessions, idle ones, and the one way in which a session is ended from outside."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from recorder.catalogue.sqlite import Catalogue
from recorder.config import Config
from recorder.format.spool import Spool
from recorder.gateway.clerk import Clerk
from recorder.gateway.front import GatewayFront
from recorder.gateway.secrets import Secrets
from recorder.model import Agent, Limits, Operation, Secret, SecretKind, Session, State, Target
from recorder.protocol import Broken, Direction, Gate, Knock, Refused
from tests.recorder.format.tape_tools import GATEWAY
from tests.servers.client import HOST
from tests.servers.fixtures import NewGateway
from tests.servers.site import Site

_CI, _OTHER = Agent("ci", targets=("web*",)), Agent("other", targets=("web*",))
_REASON = "Ana ended it"


def _target(name: str, *command: str) -> Target:
    key = Secret(SecretKind.COMMAND, command or ("echo", "key"))
    return Target(name, "ssh", "127.0.0.1", 22, ("deploy",), key, forward=(("db", 5432),))


def _knock(agent: Agent = _CI, target: str = "web1") -> Knock:
    return Knock(agent, "SHA256:x", "127.0.0.1:5", target, None, "SSH-2.0-Test")


def _with_front(
    folder: Path, limits: Limits, work: Callable[[GatewayFront], Awaitable[None]], *targets: Target
) -> list[Session]:
    """Runs `work` with a front on a spool and a catalogue of its own; the rows at the end, oldest first."""
    (folder / "tapes").mkdir()
    catalogue = Catalogue(folder / "catalogue.db", write=True)
    clerk = Clerk(catalogue)

    async def whole() -> None:
        spool = Spool(folder / "tapes", folder / "journal", GATEWAY, asyncio.get_running_loop())
        config = Config(
            folder / "tachograph.toml", folder, (), targets or (_target("web1"), _target("web2")), (_CI, _OTHER),
            limits=limits,
        )  # fmt: skip
        front = GatewayFront(config, spool, clerk, Secrets(os.environ))
        try:
            async with asyncio.timeout(30):
                await work(front)
        finally:
            await asyncio.to_thread(spool.stop)

    try:
        asyncio.run(whole())
    finally:
        clerk.stop()
        rows = list(catalogue.sessions())[::-1]
        catalogue.close()
    return rows


async def _refusal(front: GatewayFront, knock: Knock) -> str:
    with pytest.raises(Refused) as refused:
        await front.admit(knock)
    return str(refused.value)


async def _end_all(front: GatewayFront, *gates: Gate) -> None:
    for gate in gates:
        await front.ended(gate, "the agent disconnected")


def test_an_agent_has_as_many_sessions_as_its_limit(tmp_path: Path) -> None:
    async def work(front: GatewayFront) -> None:
        gates = [(await front.admit(_knock(target=name))).gate for name in ("web1", "web2")]
        said = await _refusal(front, _knock())
        assert said == (
            "agent ci has as many sessions as it may, 2 sessions ([limits] sessions_per_agent): "
            "end one of them, or raise the limit"
        )
        gates.append((await front.admit(_knock(_OTHER))).gate)
        await front.ended(gates.pop(0), "over")
        gates.append((await front.admit(_knock())).gate)
        assert "sessions_per_agent" in await _refusal(front, _knock(target="web2"))
        await _end_all(front, *gates)

    rows = _with_front(tmp_path, Limits(sessions_per_agent=2), work)
    assert [row.attribution.agent for row in rows] == ["ci", "ci", "other", "ci"]


def test_a_target_has_as_many_sessions_as_its_limit(tmp_path: Path) -> None:
    async def work(front: GatewayFront) -> None:
        gates = [(await front.admit(_knock(agent))).gate for agent in (_CI, _OTHER)]
        said = await _refusal(front, _knock())
        assert said.startswith(
            "target web1 has as many sessions as it may, 2 sessions ([limits] sessions_per_target): "
        )
        gates.append((await front.admit(_knock(target="web2"))).gate)
        await _end_all(front, *gates)

    assert len(_with_front(tmp_path, Limits(sessions_per_target=2), work)) == 3


def test_connections_at_once_cannot_pass_the_limit_together(tmp_path: Path) -> None:
    async def work(front: GatewayFront) -> None:
        answers = await asyncio.gather(*(front.admit(_knock()) for _ in range(10)), return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, Refused)]
        assert len(refused) == 7
        assert len(front.live()) == 3
        await _end_all(front, *(answer.gate for answer in answers if not isinstance(answer, BaseException)))

    slow = _target("web1", "sh", "-c", "sleep 0.2; echo key")
    assert len(_with_front(tmp_path, Limits(sessions_per_agent=3), work, slow)) == 3


def test_admissions_that_fail_keep_no_place(tmp_path: Path) -> None:
    async def work(front: GatewayFront) -> None:
        for _ in range(3):
            assert "no usable credential" in await _refusal(front, _knock(target="web-broken"))
        attempt = asyncio.create_task(front.admit(_knock(target="web-slow")))
        await asyncio.sleep(0)
        assert "sessions_per_agent" in await _refusal(front, _knock())
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        admitted = await front.admit(_knock())
        await _end_all(front, admitted.gate)
        assert await front.drain(1)

    targets = _target("web1"), _target("web-broken", "false"), _target("web-slow", "sh", "-c", "sleep 0.3; echo key")
    assert len(_with_front(tmp_path, Limits(sessions_per_agent=1), work, *targets)) == 1


def test_drain_waits_for_a_session_that_is_being_admitted(tmp_path: Path) -> None:
    async def work(front: GatewayFront) -> None:
        attempt = asyncio.create_task(front.admit(_knock()))
        await asyncio.sleep(0)
        assert not await front.drain(0.01)
        await _end_all(front, (await attempt).gate)
        assert await front.drain(1)

    _with_front(tmp_path, Limits(), work, _target("web1", "sh", "-c", "sleep 0.2; echo key"))


def test_live_sessions_are_listed_with_what_has_crossed(tmp_path: Path) -> None:
    async def work(front: GatewayFront) -> None:
        assert front.live() == []
        first, second = [(await front.admit(_knock(agent))).gate for agent in (_CI, _OTHER)]
        first.cross(Direction.IN, 1, b"four", _nowhere)
        first.cross(Direction.OUT, 1, b"five5", _nowhere)
        await first.ask(Operation("x11-forwarding"), settle=False)
        assert [row.id for row in front.live()] == [first.id, second.id]
        row = front.live()[0]
        assert (row.state, row.bytes_in, row.bytes_out, row.verdicts) == (State.LIVE, 4, 5, {"denied": 1})
        assert (row.attribution.agent, row.target, row.login) == ("ci", "web1", "deploy")
        await front.ended(first, "over")
        assert [row.id for row in front.live()] == [second.id]
        await front.ended(second, "over")
        assert front.live() == []

    _with_front(tmp_path, Limits(), work)


def test_a_session_is_ended_by_its_id(tmp_path: Path) -> None:
    async def work(front: GatewayFront) -> None:
        told: list[str] = []
        one, other = [(await front.admit(_knock())).gate for _ in range(2)]
        one.on_broken(lambda broken: told.append(str(broken)))
        other.on_broken(_never)
        assert front.end(one.id, _REASON)
        assert front.end(one.id, "a second reason")
        assert told == [_REASON]
        assert not front.end("019e0000-0000-7000-8000-0123456789ab", _REASON)
        await _end_all(front, one, other)
        assert not front.end(one.id, _REASON)

    _with_front(tmp_path, Limits(), work)


def test_a_session_that_is_ended_before_it_listens_hears_it_then(tmp_path: Path) -> None:
    async def work(front: GatewayFront) -> None:
        told: list[str] = []
        gate = (await front.admit(_knock())).gate
        assert front.end(gate.id, _REASON)
        gate.on_broken(lambda broken: told.append(str(broken)))
        assert told == [_REASON]
        await front.ended(gate, told[0])

    (row,) = _with_front(tmp_path, Limits(), work)
    assert row.reason == _REASON


def test_a_session_in_which_nothing_crosses_is_ended(tmp_path: Path) -> None:
    async def work(front: GatewayFront) -> None:
        watch = asyncio.create_task(front.watch())
        loop = asyncio.get_running_loop()
        ended: dict[str, float] = {}
        reasons: list[str] = []
        gates = [(await front.admit(_knock())).gate for _ in range(3)]
        quiet, busy, asking = gates
        all_ended = asyncio.Event()

        def on_broken(gate: Gate, broken: Broken) -> None:
            ended[gate.id] = loop.time()
            reasons.append(str(broken))
            if len(ended) == 3:
                all_ended.set()

        for gate in gates:
            gate.on_broken(lambda broken, gate=gate: on_broken(gate, broken))  # type: ignore[misc] # mypy cannot infer a lambda with defaults
        start = loop.time()
        quiet.note("request", 1, request="keepalive@openssh.com")
        while loop.time() < start + 0.6:
            busy.cross(Direction.OUT, 1, b".", _nowhere)
            await asking.ask(Operation("exec", b"true"), settle=False)
            quiet.note("request", 1, request="keepalive@openssh.com")
            await asyncio.sleep(0.02)
        await all_ended.wait()
        assert set(reasons) == {"idle for 0.3s: nothing crossed in either direction ([limits] idle)"}
        assert ended[quiet.id] - start < 0.6 <= min(ended[busy.id], ended[asking.id]) - start
        watch.cancel()
        await _end_all(front, *gates)

    _with_front(tmp_path, Limits(idle=0.3), work)


_TWO = '[limits]\nsessions_per_agent = 2\nidle = "3s"\n'


@pytest.mark.service
def test_agents_are_told_of_the_limits(site: Site, new_gateway: NewGateway, tmp_path: Path) -> None:
    gateway = new_gateway(extra=_TWO)
    client = site.client(tmp_path / "c", gateway)
    watch = gateway.watch()
    with ExitStack() as running:
        # Which of them are admitted is chance; those that are not end at once.
        at_once = [running.enter_context(client.start(f"web1@{HOST}", "echo up; cat")) for _ in range(6)]
        admitted = watch.begun(2)
        gateway.server.lines("agent .* refused: .*sessions_per_agent", 4, watch.after)
        assert len(watch.begun(2)) == 2
        said = [ssh.communicate() for ssh in at_once]  # closes the input of each in turn
    assert sorted(out for out, _ in said) == [b""] * 4 + [b"up\n"] * 2
    refusal = b"agent ci has as many sessions as it may, 2 sessions ([limits] sessions_per_agent): end one of them"
    assert sum(refusal in err for _, err in said) == 4
    for session in admitted:
        watch.ended(session)
    with client.start(f"web1@{HOST}", "echo up; cat") as ssh:
        ssh.wait(30)
        assert ssh.stderr is not None
        idle = b"idle for 3s: nothing crossed in either direction ([limits] idle) (session "
        assert idle in ssh.stderr.read()


def _nowhere(_data: bytes) -> None:
    """Where released bytes go that no one reads."""


def _never(broken: Broken) -> None:
    raise AssertionError(broken)
