"""File operations are read from a recording's sftp channels: in order, past damage, in bounded memory."""

import struct
import tracemalloc
from collections.abc import Iterable
from pathlib import Path

import pytest

from recorder.format.frame import Kind
from recorder.protocols.ssh.sftp import Fault, FileOperation, Framing
from replay import recording
from replay.transcript import Entry, Mark, entries, files
from tests.replay.tapes import Tape

R, W, C, T = 1, 2, 8, 16
OPEN, CLOSE, READ, WRITE, REMOVE, RENAME = 3, 4, 5, 6, 13, 18


def string(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def packet(type_: int, number: int, *fields: int | bytes) -> bytes:
    numbers = (field if isinstance(field, bytes) else struct.pack(">I", field) for field in (number, *fields))
    return string(bytes([type_]) + b"".join(numbers))


def status(number: int, code: int = 0, message: bytes = b"") -> bytes:
    return packet(101, number, code, string(message), string(b""))


class Agent:
    """An agent's sftp channel `stream` on `tape`; frames are recorded as the gateway does, with what remains."""

    def __init__(self, tape: Tape, stream: int = 1) -> None:
        self.tape = tape
        self.stream = stream
        self._framing = {Kind.IN: Framing(), Kind.OUT: Framing()}
        tape.note(stream, "channel", type="session").note(stream, "subsystem", subsystem=b"sftp")
        tape.allow(stream, "subsystem").note(stream, "answer", request="subsystem", ok=True)

    def crosses(self, kind: Kind, data: bytes, size: int = 32768) -> "Agent":
        for at in range(0, len(data), size):
            piece = data[at : at + size]
            self.tape.put(kind, self.stream, piece, remaining=self._framing[kind].cross(piece))
        return self

    def call(self, type_: int, number: int, *fields: int | bytes, code: int = 0) -> "Agent":
        self.crosses(Kind.IN, packet(type_, number, *fields))
        return self.crosses(Kind.OUT, status(number, code))

    def open(self, path: bytes, flags: int = W | C | T, handle: bytes = b"h") -> "Agent":
        self.crosses(Kind.IN, packet(OPEN, 1, string(path), flags, 0))
        return self.crosses(Kind.OUT, packet(102, 1, string(handle)))

    def write(self, offset: int, data: bytes, handle: bytes = b"h") -> "Agent":
        return self.call(WRITE, 2, string(handle), struct.pack(">Q", offset), string(data))

    def close(self, handle: bytes = b"h") -> "Agent":
        return self.call(CLOSE, 3, string(handle))

    def remove(self, path: bytes, code: int = 0) -> "Agent":
        return self.call(REMOVE, 4, string(path), code=code)

    def ends(self) -> "Agent":
        self.tape.note(self.stream, "exit", status=0).note(self.stream, "close", side="out")
        return self


@pytest.fixture
def tape(tmp_path: Path) -> Tape:
    return Tape(tmp_path).open()


def found(path: Path) -> list[FileOperation | Fault]:
    with recording.open(path) as opened:
        return list(files(opened))


def told(found: Iterable[FileOperation | Fault]) -> list[tuple[int, str, bytes | None, int | None, str]]:
    """Stream, kind, path, size and how well it is known."""
    operations = [each for each in found if isinstance(each, FileOperation)]
    return [(each.stream, each.kind, each.path, each.size, each.known) for each in operations]


def test_operations_of_all_channels_come_in_the_order_in_which_they_began(tape: Tape) -> None:
    first = Agent(tape).open(b"long").write(0, b"abc")
    second = Agent(tape, 2).remove(b"x")
    first.remove(b"y")
    second.remove(b"z").ends()
    first.close().ends()
    operations = found(tape.close())
    assert told(operations) == [
        (1, "write", b"long", 3, "exact"),
        (2, "remove", b"x", None, "exact"),
        (1, "remove", b"y", None, "exact"),
        (2, "remove", b"z", None, "exact"),
    ]
    starts = [each.start for each in operations if isinstance(each, FileOperation)]
    assert starts == sorted(starts)


def test_a_file_that_stays_open_holds_a_bounded_number_back(tape: Tape) -> None:
    agent = Agent(tape).open(b"long")
    for _ in range(10_500):
        agent.remove(b"x")
    agent.close().ends()
    tape.close()
    with recording.open(tape.path) as opened:
        names = [each.path for each in files(opened) if isinstance(each, FileOperation)]
    assert len(names) == 10_501
    assert names.index(b"long") < 600


def test_only_sftp_channels_are_read(tape: Tape) -> None:
    tape.run(1, b"cat", out=packet(REMOVE, 1, string(b"x")), given=packet(REMOVE, 1, string(b"x")))
    tape.note(2, "subsystem", subsystem=b"other").put(Kind.IN, 2, packet(REMOVE, 1, string(b"x")))
    tape.note(3, "subsystem", subsystem=b"sftp").note(3, "answer", request="subsystem", ok=False)
    tape.put(Kind.IN, 3, packet(REMOVE, 1, string(b"x")))
    assert found(tape.close()) == []


def test_what_a_live_session_has_open_is_told_without_an_end(tape: Tape) -> None:
    Agent(tape).open(b"f").write(0, b"abc")
    with recording.open(tape.flush().path) as opened:
        (operation,) = files(opened)
    assert isinstance(operation, FileOperation)
    assert (operation.kind, operation.size, operation.end, operation.complete) == ("write", 3, None, False)


def test_an_error_in_the_agent_s_packets_is_told(tape: Tape) -> None:
    Agent(tape).crosses(Kind.IN, packet(REMOVE, 1, struct.pack(">I", 99) + b"x")).remove(b"y")
    fault, *operations = found(tape.close())
    assert isinstance(fault, Fault)
    assert (fault.stream, fault.side, fault.offset) == (1, 1, 0)
    assert told(operations)[-1] == (1, "remove", b"y", None, "exact")


def damaged(path: Path, number: int) -> None:
    """Makes chunk `number` of a closed tape unreadable."""
    with recording.open(path) as opened:
        (part,) = opened._parts
        offset = part.reader.chunks[number].offset
    content = bytearray(path.read_bytes())
    content[offset : offset + 40] = bytes(40)
    path.write_bytes(content)


@pytest.mark.parametrize("cut", [1, 3, 4, 40, 1000, 32768])
def test_after_a_lost_chunk_each_side_goes_on_at_its_next_packet(tape: Tape, cut: int) -> None:
    """The cut of 1 and 3 bytes makes the chunk end inside a packet's length."""
    agent = Agent(tape).open(b"f").write(0, b"a" * 5000)
    tape.chunk()
    agent.remove(b"lost").crosses(Kind.IN, packet(REMOVE, 9, string(b"p" * 300))[:cut])
    tape.chunk()
    agent.crosses(Kind.IN, packet(REMOVE, 9, string(b"p" * 300))[cut:]).crosses(Kind.OUT, status(9))
    tape.chunk()
    agent.write(5000, b"b" * 100).close().remove(b"last").ends()
    path = tape.close()
    whole = told(found(path))
    assert (1, "remove", b"lost", None, "exact") in whole
    damaged(path, 1)
    after = told(found(path))
    assert after == [(1, "write", b"f", 5100, "partial"), (1, "remove", b"last", None, "exact")]


def test_a_channel_whose_beginning_is_lost_is_found_by_the_packet_that_was_crossing(tape: Tape) -> None:
    agent = Agent(tape).open(b"f")
    request = packet(WRITE, 2, string(b"h"), struct.pack(">Q", 0), string(b"a" * 100_000))
    agent.crosses(Kind.IN, request[:32768])
    tape.chunk()
    agent.crosses(Kind.IN, request[32768:]).crosses(Kind.OUT, status(2)).write(100_000, b"b").close()
    agent.remove(b"x").ends()
    path = tape.close()
    damaged(path, 0)
    assert told(found(path)) == [(1, "write", None, 1, "partial"), (1, "remove", b"x", None, "exact")]


@pytest.mark.parametrize("kind", [Kind.GAP, Kind.WITHHELD])
def test_frames_that_are_known_to_be_missing_lose_the_packets_until_the_next_chunk(tape: Tape, kind: Kind) -> None:
    agent = Agent(tape).remove(b"a")
    tape.put(kind, 1, {"bytes": 77})
    agent.remove(b"unread")
    tape.chunk()
    agent.remove(b"b")
    assert [operation[2] for operation in told(found(tape.close()))] == [b"a", b"b"]


def test_lost_boundaries_are_found_at_the_next_chunk(tape: Tape) -> None:
    agent = Agent(tape).remove(b"a")
    agent.crosses(Kind.IN, struct.pack(">I", 20_000_000) + bytes(10))
    tape.chunk()
    agent.crosses(Kind.IN, bytes(20_000_000 - 10)).remove(b"b").ends()
    result = found(tape.close())
    assert [operation[2] for operation in told(result)] == [b"a", b"b"]
    (fault,) = [each for each in result if isinstance(each, Fault)]
    assert fault.lost


def test_memory_does_not_grow_with_the_contents(tape: Tape) -> None:
    agent = Agent(tape).open(b"f")
    body = bytes(32768)
    for number in range(600):
        agent.write(number * 32768, body)
    agent.close().ends()
    path = tape.close()
    with recording.open(path) as opened:
        tracemalloc.start()
        (operation,) = files(opened)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert isinstance(operation, FileOperation)
    assert (operation.size, operation.complete) == (600 * 32768, True)
    assert peak < 4_000_000


def transcript(path: Path, start: int = 0) -> list[Entry]:
    with recording.open(path) as opened:
        return [entry for entry in entries(opened, start) if entry.mark not in (Mark.SESSION, Mark.END)]


def test_the_transcript_of_a_channel_lists_its_operations_where_they_ended(tape: Tape) -> None:
    agent = Agent(tape).open(b"f").remove(b"x\x1b[2J", code=3).write(0, b"abc").close()
    agent.call(RENAME, 5, string(b"a b"), string(b"c")).ends()
    path = tape.close()
    found = [(entry.mark, entry.text.partition(" after")[0]) for entry in transcript(path)]
    assert found[:4] == [
        (Mark.CHANNEL, "subsystem sftp"),
        (Mark.FILE, "remove x\\e[2J: denied"),
        (Mark.FILE, "write f: ok, 3 bytes"),
        (Mark.FILE, 'rename "a b" → c: ok'),
    ]
    assert found[-1] == (Mark.EXIT, "exit 0")
    late = transcript(path, 10_000_000)
    assert late == []


def test_the_transcript_names_what_could_not_be_read(tape: Tape) -> None:
    Agent(tape).crosses(Kind.IN, bytes(4)).remove(b"x").ends()
    texts = [entry.text for entry in transcript(tape.close()) if entry.mark is Mark.FACT]
    assert texts == ["sftp, from the agent, byte 0: a packet without a type"]
