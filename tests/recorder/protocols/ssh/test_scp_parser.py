"""The old scp protocol becomes the same file operations as SFTP's, however it is cut; nonsense ends it."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.protocol import Direction
from recorder.protocols.ssh.scp import Event, Scp, scp_of
from recorder.protocols.ssh.sftp import Attributes, Fault, FileOperation

IN, OUT = Direction.IN, Direction.OUT
Piece = tuple[Direction, bytes]
OK = b"\0"


def parser(command: bytes) -> Scp:
    found = scp_of(command)
    assert found is not None
    return found


def whole(command: bytes, pieces: list[Piece]) -> list[Event]:
    """What is told, checked to be the same byte by byte."""

    def fed(cut: Iterator[Piece] | list[Piece]) -> list[Event]:
        scp = parser(command)
        return [event for side, data in cut for event in scp.receive(side, data)] + scp.end()

    events = fed(pieces)
    assert fed((side, data[at : at + 1]) for side, data in pieces for at in range(len(data))) == events
    return events


def told(events: list[Event]) -> list[tuple[object, ...]]:
    """Kind, path, name, bytes, whether complete, whether well."""
    assert all(isinstance(event, FileOperation) for event in events), events
    operations = [event for event in events if isinstance(event, FileOperation)]
    assert all((each.protocol, each.known) == ("scp", "inferred") for each in operations)
    return [(each.kind, each.path, each.to, each.size, each.complete, each.ok) for each in operations]


def sent(source: Direction, *lines: bytes) -> list[Piece]:
    """What the source sends, each answered with a success; the sink speaks first."""
    sink = OUT if source is IN else IN
    return [(sink, OK), *(piece for line in lines for piece in ((source, line), (sink, OK)))]


@pytest.mark.parametrize(
    "command",
    [
        b"scp",
        b"scp x y",
        b"scp -t",
        b"scp -t x; rm y",
        b"scp -t `id`",
        b"rsync -t x",
        b"scp -t -f x",
        b"scp -t 'x",
        b"",
        b"-",
    ],
)
def test_what_is_no_scp_and_nothing_more_is_not_read(command: bytes) -> None:
    assert scp_of(command) is None


def test_a_file_to_the_target() -> None:
    pieces = sent(IN, b"T20 0 10 0\n", b"C0644 5 name\n", b"hello\0")
    (event,) = whole(b"/usr/bin/scp -v -p -t -- /tmp/x", pieces)
    assert told([event]) == [("write", b"/tmp/x", b"name", 5, True, True)]
    assert isinstance(event, FileOperation)
    assert event.attributes == Attributes(mode=0o644, accessed=10, modified=20)


def test_a_tree_to_the_target_and_back() -> None:
    lines = [b"D0755 0 tree\n", b"C0644 2 a\n", b"hi\0", b"D0700 0 in\n", b"C0600 0 b\n", b"\0", b"E\n", b"E\n"]
    assert told(whole(b"scp -r -t up", sent(IN, *lines))) == [
        ("mkdir", b"up", b"tree", None, None, True),
        ("write", b"up/a", None, 2, True, True),
        ("mkdir", b"up/in", None, None, None, True),
        ("write", b"up/in/b", None, 0, True, True),
    ]
    assert told(whole(b"scp -r -f /srv/tree", sent(OUT, *lines))) == [
        ("readdir", b"/srv/tree", None, None, None, True),
        ("read", b"/srv/tree/a", None, 2, True, True),
        ("readdir", b"/srv/tree/in", None, None, None, True),
        ("read", b"/srv/tree/in/b", None, 0, True, True),
    ]


@pytest.mark.parametrize(
    ("command", "paths"),
    [
        (b"scp -d -t /tmp", [b"/tmp/a", b"/tmp/b"]),
        (b"scp -t /tmp/", [b"/tmp/a", b"/tmp/b"]),
        (b"scp -t .", [b"./a", b"./b"]),
        (b"scp -t /tmp", [b"/tmp", b"/tmp/b"]),  # of the first it was not known
        (b"scp -f /etc/a", [b"/etc/a", b"/etc/b"]),
        (b"scp -f '/etc/*'", [b"/etc/a", b"/etc/b"]),
        (b"scp -f /a", [b"/a", b"/b"]),
        (b"scp -f a b", [b"a", b"b"]),
        (b"scp -f /x/a /y/b", [b"a", b"b"]),
    ],
)
def test_paths_are_put_together(command: bytes, paths: list[bytes]) -> None:
    lines = [b"C0644 1 a\n", b"x\0", b"C0644 1 b\n", b"y\0"]
    events = whole(command, sent(IN if b"-t" in command else OUT, *lines))
    assert [event.path for event in events if isinstance(event, FileOperation)] == paths


def test_failures_of_either_side() -> None:
    refused: list[Piece] = [
        (OUT, OK),
        (IN, b"C0644 5 a\n"),
        (OUT, b"\1scp: a: denied\n"),
        (IN, b"C0644 1 b\n"),
        (OUT, OK),
    ]
    refused += [(IN, b"x\1cannot read\n"), (OUT, OK)]
    events = whole(b"scp -d -t /tmp", refused)
    assert told(events) == [
        ("write", b"/tmp/a", None, 0, False, False),
        ("write", b"/tmp/b", None, 1, False, False),
    ]
    messages = [event.status.message for event in events if isinstance(event, FileOperation) and event.status]
    assert messages == [b"scp: a: denied", b"cannot read"]
    assert told(whole(b"scp -f /none", [(IN, OK), (OUT, b"\1scp: /none: No such file\n")])) == [
        ("read", b"/none", None, None, None, False)
    ]
    assert told(whole(b"scp -d -t /none", [(OUT, b"\2scp: /none: No such folder\n")])) == [
        ("write", b"/none", None, None, None, False)
    ]


def test_a_file_that_is_cut_off() -> None:
    pieces = [(OUT, OK), (IN, b"C0644 9 a\n"), (OUT, OK), (IN, b"half")]
    (event,) = whole(b"scp -t x", pieces)
    assert isinstance(event, FileOperation)
    assert (event.size, event.complete, event.end, event.status) == (4, False, None, None)


@pytest.mark.parametrize(
    ("pieces", "side", "offset"),
    [
        ([(OUT, OK), (IN, b"X\n")], IN, 0),
        ([(OUT, OK), (IN, b"E\n")], IN, 0),
        ([(OUT, OK), (IN, b"C0644 99999999999999999999 a\n")], IN, 0),
        ([(OUT, OK), (OUT, OK)], OUT, 1),
        ([(OUT, OK), (IN, b"x" * 20_000)], IN, 0),
        ([(OUT, OK), (IN, b"T1 0 1 0\n"), (OUT, OK), (IN, OK)], IN, 9),
        ([(OUT, OK), (IN, b"C0644 3 a\nhey"), (OUT, b"\1no\n")], IN, 0),
    ],
)
def test_nonsense_ends_the_reading_and_says_where(pieces: list[Piece], side: Direction, offset: int) -> None:
    events = whole(b"scp -t x", [*pieces, (IN, b"C0644 1 b\n"), (OUT, OK)])
    (fault,) = [event for event in events if isinstance(event, Fault)]
    assert (fault.side, fault.lost, fault.protocol) == (side, True, "scp")
    assert fault.offset == offset
    assert fault.why.isprintable()


def test_folders_without_end_are_bounded() -> None:
    events = whole(b"scp -r -t x", [(OUT, OK), (IN, b"".join(b"D0755 0 %s\n" % (b"d" * 200) for _ in range(2000)))])
    (fault,) = [event for event in events if isinstance(event, Fault)]
    assert fault.lost
    assert len(events) < 1100


def test_random_dialogues_say_the_same_however_they_are_cut() -> None:
    parts = [
        OK,
        b"\1no\n",
        b"E\n",
        b"T1 0 2 0\n",
        b"C0644 3 a\n",
        b"C0600 0 b\n",
        b"D0755 0 d\n",
        b"abc\0",
        b"\n",
        b"\xff",
    ]
    for seed in range(1500):
        chance = random.Random(seed)
        pieces = [
            (chance.choice((IN, OUT)), b"".join(chance.choices(parts, k=chance.randrange(1, 4)))) for _ in range(12)
        ]
        command = chance.choice((b"scp -t x", b"scp -r -f y", b"scp -d -t z"))
        events = whole(command, pieces)
        contents = sum(event.size or 0 for event in events if isinstance(event, FileOperation))
        assert contents <= sum(len(data) for _, data in pieces), seed


@given(st.lists(st.tuples(st.sampled_from((IN, OUT)), st.binary(max_size=40)), max_size=12))
@settings(max_examples=200, deadline=None)
def test_any_bytes_at_all(pieces: list[Piece]) -> None:
    whole(b"scp -t x", pieces)


@given(st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_command_at_all(command: bytes) -> None:
    scp_of(command)
    scp_of(b"scp -t " + command)
