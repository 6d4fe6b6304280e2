"""Frames to and from msgpack: every kind, any cut, and whatever a hostile chunk may hold."""

import tracemalloc

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.format.frame import ChunkDecoder, Frame, FrameError, Kind, Preamble, pack_preamble

SEED = bytes(range(16))
PREAMBLE = Preamble(4, 100, SEED, ((1, 0, 77), (1, 1, 5)))
MEBIBYTE = 1024 * 1024


def packed(*values: object) -> list[bytes]:
    return [msgpack.packb(value, unicode_errors="surrogateescape") for value in values]


def decode(*pieces: bytes) -> list[tuple[Frame, bytes]]:
    decoder = ChunkDecoder()
    found = [item for piece in (pack_preamble(PREAMBLE), *pieces) for item in decoder.feed(piece)]
    assert decoder.preamble == PREAMBLE
    return found


def frames(*pieces: bytes) -> list[Frame]:
    return [frame for frame, _ in decode(*pieces)]


BODIES: dict[int, object] = {
    Kind.OPEN: {"agent": "ci", "rules": bytes(32), "sources": {"agent": "verified"}},
    Kind.IN: b"ls\r",
    Kind.OUT: b"\x1b[1mx\x00\xff",
    Kind.ERR: b"no\n",
    Kind.NOTE: {"name": "resize", "columns": 80, "rows": 24},
    Kind.VERDICT: {"operation": "exec", "effect": "allow", "rule": "default"},
    Kind.GAP: {"why": "disk", "bytes": 2**40},
    Kind.RECOVERY: {"kept": 5, "cut": 0},
    Kind.CLOSE: {"reason": "", "verdicts": {"allowed": 1}},
    Kind.HELD: b"rm -rf /\r",
    Kind.MADE: [1, b"denied\r\n"],
    Kind.WITHHELD: [bytes(32), 17],
}


def test_every_kind_has_a_body_here() -> None:
    assert set(BODIES) == set(Kind)


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_comes_back(kind: Kind) -> None:
    assert frames(*packed([5, kind, 3, BODIES[kind]])) == [Frame(100, 5, kind, 3, BODIES[kind])]


@pytest.mark.parametrize("kind", [12, 99, 255, 2**32, 2**64 - 1])
@pytest.mark.parametrize("body", [b"x", {"a": 1}, [1, [2]], None, 1.5, "text"])
def test_unknown_kinds_are_kept(kind: int, body: object) -> None:
    assert frames(*packed([0, kind, 0, body])) == [Frame(100, 0, kind, 0, body)]


def test_what_a_later_version_adds_to_frame_or_map_is_no_error() -> None:
    (frame,) = frames(*packed([1, 4, 0, {"name": "x", "new": [1, {2: b"y"}], 3: 4}, "more", 7]))
    assert frame == Frame(100, 1, 4, 0, {"name": "x", "new": [1, {2: b"y"}], 3: 4})


@pytest.mark.parametrize("size", [0, 1, 31, 32, 255, 256, 4095, 4096, 32 * 1024 - 1, 32 * 1024])
def test_bodies_up_to_the_limit_come_back(size: int) -> None:
    body = bytes(number * 7 % 251 for number in range(size))
    (frame,) = frames(*packed([0, Kind.OUT, 0, body]))
    assert frame.data() == body


def test_strings_that_are_no_utf8_come_back_as_they_were() -> None:
    name = b"caf\xe9 \xff\xfe".decode("utf-8", "surrogateescape")
    (frame,) = frames(*packed([0, Kind.NOTE, 0, {"name": name, name: 1}]))
    assert frame.facts() == {"name": name, name: 1}
    assert name.encode("utf-8", "surrogateescape") == b"caf\xe9 \xff\xfe"


