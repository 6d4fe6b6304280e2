"""What a person writes for a moment, to the frame."""

from pathlib import Path

import pytest

from replay import recording
from replay.timeline import Moment, NoSuchMoment, parse_moment
from replay.transcript import commands
from tests.replay.tapes import Tape

HERE = Moment(1_500_000)


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    tape = Tape(tmp_path).open().run(1, b"one").run(2, b"two")
    return tape.note(0, "late", 90_000).close()


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("0:01", Moment(1_000_000)),
        ("83.4", Moment(83_400_000)),
        (" +5 ", Moment(6_500_000)),
        ("-0.5", Moment(1_000_000)),
        ("-5", Moment(0)),
        ("@frame:3", Moment(4_000, 3)),
        ("@cmd:2", Moment(9_000, 8)),
    ],
)
def test_forms(tape: Path, written: str, moment: Moment) -> None:
    with recording.open(tape) as opened:
        assert parse_moment(written, HERE, opened, commands(opened)) == moment


def test_never_outside_of_the_session(tape: Path) -> None:
    with recording.open(tape) as opened:
        assert parse_moment("99:59:59", HERE, opened, ()) == Moment(opened.duration)


@pytest.mark.parametrize("written", ["", "soon", "@cmd:9", "@frame:999", "1:2:3:4", "-x", "\x1b[31m", "٣"])
def test_what_names_no_moment_is_said_in_one_safe_sentence(tape: Path, written: str) -> None:
    with recording.open(tape) as opened, pytest.raises(NoSuchMoment) as caught:
        parse_moment(written, HERE, opened, commands(opened))
    assert str(caught.value).isprintable()
