"""Stepping backwards shows what stepping forwards showed, whatever the way there."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recorder.format.frame import Kind
from replay import recording
from replay.recording import Recording
from replay.timeline import Moment, Scrubber, View
from tests.replay.tapes import Tape

pieces = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [b"\x1b[2J", b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[3;4H", b"\r\n" * 9, b"\xe4\xb8", b"\xad", b"\x1b["]
    ),
)
steps = st.tuples(st.sampled_from([Kind.OUT, Kind.ERR, Kind.IN, Kind.NOTE]), st.sampled_from([1, 2]), pieces)


def state(view: View) -> object:
    screen = view.screen
    return (
        screen.lines(),
        [screen.styled_row(row) for row in range(screen.rows)],
        (screen.cursor, screen.alternate, screen.title, screen.columns, screen.rows),
        screen.history_lines(),
        [view.from_error(line) for line in range(screen.scrolled_total + screen.rows)],
        (view.bytes_in, view.bytes_out, view.status),
    )


def written(tmp_path: Path, frames: list[tuple[Kind, int, bytes]], *, terminal: bool) -> Path:
    tape = Tape(tmp_path).open()
    if terminal:
        tape.shell(1, 20, 5)
    for number, (kind, stream, data) in enumerate(frames):
        if kind is Kind.NOTE:
            tape.note(1, "resize", 100 + number // 2, columns=10 + number, rows=3 + number % 7)
        else:
            tape.put(kind, stream, data, 100 + number // 2)  # two frames at each moment
    return tape.close()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(steps, min_size=4, max_size=40), st.booleans(), st.data())
def test_any_order_of_moments_shows_the_same(
    tmp_path: Path, frames: list[tuple[Kind, int, bytes]], terminal: bool, data: st.DataObject
) -> None:
    with recording.open(written(tmp_path, frames, terminal=terminal)) as opened:
        last = next(frame.number for frame in opened.frames() if frame.kind == Kind.CLOSE)
        scrubber = Scrubber(opened, 1, snapshots=4, spacing=200)
        for number in data.draw(st.lists(st.integers(0, last), min_size=2, max_size=12)):
            frame = opened.frame(number)
            assert frame is not None
            exact = data.draw(st.booleans())
            to = Moment(frame.t, number if exact else None)
            assert scrubber.go(to)
            assert state(scrubber.view) == state(shown_at(opened, to))


def shown_at(opened: Recording, to: Moment) -> View:
    view = View(1)
    for frame in opened.frames():
        if frame.t > to.t or (to.frame is not None and frame.number > to.frame):
            break
        if frame.stream == 1:
            view.apply(frame)
    return view


def long_tape(tmp_path: Path, lines: int = 4_000) -> Path:
    tape = Tape(tmp_path).open().shell(1, 80, 24)
    for number in range(lines):
        tape.put(Kind.OUT, 1, b"line %06d %s\r\n" % (number, b"." * 60))
    return tape.close()


def test_snapshots_stay_few_and_are_used(tmp_path: Path) -> None:
    with recording.open(long_tape(tmp_path)) as opened:
        scrubber = Scrubber(opened, 1, snapshots=8, spacing=4_096)
        assert scrubber.go(Moment(opened.duration))
        assert 2 <= len(scrubber._snapshots) <= 8
        before = scrubber.view
        assert scrubber.go(Moment(opened.duration // 2), cost=1) is False  # not from the beginning, so not far
        assert scrubber.view is not before
        assert scrubber.frame > opened.duration // 1000 // 4


def test_work_is_done_in_parts(tmp_path: Path) -> None:
    with recording.open(long_tape(tmp_path)) as opened:
        scrubber, calls = Scrubber(opened, 1), 0
        while not scrubber.go(Moment(opened.duration), cost=50_000):
            calls += 1
        assert 5 < calls < 20
        assert scrubber.view.screen.lines()[-2].startswith("line 003999")


def test_what_grew_is_shown(tmp_path: Path) -> None:
    tape = Tape(tmp_path).open().shell(1).put(Kind.OUT, 1, b"one").flush()
    with recording.open(tape.path) as opened:
        scrubber = Scrubber(opened, 1)
        assert scrubber.go(Moment(1 << 40))
        tape.put(Kind.OUT, 1, b" two").flush()
        opened.refresh()
        scrubber.grown()
        assert scrubber.go(Moment(1 << 40))
        assert scrubber.view.screen.lines()[0] == "one two"
    tape.close()


def test_output_without_a_terminal_keeps_its_lanes_apart(tmp_path: Path) -> None:
    tape = Tape(tmp_path).open().note(1, "channel", type="session").note(1, "exec", command=b"make")
    for kind, data in ((Kind.OUT, b"one\ntw"), (Kind.ERR, b"warn\nerr"), (Kind.OUT, b"o\n"), (Kind.ERR, b"last\n")):
        tape.put(kind, 1, data)
    with recording.open(tape.close()) as opened:
        scrubber = Scrubber(opened, 1)
        scrubber.go(Moment(opened.duration))
        view = scrubber.view
        told = [("!" if view.from_error(row) else " ") + line for row, line in enumerate(view.screen.lines()) if line]
        assert told == [" one", " tw", "!warn", "!err", " o", "!last"]
        assert (view.command, view.terminal) == (b"make", False)


def test_a_subsystem_is_counted_and_not_drawn(tmp_path: Path) -> None:
    tape = Tape(tmp_path).open().note(1, "channel", type="session").note(1, "subsystem", subsystem=b"sftp")
    tape.put(Kind.OUT, 1, b"\0\0\1\x1b[2Jbinary")
    with recording.open(tape.close()) as opened:
        scrubber = Scrubber(opened, 1)
        scrubber.go(Moment(opened.duration))
        assert scrubber.view.binary
        assert not any(scrubber.view.screen.lines())
        assert scrubber.view.bytes_out == 13


@pytest.mark.parametrize("facts", [{}, {"columns": 0, "rows": 0}, {"columns": "x", "rows": None}])
def test_a_size_that_is_none_is_80_by_24(tmp_path: Path, facts: dict[str, object]) -> None:
    tape = Tape(tmp_path).open().put(Kind.NOTE, 1, {"name": "pty", "term": b"xterm\xff", **facts})
    with recording.open(tape.close()) as opened:
        scrubber = Scrubber(opened, 1)
        scrubber.go(Moment(opened.duration))
        assert (scrubber.view.screen.columns, scrubber.view.screen.rows) == (80, 24)
