"""SFTP dialogues become file operations, however they are cut; lies about lengths are named and survived."""

import random
import struct
import tracemalloc
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.protocol import Direction
from recorder.protocols.ssh.sftp import (
    MAXIMUM_HANDLES,
    MAXIMUM_REQUESTS,
    Attributes,
    Fault,
    FileOperation,
    Framing,
    Sftp,
    is_sftp,
)
from recorder.protocols.ssh.sftp.parser import MAXIMUM_FAULTS, Event

IN, OUT = Direction.IN, Direction.OUT
Piece = tuple[Direction, bytes]

OPEN, CLOSE, READ, WRITE, LSTAT, FSTAT, SETSTAT, FSETSTAT = range(3, 11)
OPENDIR, READDIR, REMOVE, MKDIR, RMDIR, REALPATH, STAT, RENAME, READLINK, SYMLINK = range(11, 21)
STATUS, HANDLE, DATA, NAME, ATTRS = range(101, 106)
EXTENDED, EXTENDED_REPLY = 200, 201
R, W, A, C, T, X = (1 << bit for bit in range(6))
OK, EOF, MISSING, DENIED, FAILURE = range(5)


def string(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def packet(type_: int, *fields: int | bytes) -> bytes:
    """Numbers are four bytes, bytes stand as they are."""
    body = bytes([type_]) + b"".join(
        field if isinstance(field, bytes) else struct.pack(">I", field) for field in fields
    )
    return string(body)


def long(value: int) -> bytes:
    return struct.pack(">Q", value)


def status(number: int, code: int, message: bytes = b"") -> bytes:
    return packet(STATUS, number, code, string(message), string(b""))


def handle(number: int, value: bytes = b"h") -> bytes:
    return packet(HANDLE, number, string(value))


class Script:
    """A dialogue as it crosses: `agent >> packet`, `target << packet` by `asked` and `answered`."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self._id = 0

    def says(self, side: Direction, data: bytes) -> "Script":
        self.pieces.append((side, data))
        return self

    def hello(self, version: int = 3) -> "Script":
        return self.says(IN, packet(1, 3)).says(OUT, packet(2, version, string(b"fsync@openssh.com"), string(b"1")))

    def ask(self, type_: int, *fields: int | bytes) -> int:
        self._id += 1
        self.says(IN, packet(type_, self._id, *fields))
        return self._id

    def call(self, type_: int, *fields: int | bytes, code: int = OK) -> "Script":
        """A request that is answered by a STATUS."""
        return self.says(OUT, status(self.ask(type_, *fields), code))

    def open(self, path: bytes, flags: int = R, value: bytes = b"h", attributes: bytes = bytes(4)) -> "Script":
        return self.says(OUT, handle(self.ask(OPEN, string(path), flags, attributes), value))

    def read(self, offset: int, data: bytes | None, value: bytes = b"h") -> "Script":
        number = self.ask(READ, string(value), long(offset), 32768)
        return self.says(OUT, status(number, EOF) if data is None else packet(DATA, number, string(data)))

    def write(self, offset: int, data: bytes, value: bytes = b"h", code: int = OK) -> "Script":
        return self.call(WRITE, string(value), long(offset), string(data), code=code)

    def close(self, value: bytes = b"h", code: int = OK) -> "Script":
        return self.call(CLOSE, string(value), code=code)


def fed(parser: Sftp, pieces: Iterable[Piece]) -> list[Event]:
    return [event for side, data in pieces for event in parser.receive(side, data)]


def whole(pieces: Iterable[Piece]) -> list[Event]:
    parser = Sftp()
    return fed(parser, pieces) + parser.end()


def bytewise(pieces: Iterable[Piece]) -> Iterator[Piece]:
    for side, data in pieces:
        for at in range(len(data)):
            yield side, data[at : at + 1]


def joined(pieces: Iterable[Piece]) -> list[Piece]:
    """Pieces of one side that follow each other, as one."""
    result: list[Piece] = []
    for side, data in pieces:
        if result and result[-1][0] is side:
            result[-1] = side, result[-1][1] + data
        else:
            result.append((side, data))
    return result


def cut(pieces: Iterable[Piece], chance: random.Random) -> Iterator[Piece]:
    for side, data in pieces:
        at = 0
        while at < len(data):
            size = chance.choice((1, 2, 3, 5, 17, 100, 5000))
            yield side, data[at : at + size]
            at += size


def read_out(script: Script) -> list[FileOperation]:
    """The operations of a dialogue without faults, checked to be the same for every cut."""
    events = whole(script.pieces)
    assert whole(joined(script.pieces)) == events
    assert whole(bytewise(script.pieces)) == events
    for seed in range(5):
        assert whole(cut(script.pieces, random.Random(seed))) == events
    operations = [event for event in events if isinstance(event, FileOperation)]
    assert operations == events, events
    return operations


def told(operation: FileOperation) -> tuple[object, ...]:
    """Kind, path, size, whether complete, the status's name."""
    name = operation.status.name if operation.status is not None else None
    return operation.kind, operation.path, operation.size, operation.complete, name


def faults(pieces: Iterable[Piece]) -> list[Fault]:
    return [event for event in whole(pieces) if isinstance(event, Fault)]


def test_a_file_read_to_its_end_is_one_operation() -> None:
    script = Script().hello().open(b"/etc/passwd").read(0, b"x" * 900).read(900, b"y" * 100).read(1000, None).close()
    (operation,) = read_out(script)
    assert told(operation) == ("read", b"/etc/passwd", 1000, True, "ok")
    assert (operation.flags, operation.known, operation.ok) == (("read",), "exact", True)


def test_a_file_read_in_part_says_so() -> None:
    for script in (
        Script().open(b"f").read(0, b"x" * 10).close(),  # nobody said that it ends there
        Script().open(b"f").read(5, b"x" * 10).read(15, None).close(),  # not from its beginning
        Script().open(b"f").read(0, b"x" * 5).read(9, b"y").read(10, None).close(),  # with a hole
        Script().open(b"f").read(0, b"x").read(1, None).read(7, b"y").close(),  # it grew meanwhile
    ):
        (operation,) = read_out(script)
        assert operation.complete is False


def test_a_size_that_fstat_said_tells_the_whole() -> None:
    script = Script().open(b"f")
    script.says(OUT, packet(ATTRS, script.ask(FSTAT, string(b"h")), 1, long(10))).read(0, b"x" * 10).close()
    stat, read = read_out(script)
    assert told(stat) == ("fstat", b"f", None, None, "ok")
    assert told(read) == ("read", b"f", 10, True, "ok")


def test_a_file_written_from_its_beginning_is_whole_only_when_nothing_else_can_be_in_it() -> None:
    made = Script().open(b"f", W | C | T).write(0, b"ab").write(2, b"cd").close()
    assert told(*read_out(made)) == ("write", b"f", 4, True, "ok")
    assert told(*read_out(Script().open(b"f", W | C).write(0, b"ab").close())) == ("write", b"f", 2, False, "ok")
    assert told(*read_out(Script().open(b"f", W | C | T).write(1, b"ab").close())) == ("write", b"f", 2, False, "ok")
    assert told(*read_out(Script().open(b"f", W | C | X).close())) == ("write", b"f", 0, True, "ok")
    assert told(*read_out(Script().open(b"f", W | C).close())) == ("open", b"f", None, None, "ok")


def test_writes_and_reads_that_fail_are_told_with_what_failed() -> None:
    script = Script().open(b"f", W | C | T).write(0, b"ab").write(2, b"cd", code=FAILURE).write(4, b"ef").close()
    assert told(*read_out(script)) == ("write", b"f", 4, False, "failure")
    script = Script().open(b"f", W | C | T).write(0, b"ab").close(code=FAILURE)
    assert told(*read_out(script)) == ("write", b"f", 2, True, "failure")
    script = Script().open(b"f")
    script.says(OUT, status(script.ask(READ, string(b"h"), long(0), 9), DENIED)).close()
    assert told(*read_out(script)) == ("read", b"f", 0, False, "permission-denied")


def test_a_file_that_is_given_the_length_of_what_was_written_is_whole() -> None:
    resize = 1, long(4)
    for flags in (W | C, W):
        script = Script().open(b"f", flags).write(0, b"abcd").call(FSETSTAT, string(b"h"), *resize).close()
        assert told(read_out(script)[1]) == ("write", b"f", 4, True, "ok")
    script = Script().open(b"f", W | C | T).write(0, b"abcd").call(FSETSTAT, string(b"h"), 1, long(2))
    script.call(FSETSTAT, string(b"h"), *resize).close()
    assert told(read_out(script)[2]) == ("write", b"f", 4, False, "ok")


def test_truncation_on_the_way_is_no_whole_file() -> None:
    script = Script().open(b"f", W | C | T).write(0, b"abcd").call(FSETSTAT, string(b"h"), 1, long(2)).close()
    resized, written = read_out(script)
    assert resized.attributes == Attributes(size=2)
    assert told(written) == ("write", b"f", 4, False, "ok")


def test_reading_and_writing_of_one_file_are_two_operations() -> None:
    script = Script().open(b"f", R | W).write(0, b"abc").read(0, b"abc").close()
    assert [told(operation) for operation in read_out(script)] == [
        ("read", b"f", 3, False, "ok"),
        ("write", b"f", 3, False, "ok"),
    ]


def test_an_opening_that_fails() -> None:
    script = Script().call(OPEN, string(b"/none"), R, 0, code=MISSING)
    (operation,) = read_out(script)
    assert told(operation) == ("open", b"/none", None, None, "no-such-file")
    assert not operation.ok


def test_a_listing_is_one_operation_with_its_entries() -> None:
    script = Script()
    script.says(OUT, handle(script.ask(OPENDIR, string(b"/tmp")), b"\0\0\0\1"))
    names = [string(b"n%d" % number) + string(b"long") + bytes(4) for number in range(3)]
    script.says(OUT, packet(NAME, script.ask(READDIR, string(b"\0\0\0\1")), 3, *names))
    script.says(OUT, status(script.ask(READDIR, string(b"\0\0\0\1")), EOF)).close(b"\0\0\0\1")
    (operation,) = read_out(script)
    assert told(operation) == ("readdir", b"/tmp", None, None, "ok")
    assert operation.entries == 3
    empty = Script()
    empty.says(OUT, handle(empty.ask(OPENDIR, string(b"/tmp")))).close()
    assert told(*read_out(empty))[0] == "opendir"


def test_operations_on_paths() -> None:
    mode = packet(0, 4, 0o100640)[5:]
    script = Script().call(REMOVE, string(b"a")).call(MKDIR, string(b"b"), mode).call(RMDIR, string(b"c"), code=FAILURE)
    script.call(RENAME, string(b"d"), string(b"e")).call(SYMLINK, string(b"goal"), string(b"link"))
    script.call(SETSTAT, string(b"f"), 0xF, long(7), 1, 2, 0o600, 10, 11).call(LSTAT, string(b"g"), code=DENIED)
    script.says(OUT, packet(ATTRS, script.ask(STAT, string(b"h")), 0))
    script.says(OUT, packet(NAME, script.ask(REALPATH, string(b".")), 1, string(b"/root"), string(b""), bytes(4)))
    script.says(OUT, packet(NAME, script.ask(READLINK, string(b"link")), 1, string(b"goal"), string(b""), bytes(4)))
    found = read_out(script)
    assert [(each.kind, each.path, each.to) for each in found] == [
        ("remove", b"a", None),
        ("mkdir", b"b", None),
        ("rmdir", b"c", None),
        ("rename", b"d", b"e"),
        ("symlink", b"goal", b"link"),
        ("setstat", b"f", None),
        ("lstat", b"g", None),
        ("stat", b"h", None),
        ("realpath", b".", b"/root"),
        ("readlink", b"link", b"goal"),
    ]
    assert found[1].attributes == Attributes(mode=0o100640)
    assert found[5].attributes == Attributes(7, 1, 2, 0o600, 10, 11)
    assert [each.ok for each in found] == [True, True, False, True, True, True, False, True, True, True]


def test_extensions_known_and_unknown() -> None:
    def extended(name: bytes, *fields: int | bytes) -> int:
        return script.ask(EXTENDED, string(name), *fields)

    script = Script().open(b"from", value=b"1").open(b"into", W | C | T, value=b"2")
    two = string(b"a"), string(b"b")
    for number in (
        extended(b"posix-rename@openssh.com", *two),
        extended(b"hardlink@openssh.com", *two),
        extended(b"lsetstat@openssh.com", string(b"a"), 4, 0o644),
        extended(b"fsync@openssh.com", string(b"2")),
        extended(b"copy-data", string(b"1"), long(0), long(5), string(b"2"), long(0)),
        extended(b"vendor@example.com", b"\xff" * 9),
    ):
        script.says(OUT, status(number, OK))
    for number in (
        extended(b"statvfs@openssh.com", string(b"/")),
        extended(b"fstatvfs@openssh.com", string(b"1")),
        extended(b"limits@openssh.com"),
        extended(b"users-groups-by-id@openssh.com", string(bytes(8)), string(bytes(4))),
    ):
        script.says(OUT, packet(EXTENDED_REPLY, number, bytes(88)))
    for number in (extended(b"expand-path@openssh.com", string(b"~")), extended(b"home-directory", string(b"ana"))):
        script.says(OUT, packet(NAME, number, 1, string(b"/home/ana"), string(b""), bytes(4)))
    script.close(b"1").close(b"2")
    assert [(each.kind, each.path, each.to) for each in read_out(script)] == [
        ("rename", b"a", b"b"),
        ("link", b"a", b"b"),
        ("lsetstat", b"a", None),
        ("fsync", b"into", None),
        ("copy-data", b"from", b"into"),
        ("vendor@example.com", None, None),
        ("statvfs", b"/", None),
        ("fstatvfs", b"from", None),
        ("limits", None, None),
        ("users-groups-by-id", None, None),
        ("expand-path", b"~", b"/home/ana"),
        ("home-directory", b"ana", b"/home/ana"),
        ("open", b"from", None),
        ("open", b"into", None),
    ]


def test_requests_in_parallel_and_answers_out_of_order() -> None:
    script = Script().open(b"f", value=b"1").open(b"g", W | C | T, value=b"2")
    reads = [script.ask(READ, string(b"1"), long(10 * part), 10) for part in range(20)]
    writes = [script.ask(WRITE, string(b"2"), long(5 * part), string(b"12345")) for part in range(20)]
    closing = script.ask(CLOSE, string(b"1"))
    chance = random.Random(7)
    chance.shuffle(reads)
    chance.shuffle(writes)
    script.says(OUT, status(closing, OK))  # before what was asked for earlier
    for read, write in zip(reads, writes, strict=True):
        script.says(OUT, status(write, OK)).says(OUT, packet(DATA, read, string(b"x" * 10)))
    script.close(b"2")
    read_, written = read_out(script)
    assert told(read_)[:3] == ("read", b"f", 200)
    assert told(written) == ("write", b"g", 100, True, "ok")


def test_handles_are_used_again() -> None:
    script = Script()
    for name in (b"a", b"b", b"c"):
        script.open(name).read(0, name).read(1, None).close()
    assert [told(each) for each in read_out(script)] == [("read", name, 1, True, "ok") for name in (b"a", b"b", b"c")]


def test_two_requests_under_one_id_are_answered_in_order() -> None:
    script = Script()
    for path in (b"a", b"b"):
        script.says(IN, packet(REMOVE, 5, string(path)))
    script.says(OUT, status(5, OK)).says(OUT, status(5, MISSING))
    assert [told(each)[1::3] for each in read_out(script)] == [(b"a", "ok"), (b"b", "no-such-file")]


def test_what_is_open_and_unanswered_at_the_end_is_told() -> None:
    script = Script().open(b"f", W | C | T).write(0, b"abc")
    script.ask(WRITE, string(b"h"), long(3), string(b"def"))
    script.ask(REMOVE, string(b"g"))
    removed, written = read_out(script)
    assert told(removed) == ("remove", b"g", None, None, None)
    assert told(written) == ("write", b"f", 3, False, None)
    assert (removed.end, written.end, written.ok) == (None, None, False)


def test_times_are_those_of_request_and_answer() -> None:
    parser = Sftp(stream=4)
    script = Script().open(b"f").read(0, b"x").close()
    events = [event for t, (side, data) in enumerate(script.pieces) for event in parser.receive(side, data, 10 * t)]
    (operation,) = [event for event in events if isinstance(event, FileOperation)]
    assert (operation.start, operation.end, operation.stream) == (0, 50, 4)
    parser.receive(IN, packet(REMOVE, 9, string(b"g")), 70)
    assert parser.earliest == 70


def test_statuses_without_a_message_and_unknown_codes() -> None:
    script = Script()
    script.says(OUT, packet(STATUS, script.ask(REMOVE, string(b"f")), 2))
    script.says(OUT, packet(STATUS, script.ask(REMOVE, string(b"f")), 99, string(b"odd"), string(b"")))
    assert [told(each)[4] for each in read_out(script)] == ["no-such-file", "status-99"]


def test_other_versions_are_read_without_flags_and_attributes() -> None:
    script = Script().hello(version=6)
    script.says(OUT, handle(script.ask(OPEN, string(b"f"), 0xFFFFFFFF, 0xFF, 0xFFFFFFFF))).read(0, b"x").close()
    events = whole(script.pieces)
    (fault,) = [event for event in events if isinstance(event, Fault)]
    assert "version 6" in fault.why
    (operation,) = [event for event in events if isinstance(event, FileOperation)]
    assert (operation.kind, operation.path, operation.size, operation.flags) == ("read", b"f", 1, ())


# Lies

LIES = {
    "no type": packet(REMOVE, 1, string(b"a")) + bytes(4) + packet(REMOVE, 2, string(b"b")),
    "a path longer than its packet": packet(REMOVE, 1, struct.pack(">I", 999), b"x") + packet(REMOVE, 2, string(b"b")),
    "no id": packet(REMOVE, b"\0\0") + packet(REMOVE, 2, string(b"b")),
    "a type that is no request": packet(DATA, 1, string(b"")) + packet(REMOVE, 2, string(b"b")),
    "a handle of 300 bytes": packet(CLOSE, 1, string(b"x" * 300)) + packet(REMOVE, 2, string(b"b")),
    "a path of 40 KiB": packet(REMOVE, 1, string(b"x" * 40_960)) + packet(REMOVE, 2, string(b"b")),
    "contents longer than their packet": packet(WRITE, 1, string(b"h"), long(0), 9, b"x")
    + packet(REMOVE, 2, string(b"b")),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_named_with_its_place_and_the_next_packet_is_read(name: str) -> None:
    pieces = [(IN, LIES[name]), (OUT, status(2, OK))]
    events = whole(pieces)
    assert events == whole(bytewise(pieces))
    (fault,) = [event for event in events if isinstance(event, Fault)]
    assert (fault.side, fault.lost) == (IN, False)
    assert fault.offset == (14 if name == "no type" else 0)
    assert fault.why.isprintable()
    assert ("remove", b"b", None, None, "ok") in [told(each) for each in events if isinstance(each, FileOperation)]


def test_a_length_that_cannot_be_loses_the_side_and_a_known_boundary_finds_it_again() -> None:
    parser = Sftp()
    (fault,) = parser.receive(IN, packet(REMOVE, 1, string(b"a")) + b"\xff\xff\xff\xffrubbish" * 3)
    assert isinstance(fault, Fault)
    assert (fault.offset, fault.lost, parser.lost(IN), parser.lost(OUT)) == (14, True, True, False)
    assert parser.receive(IN, packet(REMOVE, 2, string(b"b"))) == []
    assert parser.receive(OUT, status(2, OK)) == []  # an answer to what was not read is no fault
    parser.gap(IN, 3)
    assert parser.remaining(IN) == 3
    assert parser.receive(IN, b"xyz" + packet(REMOVE, 3, string(b"c"))) == []
    (operation,) = parser.receive(OUT, status(3, OK))
    assert isinstance(operation, FileOperation)
    assert told(operation) == ("remove", b"c", None, None, "ok")


def test_answers_that_fit_no_request() -> None:
    script = Script().says(OUT, status(77, OK))
    script.says(OUT, handle(script.ask(REMOVE, string(b"f"))))
    script.says(OUT, packet(150, script.ask(REMOVE, string(b"g"))))
    script.says(OUT, packet(DATA, script.ask(READ, string(b"?"), long(0), 9), 9999, b"short"))
    events = whole(script.pieces)
    whys = [event.why for event in events if isinstance(event, Fault)]
    assert len(whys) == 5
    assert whys[0] == "an answer to no request"
    assert [told(event)[:2] + told(event)[4:] for event in events if isinstance(event, FileOperation)] == [
        ("remove", b"f", None),
        ("remove", b"g", None),
        ("read", None, "ok"),
    ]


def test_bytes_that_end_inside_a_packet_are_a_fault() -> None:
    script = Script().open(b"f")
    script.says(OUT, packet(DATA, script.ask(READ, string(b"h"), long(0), 9), string(b"123456789"))[:-4])
    events = whole(script.pieces)
    (fault,) = [event for event in events if isinstance(event, Fault)]
    assert fault.why == "the bytes end 4 short of a packet's end"
    assert [told(event)[:3] for event in events if isinstance(event, FileOperation)] == [("read", b"f", 0)]


def test_faults_are_limited_and_counted() -> None:
    found = faults([(IN, bytes(4 * 1000))])
    assert len(found) == MAXIMUM_FAULTS + 1
    assert found[-1].why == f"{1000 - MAXIMUM_FAULTS} more faults on this channel"


# Gaps


def test_reading_begins_in_the_middle() -> None:
    script = Script().open(b"f", W | C | T).write(0, b"x" * 100).write(100, b"y" * 100)
    script.close().call(REMOVE, string(b"g"))
    before, after = script.pieces[:4], script.pieces[4:]
    side, data = before[-2]
    parser, first = Sftp(), Sftp()
    fed(first, [*before[:-2], (side, data[:50])])
    parser.gap(IN, first.remaining(IN))
    parser.gap(OUT, first.remaining(OUT))
    events = fed(parser, [(side, data[50:]), before[-1], *after]) + parser.end()
    written, removed = events
    assert isinstance(written, FileOperation)
    assert isinstance(removed, FileOperation)
    assert told(written) == ("write", None, 100, False, "ok")
    assert (written.known, removed.known) == ("partial", "exact")
    assert told(removed) == ("remove", b"g", None, None, "ok")


def test_a_gap_makes_the_files_across_it_partial() -> None:
    parser = Sftp()
    script = Script().open(b"f").read(0, b"x").read(1, None).close()
    fed(parser, script.pieces[:4])
    parser.gap(IN, 0)
    parser.gap(OUT, 0)
    (operation,) = fed(parser, script.pieces[4:])
    assert isinstance(operation, FileOperation)
    assert told(operation) == ("read", b"f", 1, False, "ok")
    assert operation.known == "partial"


def test_a_handle_that_comes_again_after_a_gap_ends_the_file_before() -> None:
    parser = Sftp()
    fed(parser, Script().open(b"f").pieces)
    parser.gap(IN, 0)
    first, second = fed(parser, Script().open(b"g").read(0, b"x").close().pieces)
    assert isinstance(first, FileOperation)
    assert isinstance(second, FileOperation)
    assert (first.path, first.known, first.end) == (b"f", "partial", None)
    assert (second.path, second.known) == (b"g", "exact")


# Bounds


def test_memory_is_flat_for_long_transfers() -> None:
    parser = Sftp()
    fed(parser, Script().open(b"f", W | C | T).pieces)
    body = b"x" * 32768
    tracemalloc.start()
    for number in range(3000):
        request = packet(WRITE, number, string(b"h"), long(number * 32768), string(body))
        for at in range(0, len(request), 32768):
            parser.receive(IN, request[at : at + 32768])
        parser.receive(OUT, status(number, OK))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    (operation,) = fed(parser, [(IN, packet(CLOSE, 1, string(b"h"))), (OUT, status(1, OK))])
    assert isinstance(operation, FileOperation)
    assert told(operation) == ("write", b"f", 3000 * 32768, True, "ok")
    assert peak < 1_000_000


def test_requests_that_are_never_answered_are_bounded() -> None:
    parser = Sftp()
    events = []
    for number in range(MAXIMUM_REQUESTS + 10):
        events += parser.receive(IN, packet(REMOVE, number, string(b"f")))
    fault, *given_up = events
    assert isinstance(fault, Fault)
    assert "given up" in fault.why
    assert len(given_up) == 10
    assert len(parser.end()) == MAXIMUM_REQUESTS


def test_long_paths_and_many_handles_are_bounded() -> None:
    parser = Sftp()
    path = b"p" * 32_000
    tracemalloc.start()
    count = 0
    for number in range(1200):
        events = parser.receive(IN, packet(REMOVE, number, string(path)))
        count += sum(isinstance(event, FileOperation) for event in events)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count > 600
    assert peak < 40_000_000
    parser = Sftp()
    events = []
    for number in range(MAXIMUM_HANDLES + 5):
        name = b"%d" % number
        events += fed(parser, [(IN, packet(OPEN, 1, string(name), R, 0)), (OUT, handle(1, name))])
    assert [event.path for event in events if isinstance(event, FileOperation)] == [b"0", b"1", b"2", b"3", b"4"]


def test_writes_all_over_a_file_cost_no_memory() -> None:
    parser = Sftp()
    fed(parser, Script().open(b"f", W | C | T).pieces)
    for number in range(0, 20_000, 2):
        fed(parser, [(IN, packet(WRITE, 1, string(b"h"), long(number), string(b"x"))), (OUT, status(1, OK))])
    (operation,) = fed(parser, [(IN, packet(CLOSE, 1, string(b"h"))), (OUT, status(1, OK))])
    assert isinstance(operation, FileOperation)
    assert told(operation) == ("write", b"f", 10_000, False, "ok")


# Framing: what is recorded beside the bytes while they cross


@given(st.lists(st.integers(1, 40), max_size=20), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_framing_and_parser_agree_on_what_remains(sizes: list[int], chance: random.Random) -> None:
    stream = b"".join(string(bytes([LSTAT]) + bytes(size - 1)) for size in sizes)
    framing, parser = Framing(), Sftp()
    ends = {0}
    at = 0
    for size in sizes:
        at += 4 + size
        ends.add(at)
    at = 0
    for _, piece in cut([(IN, stream)], chance):
        at += len(piece)
        parser.receive(IN, piece)
        left = framing.cross(piece)
        assert left == parser.remaining(IN)
        begun = max(end for end in ends if end <= at)
        if at - begun >= 4 or at == begun:
            assert at + left in ends
        else:
            assert left == 4 - (at - begun)


def test_the_cost_of_framing_does_not_depend_on_lengths() -> None:
    framing = Framing()
    assert framing.cross(b"\xff\xff\xff\xff") == 0xFFFFFFFF
    assert framing.cross(b"x" * 1000) == 0xFFFFFFFF - 1000
    assert Framing().cross(bytes(4) * 3) == 0


@pytest.mark.parametrize(
    ("request_", "text", "known"),
    [
        ("subsystem", b"sftp", True),
        ("subsystem", b"sftp2", False),
        ("exec", b"sftp", False),
        ("exec", b"/usr/lib/openssh/sftp-server", True),
        ("exec", b"sftp-server -R -d /srv", True),
        ("exec", b"sftp-server; id", False),
        ("exec", b"echo sftp-server", False),
        ("shell", b"", False),
    ],
)
def test_what_speaks_sftp(request_: str, text: bytes, known: bool) -> None:
    assert is_sftp(request_, text) is known


# Fuzz


def dialogue(chance: random.Random) -> list[Piece]:
    """A random dialogue of mostly sensible packets."""
    pieces: list[Piece] = [(IN, packet(1, 3)), (OUT, packet(2, 3))]
    for number in range(chance.randrange(1, 40)):
        handle_ = chance.choice((b"a", b"b", b"c"))
        path = chance.randbytes(chance.randrange(8))
        request = chance.choice(
            (
                packet(OPEN, number, string(path), chance.randrange(64), 0),
                packet(CLOSE, number, string(handle_)),
                packet(READ, number, string(handle_), long(chance.randrange(99)), 99),
                packet(WRITE, number, string(handle_), long(chance.randrange(99)), string(path)),
                packet(chance.randrange(256), number, string(path), string(path)),
                packet(OPENDIR, number, string(path)),
                packet(READDIR, number, string(handle_)),
                packet(EXTENDED, number, string(b"copy-data"), string(handle_), long(0), long(9), string(handle_)),
            )
        )
        answer = chance.choice(
            (
                status(number, chance.randrange(4)),
                handle(number, handle_),
                packet(DATA, number, string(path)),
                packet(NAME, number, 1, string(path)),
                packet(ATTRS, number, chance.getrandbits(32), chance.randbytes(40)),
                packet(chance.randrange(256), number, chance.randbytes(9)),
            )
        )
        pieces += [(IN, request), (OUT, answer)]
    return pieces


def mutated(pieces: list[Piece], chance: random.Random) -> list[Piece]:
    """Bytes changed, dropped, doubled; four of them made a length that lies."""
    result = []
    for side, data in pieces:
        if chance.random() < 0.2:
            changed = bytearray(data)
            for _ in range(chance.randrange(1, 4)):
                at = chance.randrange(len(changed))
                match chance.randrange(4):
                    case 0:
                        changed[at] = chance.randrange(256)
                    case 1:
                        del changed[at:]
                    case 2:
                        changed[at:at] = changed[:at]
                    case _:
                        changed[at : at + 4] = struct.pack(
                            ">I", chance.choice((0, 1, 255, 1 << 24, 1 << 31, 0xFFFFFFFF))
                        )
                if not changed:
                    break
            data = bytes(changed)
        result.append((side, data))
    return result


def fuzzed(seed: int) -> None:
    chance = random.Random(seed)
    pieces = mutated(dialogue(chance), chance)
    if chance.random() < 0.1:
        pieces = [(chance.choice((IN, OUT)), chance.randbytes(chance.randrange(300))) for _ in range(20)]
    events = whole(pieces)
    assert whole(bytewise(pieces)) == events, seed
    assert all(event.why.isprintable() for event in events if isinstance(event, Fault)), seed
    crossed = sum(len(data) for _, data in pieces)
    moved = sum(event.size or 0 for event in events if isinstance(event, FileOperation) and event.kind != "copy-data")
    assert moved <= crossed, seed  # no length is believed that the bytes do not bear out


def test_random_and_mutated_dialogues() -> None:
    for seed in range(600):
        fuzzed(seed)


@pytest.mark.long
def test_random_and_mutated_dialogues_at_length() -> None:
    for seed in range(600, 25_000):
        fuzzed(seed)


@given(st.lists(st.tuples(st.sampled_from((IN, OUT)), st.binary(max_size=60)), max_size=12))
@settings(max_examples=300, deadline=None)
def test_any_bytes_at_all(pieces: list[Piece]) -> None:
    assert whole(pieces) == whole(bytewise(pieces))
