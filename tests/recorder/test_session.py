"""The door: what crosses is on the tape, what is decided is recorded, and a tape that fails ends the session."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgpack
import pytest

from recorder.format import journal, store
from recorder.format.frame import Frame, Kind
from recorder.format.reader import SegmentReader
from recorder.format.spool import JOURNAL, Spool
from recorder.identity import by_key
from recorder.model import Agent, Effect, Operation, Session, Source, State
from recorder.protocol import Broken, Direction
from recorder.session import Door
from tests.recorder.format.tape_tools import GATEWAY, START


class Rows:
    """Keeps what a catalogue would."""

    def __init__(self) -> None:
        self.rows: list[Session] = []
        self.runs: list[tuple[str, str]] = []

    def put(self, session: Session) -> None:
        self.rows.append(session)

    def add_run(self, session: str, run: str) -> None:
        self.runs.append((session, run))


def through_a_door(tapes: Path, work: Callable[[Door, Rows], Awaitable[None]]) -> None:
    async def whole() -> None:
        spool = Spool(tapes, tapes / "journal", GATEWAY, asyncio.get_running_loop())
        rows = Rows()
        who = by_key(Agent("ci"), "SHA256:x", "127.0.0.1:5", "minted")
        session = Session(store.new_session_id(START), "ssh", who, "web1", "deploy", START)
        try:
            async with asyncio.timeout(30):
                await work(Door(spool.open(session.id, START), rows, session), rows)
        finally:
            await asyncio.to_thread(spool.stop)

    asyncio.run(whole())


def frames_of(tapes: Path) -> list[Frame]:
    (path,) = tapes.rglob("*.tape")
    reader = SegmentReader(path)
    try:
        return [frame for chunk in reader.chunks for frame in reader.frames(chunk)]
    finally:
        reader.close()


def journaled(tapes: Path) -> list[dict[str, object]]:
    """The facts of the frames that the journal's file holds and no tape yet."""
    items = journal.leftover(tapes / "journal" / JOURNAL)
    return [
        msgpack.unpackb(item.body) for item in items if item.kind & journal.PACKED and item.kind < journal.OPEN_TAPE
    ]


def test_a_whole_session_is_on_the_tape_and_in_the_row(tmp_path: Path) -> None:
    released: list[bytes] = []

    async def work(door: Door, rows: Rows) -> None:
        door.open({"agent": "ci"})
        assert [row.state for row in rows.rows] == [State.LIVE]
        assert (await door.ask(Operation("exec", b"ls", 1), settle=True)).effect is Effect.ALLOW
        door.cross(Direction.IN, 1, b"ls\r", released.append)
        door.cross(Direction.OUT, 1, b"file\r\n", released.append)
        door.cross(Direction.ERR, 1, b"no\n", released.append)
        door.note("exit", 1, status=0)
        row = await door.close("the agent left")
        assert row is rows.rows[-1]
        assert (row.state, row.reason, row.bytes_in, row.bytes_out) == (State.CLOSED, "the agent left", 3, 9)
        assert row.verdicts == {"allowed": 1}
        assert row.size == next(tmp_path.rglob("*.tape")).stat().st_size
        assert row.ended is not None

    through_a_door(tmp_path, work)
    assert released == [b"ls\r", b"file\r\n", b"no\n"]
    found = [(frame.kind, frame.stream, frame.body) for frame in frames_of(tmp_path)]
    assert found == [
        (Kind.OPEN, 0, {"agent": "ci"}),
        (Kind.VERDICT, 1, {"operation": "exec", "effect": "allow", "rule": "default"}),
        (Kind.IN, 1, b"ls\r"),
        (Kind.OUT, 1, b"file\r\n"),
        (Kind.ERR, 1, b"no\n"),
        (Kind.NOTE, 1, {"name": "exit", "status": 0}),
        (
            Kind.CLOSE,
            0,
            {"reason": "the agent left", "bytes_in": 3, "bytes_out": 9, "verdicts": {"allowed": 1}},
        ),
    ]


def test_a_denial_is_recorded_with_its_reason_and_what_was_asked(tmp_path: Path) -> None:
    async def work(door: Door, rows: Rows) -> None:
        verdict = await door.ask(Operation("forward", b"10.0.0.1:5432" * 50, 2), settle=True)
        assert verdict.effect is Effect.DENY
        (facts,) = journaled(tmp_path)
        assert facts["reason"] == verdict.reason
        assert facts["text"] == (b"10.0.0.1:5432" * 50)[:256]
        assert (await door.close("")).verdicts == {"denied": 1}

    through_a_door(tmp_path, work)


@pytest.mark.parametrize("kind", ["exec", "subsystem", "forward"])
def test_a_settled_answer_is_on_disk_before_it_is_given(tmp_path: Path, kind: str) -> None:
    async def work(door: Door, rows: Rows) -> None:
        await door.ask(Operation(kind), settle=True)
        assert [facts["operation"] for facts in journaled(tmp_path)] == [kind]

    through_a_door(tmp_path, work)


def test_what_an_agent_asserts_reaches_the_row_once_and_every_run_is_noted(tmp_path: Path) -> None:
    async def work(door: Door, rows: Rows) -> None:
        door.open({})
        door.note("asserted", 1, run="r1", request="J-1")
        door.note("asserted", 2, run="r2")
        door.note("asserted", 3, unknown="x")
        assert len(rows.rows) == 2
        who = rows.rows[-1].attribution
        assert (who.run, who.request, who.sources["run"]) == ("r1", "J-1", Source.ASSERTED)
        assert rows.runs == [(door.id, "r1"), (door.id, "r2")]

    through_a_door(tmp_path, work)


def test_only_a_note_of_that_name_asserts(tmp_path: Path) -> None:
    async def work(door: Door, rows: Rows) -> None:
        door.note("exec", 1, run="r1")
        assert not rows.rows
        assert not rows.runs

    through_a_door(tmp_path, work)


def block(tapes: Path) -> None:
    """Puts a file where the folders of tapes should be."""
    (tapes / "2026").touch()


def test_a_session_that_cannot_be_recorded_is_told_and_ends_unclosed(tmp_path: Path) -> None:
    block(tmp_path)

    async def work(door: Door, rows: Rows) -> None:
        broken: asyncio.Future[Broken] = asyncio.get_running_loop().create_future()
        door.on_broken(broken.set_result)
        door.open({})
        assert str(await broken).startswith("this session cannot be recorded any more and ends: cannot write the tape")
        assert not door.clear
        with pytest.raises(Broken, match="cannot be recorded"):
            await door.ask(Operation("exec", b"id"), settle=True)
        with pytest.raises(Broken):
            await door.settle()
        again: list[Broken] = []
        door.on_broken(again.append)
        assert len(again) == 1
        row = await door.close("ended")
        assert row.state is State.UNCLOSED
        assert "cannot write the tape" in row.reason

    through_a_door(tmp_path, work)


def test_the_gate_tells_when_it_is_clear_again(tmp_path: Path) -> None:
    async def work(door: Door, rows: Rows) -> None:
        cleared = asyncio.Event()
        door.on_clear(cleared.set)
        door.terminal()
        released: list[bytes] = []
        while door.clear:
            door.cross(Direction.OUT, 1, bytes(32 * 1024), released.append)
        await cleared.wait()
        assert door.clear

    through_a_door(tmp_path, work)
