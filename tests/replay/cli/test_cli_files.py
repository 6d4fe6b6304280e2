"""`tacho files` as scripts and people use it: its lines, its JSON, its exit codes, what it says on stderr."""

import json
import struct
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from recorder.format.frame import Kind
from replay.cli import tacho
from tests.replay.tapes import Library, Tape

KEYS = """
    at offset duration stream operation path to bytes complete status known protocol entries flags attributes
"""
R, W, C, T = 1, 2, 8, 16


def string(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def packet(type_: int, number: int, *fields: int | bytes) -> bytes:
    numbers = (field if isinstance(field, bytes) else struct.pack(">I", field) for field in (number, *fields))
    return string(bytes([type_]) + b"".join(numbers))


class Agent:
    """An sftp channel on `tape` in which every request is answered."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        tape.note(1, "channel", type="session").note(1, "subsystem", subsystem=b"sftp").allow(1, "subsystem")
        tape.note(1, "answer", request="subsystem", ok=True)

    def call(self, request: bytes, answer: bytes) -> "Agent":
        self.tape.put(Kind.IN, 1, request).put(Kind.OUT, 1, answer)
        return self

    def simple(self, type_: int, *paths: bytes, code: int = 0, message: bytes = b"") -> "Agent":
        request = packet(type_, 1, *map(string, paths))
        return self.call(request, packet(101, 1, code, string(message), string(b"")))

    def file(self, path: bytes, flags: int, data: bytes) -> "Agent":
        """Reads or writes a file whole."""
        self.call(packet(3, 1, string(path), flags, 0), packet(102, 1, string(b"h")))
        zero = struct.pack(">Q", 0)
        ok, end = packet(101, 1, 0, string(b""), string(b"")), packet(101, 1, 1, string(b""), string(b""))
        if flags & W:
            self.call(packet(6, 1, string(b"h"), zero, string(data)), ok)
        else:
            self.call(packet(5, 1, string(b"h"), zero, 32768), packet(103, 1, string(data)))
            self.call(packet(5, 1, string(b"h"), struct.pack(">Q", len(data)), 32768), end)
        return self.call(packet(4, 1, string(b"h")), ok)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path)


@pytest.fixture
def tape(library: Library) -> Tape:
    return library.tape().open()


def invoke(library: Library, *arguments: str) -> Result:
    result = CliRunner().invoke(tacho, ["files", *arguments, "--config", str(library.file)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert all(part.isprintable() for part in (result.stdout + result.stderr).split("\n"))
    return result


def closed(library: Library, tape: Tape) -> str:
    tape.close()
    library.add(tape)
    return tape.session


def test_a_line_has_time_duration_outcome_bytes_and_what_was_done(library: Library, tape: Tape) -> None:
    agent = Agent(tape).file(b"/tmp/new", W | C | T, b"x" * 3000).file(b"/etc/passwd", R, b"y" * 12)
    agent.simple(18, b"/a b", b"/c").simple(13, b"/none", code=2).simple(13, b"/mine", code=3)
    result = invoke(library, closed(library, tape))
    assert (result.exit_code, result.stderr) == (0, "")
    lines = [line.split(maxsplit=2) for line in result.stdout.splitlines()]
    assert [line[:2] for line in lines] == [["00:00", "0.01s"]] * 2 + [["00:00", "0.00s"]] * 3
    assert [line[2].split(maxsplit=1) for line in lines[:2]] == [
        ["ok", "2.9K write /tmp/new"],
        ["ok", "12B read /etc/passwd"],
    ]
    assert [" ".join(line[2].split()) for line in lines[2:]] == [
        'ok rename "/a b" → /c',
        "not found remove /none",
        "denied remove /mine",
    ]


def test_json_has_exactly_the_documented_keys(library: Library, tape: Tape) -> None:
    Agent(tape).file(b"/tmp/n\xffw", W | C | T, b"x" * 3000).simple(13, b"/none", code=2, message=b"No such \x1b file")
    written, removed = map(json.loads, invoke(library, closed(library, tape), "--json").stdout.splitlines())
    assert list(written) == KEYS.split()
    assert written == {
        "at": "2026-11-23T21:19:33.956210Z",
        "offset": 0.006,
        "duration": 0.005,
        "stream": 1,
        "operation": "write",
        "path": "/tmp/n\\xffw",
        "to": None,
        "bytes": 3000,
        "complete": True,
        "status": {"code": 0, "name": "ok", "message": ""},
        "known": "exact",
        "protocol": "sftp",
        "entries": None,
        "flags": ["write", "create", "truncate"],
        "attributes": None,
    }
    assert removed["status"] == {"code": 2, "name": "no-such-file", "message": "No such \x1b file"}
    assert (removed["bytes"], removed["complete"]) == (None, None)


def test_hostile_names_reach_no_terminal_and_pass_for_nothing_else(library: Library, tape: Tape) -> None:
    Agent(tape).simple(13, b"\x1b]0;owned\x07\n\xff\xe2\x80\xae").simple(13, "/x → /etc/shadow (part)".encode())
    tape.put(Kind.IN, 1, packet(200, 9, string(b"\x1b[2J@evil"), b"x"))
    name = closed(library, tape)
    lines = invoke(library, name).stdout.splitlines()
    assert len(lines) == 3
    assert lines[0].endswith("remove \\e]0;owned\\x07\\n\\xff\\u202e")
    assert lines[1].endswith('remove "/x → /etc/shadow (part)"')
    assert "\\e[2J@evil" in lines[2]
    invoke(library, name, "--json")


def test_what_cannot_be_read_is_said_on_stderr(library: Library, tape: Tape) -> None:
    Agent(tape).simple(13, b"/x").tape.put(Kind.IN, 1, struct.pack(">I", 1 << 30) + b"more")
    result = invoke(library, closed(library, tape), "--json")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("tacho: 00:00, stream 1: sftp, from the agent, byte 15: a packet of 1,073,741,824 bytes")


def test_damage_is_mentioned(library: Library, tape: Tape) -> None:
    Agent(tape).simple(13, b"/x")
    tape.chunk()
    where = tape.path.stat().st_size
    tape.run(2, b"ls")
    name = closed(library, tape)
    content = bytearray(tape.path.read_bytes())
    content[where : where + 200] = bytes(200)
    tape.path.write_bytes(content)
    result = invoke(library, name)
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 1)
    assert "tacho: parts of this recording cannot be read: see `tacho verify`" in result.stderr


def test_nothing_there_is_said_and_no_error(library: Library, tape: Tape) -> None:
    tape.run(1, b"ls")
    result = invoke(library, closed(library, tape))
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "tacho: no file operation in this recording\n"


def test_what_is_not_found_exits_3(library: Library, tmp_path: Path) -> None:
    for name in ("ffff", str(tmp_path / "none.tape")):
        result = invoke(library, name)
        assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (3, "", 1)
    assert CliRunner().invoke(tacho, ["files"]).exit_code == 2
