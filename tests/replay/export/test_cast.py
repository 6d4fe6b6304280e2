"""Casts are valid asciicast v3, hold what was on the terminal, and no key that was not echoed."""

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from recorder.format.frame import Kind
from replay import recording
from replay.export import FORMATS, NothingToExport
from tests.replay.tapes import START, Tape


class Cast(NamedTuple):
    header: dict[str, object]
    events: list[tuple[float, str, str]]

    def of(self, code: str) -> list[str]:
        return [data for _, found, data in self.events if found == code]


def cast(tape: Tape, stream: int | None = None) -> Cast:
    with recording.open(tape.path) as opened:
        lines = "".join(FORMATS["cast"]()(opened, stream)).splitlines()
    assert all(line.isascii() and line.isprintable() for line in lines)
    header, *events = map(json.loads, lines)
    assert all(len(event) == 3 and event[0] >= 0 and isinstance(event[2], str) for event in events)
    return Cast(header, [(event[0], event[1], event[2]) for event in events])


@pytest.fixture
def tape(tmp_path: Path) -> Tape:
    return Tape(tmp_path).open()


def test_terminal_with_sizes_and_exit(tape: Tape) -> None:
    tape.shell(1, columns=90, rows=30).put(Kind.OUT, 1, b"$ ", 1000).note(1, "resize", 1500, columns=100, rows=40)
    tape.put(Kind.OUT, 1, b"bye\r\n", 4000).note(1, "exit", 4100, status=3).note(1, "close", 4200).close()
    found = cast(tape)
    assert found.header["version"] == 3
    assert found.header["term"] == {"cols": 90, "rows": 30, "type": "xterm-256color"}
    assert found.header["timestamp"] == START // 1_000_000_000
    assert found.events[1:] == [(0.5, "r", "100x40"), (2.5, "o", "bye\r\n"), (0.1, "x", "3")]


def test_times_add_up(tape: Tape) -> None:
    tape.shell(1)
    for number in range(1000):
        tape.put(Kind.OUT, 1, b"x", 100 + number * 3)
    tape.close()
    assert sum(event[0] for event in cast(tape).events) == pytest.approx(3.093, abs=0.005)


def test_characters_cut_between_frames_stay_whole(tape: Tape) -> None:
    data = "ä✓🙂".encode()
    tape.shell(1)
    for offset in range(len(data)):
        tape.put(Kind.OUT, 1, data[offset : offset + 1])
    tape.put(Kind.OUT, 1, b"\xff\xc3").close()
    assert "".join(cast(tape).of("o")) == "ä✓🙂\ufffd\ufffd"


def test_echoed_keys_are_there_and_passwords_are_not(tape: Tape) -> None:
    tape.shell(1).put(Kind.OUT, 1, b"$ ")
    for key in b"sudo id":
        tape.put(Kind.IN, 1, bytes([key])).put(Kind.OUT, 1, bytes([key]))
    tape.put(Kind.IN, 1, b"\r").put(Kind.OUT, 1, b"\r\n[sudo] password: ")
    for key in b"hunter2":
        tape.put(Kind.IN, 1, bytes([key]))
    tape.put(Kind.IN, 1, b"\r").put(Kind.OUT, 1, b"\r\nuid=0(root)\r\n$ ")
    tape.put(Kind.IN, 1, b"ls\r").put(Kind.OUT, 1, b"\x1b[1ml\x1b[0ms\r\nfile\r\n").close()
    assert "".join(cast(tape).of("i")) == "sudo id\r•••••••\rls\r"


def test_password_in_one_piece_and_late_output_stay_masked(tape: Tape) -> None:
    tape.shell(1).put(Kind.OUT, 1, b"Password: ").put(Kind.IN, 1, b"tiger\r").put(Kind.OUT, 1, b"\r\ntiger is root\r\n")
    tape.put(Kind.IN, 1, b"x", 5000).put(Kind.OUT, 1, b"x", 9000).close()
    assert "".join(cast(tape).of("i")) == "•••••\r•"


def test_commands_without_a_terminal_come_one_after_another(tape: Tape) -> None:
    tape.note(1, "exec", command=b"a" * 10, more=True).note(1, "exec", command=b"b").note(2, "exec", command=b"\x1b[2J")
    tape.put(Kind.OUT, 2, b"two\n").put(Kind.OUT, 1, b"one\r\n").put(Kind.ERR, 1, b"bad\n").note(1, "close")
    tape.note(2, "exit", status=4).note(2, "close").close()
    found = cast(tape)
    assert "".join(found.of("o")) == "$ aaaaaaaaaab\r\none\r\nbad\r\n$ \\e[2J\r\ntwo\r\n"
    assert found.of("x") == ["4"]
    assert found.header["term"] == {"cols": 80, "rows": 24}


def test_stream_is_chosen(tape: Tape) -> None:
    tape.shell(1).put(Kind.OUT, 1, b"first").note(1, "close").run(2, b"ls", b"x\n")
    tape.shell(3).put(Kind.OUT, 3, b"third").close()
    assert cast(tape).of("o") == ["first"]
    assert cast(tape, 3).of("o") == ["third"]
    assert cast(tape, 2).of("o") == ["$ ls\r\n", "x\r\n"]
    assert cast(tape, 2).header["command"] == "ls"
    with pytest.raises(NothingToExport, match="stream 9"):
        cast(tape, 9)


def test_session_without_commands_has_no_cast(tape: Tape) -> None:
    tape.close()
    with pytest.raises(NothingToExport):
        cast(tape)


def test_hostile_sizes_and_names(tape: Tape) -> None:
    tape.note(1, "pty", term="\x1b]0;x\x07", columns=2**62, rows=-1).note(1, "resize", columns=10**9, rows=10**9)
    tape.put(Kind.OUT, 1, b"\x9b2J\x1b[2J\xed\xa0\x80").close()
    found = cast(tape)
    assert found.header["term"] == {"cols": 80, "rows": 24, "type": "\\e]0;x\\x07"}
    assert found.of("r") == ["1000x1000"]
