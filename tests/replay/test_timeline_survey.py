"""One pass over a tape gives its streams, marks, gaps and activity, in parts or at once."""

from pathlib import Path

from recorder.format.frame import Kind
from replay import recording
from replay.timeline import MarkKind, Timeline
from tests.replay.tapes import Tape


def surveyed(path: Path, limit: int | None = None) -> Timeline:
    opened = recording.open(path)
    timeline = Timeline(opened)
    while not timeline.extend(limit):
        pass
    opened.close()
    return timeline


def mixed(tmp_path: Path) -> Path:
    tape = Tape(tmp_path).open().shell(1, 100, 30)
    tape.put(Kind.OUT, 1, b"$ ", 100).put(Kind.IN, 1, b"ls\r", 5_000).put(Kind.OUT, 1, b"a b c\r\n", 5_100)
    tape.note(1, "resize", 6_000, columns=120, rows=40)
    tape.put(Kind.VERDICT, 0, {"operation": "forward", "effect": "deny", "rule": "r", "reason": "no \x1b[31m"}, 7_000)
    tape.note(2, "channel", 8_000, type="session").note(2, "exec", 8_001, command=b"false").allow(2, "exec")
    tape.note(2, "exit", 8_100, status=1).note(2, "close", 8_101)
    tape.note(3, "channel-failed", 8_200, code=2, reason="no")
    tape.put(Kind.GAP, 1, {"why": "disk full"}, 8_300)
    tape.note(1, "exit", 60_000, signal="HUP").note(1, "close", 60_001)
    tape.put(Kind.CLOSE, 0, {"reason": "bye"}, 60_002)
    return tape.finish()


def test_marks_are_in_order_and_safe_to_print(tmp_path: Path) -> None:
    marks = surveyed(mixed(tmp_path)).marks
    assert [(mark.kind, mark.stream) for mark in marks if mark.kind not in (MarkKind.ALLOWED, MarkKind.COMMAND)] == [
        (MarkKind.RESIZE, 1),
        (MarkKind.DENIED, 0),
        (MarkKind.ERROR, 2),
        (MarkKind.REFUSED, 3),
        (MarkKind.MISSING, 1),
        (MarkKind.ERROR, 1),
    ]
    assert [mark.text for mark in marks if mark.kind is MarkKind.COMMAND] == ["", "false"]
    assert all(mark.text.isprintable() for mark in marks)
    assert [mark.t for mark in marks] == sorted(mark.t for mark in marks)


def test_streams_are_described(tmp_path: Path) -> None:
    streams = surveyed(mixed(tmp_path)).streams
    shell, run = streams[1], streams[2]
    assert (shell.kind, shell.terminal, shell.columns, shell.rows, shell.term) == (
        "shell",
        True,
        100,
        30,
        "xterm-256color",
    )
    assert (shell.bytes_in, shell.bytes_out, shell.signal, shell.end) == (3, 9, "HUP", 60_001_000)
    assert (run.kind, run.text, run.terminal, run.status) == ("exec", b"false", False, 1)


def test_gaps_fold_and_activity_counts(tmp_path: Path) -> None:
    timeline = surveyed(mixed(tmp_path))
    folds = timeline.folding(2_000_000).folds
    assert [(fold.start, fold.end) for fold in folds] == [(100_000, 5_000_000), (8_300_000, 60_000_000)]
    assert (timeline.sent.total, timeline.received.total) == (3, 9)


def test_reading_in_parts_gives_the_same(tmp_path: Path) -> None:
    path = mixed(tmp_path)
    whole, parts = surveyed(path), surveyed(path, limit=2)
    assert whole.marks == parts.marks
    assert whole.streams == parts.streams
    assert whole.folding(1_000_000).folds == parts.folding(1_000_000).folds
    assert whole.frames == parts.frames


def test_the_stream_to_look_at_is_the_latest_that_goes_on(tmp_path: Path) -> None:
    timeline = surveyed(mixed(tmp_path))
    looked_at = {t: timeline.stream_at(t) for t in (0, 5_000_000, 8_050_000, 8_150_000, 30_000_000, 60_002_000)}
    assert {t: stream.number if stream else None for t, stream in looked_at.items()} == {
        0: 1,
        5_000_000: 1,
        8_050_000: 2,
        8_150_000: 2,  # for a second after its end, lest it only flashes by
        30_000_000: 3,
        60_002_000: 3,
    }


def test_a_growing_tape_is_read_on(tmp_path: Path) -> None:
    tape = Tape(tmp_path).open().run(1, b"one", b"1\n").flush()
    with recording.open(tape.path) as opened:
        timeline = Timeline(opened)
        assert timeline.extend()
        before = timeline.frames
        tape.run(2, b"two", b"2\n", status=3).flush()
        opened.refresh()
        assert timeline.extend()
        assert timeline.frames > before
        assert [mark.text for mark in timeline.marks if mark.kind is MarkKind.ERROR] == ["exit 3"]
        assert timeline.received.total == 4
    tape.close()


def test_times_that_no_session_has_break_nothing(tmp_path: Path) -> None:
    tape = Tape(tmp_path).open().run(1, b"x", b"y")
    tape.put(Kind.OUT, 1, b"later", 1 << 52).put(Kind.OUT, 1, b"earlier", 3)
    timeline = surveyed(tape.close())
    assert timeline.duration <= 1 << 48
    assert timeline.folding(1_000_000).duration < timeline.duration