def test_a_frame_of_another_shape_has_neither_data_nor_facts() -> None:
    assert Frame(0, 0, 10, 0, [1, b"x"]).data() == b""
    assert Frame(0, 0, 10, 0, [1, b"x"]).facts() == {}
    assert Frame(0, 0, 1, 0, b"x").facts() == {}
    assert Frame(0, 0, 4, 0, {"a": 1}).data() == b""


def test_numbers_go_on_from_the_preamble() -> None:
    assert [frame.number for frame in frames(*packed(*[[0, 1, 0, b""]] * 3))] == [100, 101, 102]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64, 1000])
def test_a_chunk_cut_anywhere_gives_the_same_frames(step: int) -> None:
    whole = packed(*([number, 1, 0, b"x" * number] for number in range(0, 300, 37)))
    data = b"".join(whole)
    cut = [data[at : at + step] for at in range(0, len(data), step)]
    assert frames(*cut) == frames(data)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64, 1000])
def test_a_chunk_cut_anywhere_gives_the_packed_bytes_of_each_frame(step: int) -> None:
    whole = packed(*([number, 1, 0, b"x" * number] for number in range(0, 300, 37)))
    data = pack_preamble(PREAMBLE) + b"".join(whole)
    decoder = ChunkDecoder()
    found = [raw for at in range(0, len(data), step) for _, raw in decoder.feed(data[at : at + step])]
    assert found == whole
    assert decoder.pending == 0


def test_an_unfinished_frame_is_held_not_given() -> None:
    decoder = ChunkDecoder()
    (frame,) = packed([0, 1, 0, b"x" * 100])
    assert list(decoder.feed(pack_preamble(PREAMBLE) + frame[:50])) == []
    assert decoder.pending == 50


def test_frames_before_the_one_that_breaks_off_are_given() -> None:
    good = packed([0, 1, 0, b"a"], [1, 1, 0, b"b"])
    found = ChunkDecoder().feed(pack_preamble(PREAMBLE) + b"".join(good) + b"\xc1")
    assert [next(found)[0].data(), next(found)[0].data()] == [b"a", b"b"]
    with pytest.raises(FrameError, match="frame 102"):
        next(found)


NO_FRAMES = [
    *packed(None, 1, b"x", "x", {}, [], [1, 2, 3], [0, 1, "0", b""], [0.0, 1, 0, b""], [True, 1, 0, b""]),
    *packed([-1, 1, 0, b""], [0, -1, 0, b""], [0, 1, -1, b""], [0, None, 0, b""], [[0], 1, 0, b""]),
    b"\xc1",
    b"\x94\x00\x01\x00\xd7\xff" + b"\xff" * 8,  # a timestamp of impossible nanoseconds
    b"\x94\x00\x01\x00\xc7\x03\xffabc",  # a timestamp of impossible length
    b"\x94\x00\x01\x00\x81\x90\x01",  # a map with a list as key
    b"\x94\x00\x01\x00\x81\x80\x01",
]


@pytest.mark.parametrize("data", NO_FRAMES, ids=lambda data: data.hex()[:24])
def test_what_is_no_frame_is_a_frame_error(data: bytes) -> None:
    with pytest.raises(FrameError):
        decode(data)


NO_PREAMBLES = [
    *packed(None, 7, [], [0, 0, SEED], {0: 1}, [0, 0, "seed", []], [-1, 0, SEED, []], [0, True, SEED, []]),
    *packed([0, 0, SEED, {}], [0, 0, SEED, [1]], [0, 0, SEED, [[1, 2]]], [0, 0, SEED, [[1, 2, -3]]]),
    *packed([0, 0, SEED, [[1, 2, "3"]]], [0, 0, SEED, None]),
]


@pytest.mark.parametrize("data", NO_PREAMBLES, ids=lambda data: data.hex()[:24])
def test_a_chunk_without_a_preamble_is_a_frame_error(data: bytes) -> None:
    with pytest.raises(FrameError):
        list(ChunkDecoder().feed(data))


HOSTILE = {
    "huge array": b"\xdd\xff\xff\xff\xff",
    "huge map": b"\xdf\xff\xff\xff\xff",
    "huge string": b"\xdb\xff\xff\xff\xff",
    "huge bytes": b"\xc6\xff\xff\xff\xff",
    "huge extension": b"\xc9\xff\xff\xff\xff\x01",
    "array as body": b"\x94\x00\x01\x00\xdd\x7f\xff\xff\xff",
    "map as body": b"\x94\x00\x01\x00\xdf\x7f\xff\xff\xff",
    "bytes as body": b"\x94\x00\x01\x00\xc6\x7f\xff\xff\xff",
    "array over the limit": b"\x94\x00\x01\x00\xdc\xff\xff",
    "deep arrays": b"\x91" * 100_000,
    "deep maps": b"\x81\x00" * 100_000,
    "deep body": b"\x94\x00\x01\x00" + b"\x91" * 100_000,
    "deep keys": b"\x94\x00\x01\x00" + b"\x81" * 100_000,
    "huge preamble number": b"\x94\xcf" + b"\xff" * 8,
}


def peak_of(*pieces: bytes) -> int:
    """The most bytes that decoding `pieces` allocated; what it says of them does not matter here."""
    decoder = ChunkDecoder()
    tracemalloc.start()
    try:
        for piece in pieces:
            for _ in decoder.feed(piece):
                continue
    except FrameError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return peak


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("first", [b"", pack_preamble(PREAMBLE)], ids=["as preamble", "as frame"])
def test_hostile_msgpack_allocates_little(first: bytes, data: bytes) -> None:
    assert peak_of(first + data) < 4 * MEBIBYTE


def test_declared_but_absent_elements_in_every_level_allocate_a_bounded_amount() -> None:
    assert peak_of(pack_preamble(PREAMBLE) + b"\x94\x00\x01\x00" + b"\xdc\x10\x00" * 100_000) < 64 * MEBIBYTE


def test_a_chunk_that_never_ends_a_frame_is_given_up_at_the_limit() -> None:
    body = b"\x94\x00\x01\x00\xc6\x00\x50\x00\x00"
    pieces = [pack_preamble(PREAMBLE) + body, *[bytes(128 * 1024)] * 64]
    assert peak_of(*pieces) < 24 * MEBIBYTE


def test_a_frame_of_empty_containers_does_not_multiply_in_memory() -> None:
    # One byte on the tape, less when compressed, is one list of 56 bytes in memory: a frame must be bounded itself.
    many = b"\xdc\x10\x00" + (b"\xdc\x00\x80" + b"\x90" * 128) * 4096
    pieces = [many[at : at + 128 * 1024] for at in range(0, len(many), 128 * 1024)]
    assert peak_of(pack_preamble(PREAMBLE) + b"\x94\x00\x01\x00", *pieces) < 16 * MEBIBYTE


JSONISH = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False), st.binary(max_size=40)
    )
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5) | st.integers(0, 9), inner, max_size=4)
    ),
    max_leaves=10,
)
COUNT = st.integers(0, 2**64 - 1)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(COUNT, COUNT, COUNT, JSONISH), max_size=8), st.integers(1, 60))
def test_any_frames_come_back_through_any_cut(values: list[tuple[int, int, int, object]], step: int) -> None:
    data = b"".join(packed(*map(list, values)))
    found = frames(*(data[at : at + step] for at in range(0, len(data), step)))
    assert [tuple(frame)[1:] for frame in found] == values


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=6), st.booleans())
def test_any_bytes_are_frames_or_a_frame_error(pieces: list[bytes], after_preamble: bool) -> None:
    decoder = ChunkDecoder()
    try:
        for piece in ([pack_preamble(PREAMBLE)] if after_preamble else []) + pieces:
            for frame, _ in decoder.feed(piece):
                assert frame.t >= 0
    except FrameError:
        return
