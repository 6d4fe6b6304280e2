"""Tapes made to harm: they can neither crash the reader, nor fill the memory, nor show what was not recorded."""

import hashlib
import random
import struct
import time
import tracemalloc
from pathlib import Path

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.format.frame import Preamble, pack_preamble
from recorder.format.reader import SegmentReader, UnreadableTape, decompressed
from recorder.format.seal import Seal
from recorder.format.writer import Entry
from tests.recorder.format.tape_tools import (
    CHECKPOINT,
    CHUNK,
    HEADER,
    INDEX,
    SEAL,
    Reading,
    pieces,
    read,
    skippable,
    small,
    values,
    write,
    zstd_blocks,
)

MEBIBYTE = 1024 * 1024
PREAMBLE = pack_preamble(Preamble(0, 0, bytes(16), ()))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "0.tape"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A whole small tape."""
    path = tmp_path_factory.mktemp("sample") / "0.tape"
    write(path, small(3))
    return path.read_bytes()


@pytest.fixture
def header(sample: bytes) -> bytes:
    return sample[: pieces(sample)[0].length]


def read_traced(path: Path) -> tuple[Reading, int]:
    """A reading and the most bytes that it allocated."""
    tracemalloc.start()
    try:
        reading = read(path)
        return reading, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def seal_of(chunk: bytes, frames: int = 1) -> bytes:
    """A SEAL that fits the stored bytes of `chunk`."""
    seal = Seal(0, 0, frames, 0, 0, len(chunk), hashlib.sha256(chunk).digest(), bytes(32))
    return skippable(SEAL, seal.pack())


RAW, RLE = 0, 1
BOMBS = {
    "one byte repeated": [(RLE, 128 * 1024, b"\xc0")] * 20_000,
    "one great string": [(RAW, 9, b"\x94\x00\x01\x00\xdb\x7f\xff\xff\xff"), *[(RLE, 128 * 1024, b"x")] * 20_000],
    "one great bin": [(RAW, 9, b"\x94\x00\x02\x00\xc6\x7f\xff\xff\xff"), *[(RLE, 128 * 1024, b"\0")] * 20_000],
    "nested arrays": [(RLE, 128 * 1024, b"\x91")] * 200,
    "oversized block": [(RLE, 2**21 - 1, b"\x00")] * 200,
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
@pytest.mark.parametrize("sealed", [True, False])
def test_a_zip_bomb_is_bounded_and_reported(
    path: Path, header: bytes, bomb: list[tuple[int, int, bytes]], sealed: bool
) -> None:
    chunk = zstd_blocks((RAW, len(PREAMBLE), PREAMBLE), *bomb)
    path.write_bytes(header + chunk + (seal_of(chunk) if sealed else b""))
    reading, peak = read_traced(path)
    assert peak < 24 * MEBIBYTE
    assert reading.frames == []
    assert reading.damage


def test_a_zip_bomb_does_not_keep_the_chunks_beside_it_from_being_read(path: Path, sample: bytes) -> None:
    cut = pieces(sample)[4].offset
    bomb = zstd_blocks((RAW, len(PREAMBLE), PREAMBLE), *BOMBS["one great string"])
    path.write_bytes(sample[:cut] + bomb + seal_of(bomb) + sample[cut : pieces(sample)[-1].offset])
    assert [frame.number for frame in read(path).frames] == list(range(9))


def test_decompression_stops_at_the_limit_however_the_frame_is_made() -> None:
    window = struct.pack("<I", CHUNK) + b"\x00\xff"  # a window of 15 EiB
    single = struct.pack("<IB", CHUNK, 0xE0) + b"\xff" * 8  # a content of 16 EiB
    for start in (window, single):
        with pytest.raises(ValueError, match="does not decompress"):
            list(decompressed(start + b"\x03\x00\x00\x00"))


def index(chunks: object, frames: object = 9) -> bytes:
    if isinstance(chunks, list) and all(isinstance(entry, list) for entry in chunks):
        chunks = b"".join(struct.pack("<Q", number % 2**64) for entry in chunks for number in entry)
    payload = msgpack.packb({"chunks": chunks, "frames": frames})
    return footed(payload)


def footed(payload: bytes, length: int | None = None) -> bytes:
    whole = 8 + len(payload) + 48
    digest = hashlib.sha256(payload).digest()
    footer = struct.pack("<32sQ8s", digest, whole if length is None else length, b"TACHOEND")
    return skippable(INDEX, payload + footer)


INDEXES = {
    "offset beyond the file": index([[10**9, 0, 0, 0]]),
    "offset beyond any file": index([[2**64 - 1, 0, 0, 0]]),
    "offset in the HEADER": index([[0, 0, 0, 0]]),
    "negative offset": index([[-5, 0, 0, 0]]),
    "offsets that go back": index([[900, 0, 0, 0], [700, 3, 0, 0]]),
    "the same offset again and again": index([[700, 0, 0, 0]] * 1000),
    "short entries": index([[700, 0]]),
    "entries that are no arrays": index([700, 800]),
    "text as numbers": index("7000"),
    "no whole entries": index(b"x" * 33),
    "a map of chunks": index({"a": 1}),
    "no chunks": footed(msgpack.packb({"frames": 9})),
    "no map": footed(msgpack.packb([1, 2])),
    "nil": footed(msgpack.packb(None)),
    "not msgpack": footed(b"\xc1" * 40),
    "more than msgpack": footed(msgpack.packb({"chunks": [], "frames": 0}) + b"\x00"),
    "frames as text": index([], "9"),
    "negative frames": index([], -1),
    "huge array": footed(b"\x82\xa6chunks\xdd\xff\xff\xff\xff\xa6frames\x00"),
    "huge map": footed(b"\xdf\xff\xff\xff\xff"),
    "deep nesting": footed(b"\x91" * 60_000),
    "no payload": footed(b""),
    "length of zero": footed(b"", 0),
    "length too short": footed(msgpack.packb({"chunks": [], "frames": 0}), 24),
    "length of the whole file and more": footed(b"\x80", 2**63),
    "length into a chunk": footed(b"\x80", 200),
}


@pytest.mark.parametrize("tail", INDEXES.values(), ids=INDEXES.keys())
def test_a_hostile_index_hides_nothing_and_allocates_little(path: Path, sample: bytes, tail: bytes) -> None:
    path.write_bytes(sample[: pieces(sample)[-1].offset] + tail)
    reading, peak = read_traced(path)
    assert reading.values == values([entry for part in small(3) for entry in part])
    assert peak < 8 * MEBIBYTE


def test_an_index_may_claim_few_chunks_but_not_more_than_the_file_can_hold(path: Path, sample: bytes) -> None:
    # Each byte is an empty array, 64 bytes in memory: 16 GiB for an INDEX of 256 MiB.
    many = b"\x82\xa6chunks\xdd" + struct.pack(">I", MEBIBYTE // 2) + b"\x90" * (MEBIBYTE // 2) + b"\xa6frames\x00"
    path.write_bytes(sample[: pieces(sample)[-1].offset] + footed(many))
    _, peak = read_traced(path)
    assert peak < 16 * MEBIBYTE


def test_frames_of_the_chunk_are_still_read_when_its_seal_lies(path: Path, sample: bytes) -> None:
    found = pieces(sample)
    wrong = skippable(SEAL, b"\x98" + b"\x00" * 8)
    seal = next(piece for piece in found if piece.magic == SEAL)
    path.write_bytes(sample[: seal.offset] + wrong + sample[seal.offset + seal.length : found[-1].offset])
    reading = read(path)
    assert [frame.number for frame in reading.frames][-6:] == [3, 4, 5, 6, 7, 8]
    assert reading.damage


@pytest.mark.parametrize("close", [True, False], ids=["closed", "torn"])
def test_seal_magics_in_recorded_bytes_deceive_nobody(path: Path, close: bool) -> None:
    noise = random.Random(7)
    magic = struct.pack("<I", SEAL)
    bodies = [noise.randbytes(40) + magic + noise.randbytes(40) for _ in range(50)]
    entries = [Entry(number, 2, 0, body) for number, body in enumerate(bodies)]
    write(path, [entries[:25], entries[25:]], close=close)
    assert path.read_bytes().count(magic) > 25
    reading = read(path)
    assert reading.values == values(entries)
    assert not reading.damage


def recorded_tape(path: Path, inner: bytes, *, live: bool) -> list[Entry]:
    """A session that printed the whole of `inner`, which is stored as it is because noise surrounds it."""
    noise = random.Random(8)
    entries = [
        Entry(0, 2, 0, noise.randbytes(20_000)),
        Entry(1, 2, 0, noise.randbytes(5000) + inner + noise.randbytes(5000)),
        Entry(2, 2, 0, noise.randbytes(20_000)),
    ]
    write(path, [entries], close=not live)
    assert inner in path.read_bytes()
    return entries


@pytest.mark.parametrize("live", [False, True], ids=["closed", "torn"])
def test_a_tape_that_was_printed_in_a_session_is_not_taken_for_the_session(
    path: Path, tmp_path: Path, live: bool
) -> None:
    forged = tmp_path / "forged.tape"
    noise = random.Random(9)
    write(forged, [[Entry(0, 1, 0, b"never typed " + noise.randbytes(300))]])
    entries = recorded_tape(path, forged.read_bytes(), live=live)
    reading = read(path)
    assert reading.values == values(entries)
    assert not reading.damage


def test_many_fake_seals_cost_time_in_proportion_to_the_file(path: Path, header: bytes) -> None:
    # Each of 60 SEALs names the same would-be chunk: 60,000 empty blocks that never end.
    endless = struct.pack("<I", CHUNK) + b"\x00\x58" + bytes(3 * 60_000)
    tail = b""
    for _ in range(60):
        stored = len(endless) + len(tail)
        tail += skippable(SEAL, Seal(0, 0, 1, 0, 0, stored, bytes(32), bytes(32)).pack())
    path.write_bytes(header + b"\xaa" * 8 + endless + tail)
    began = time.process_time()
    read(path)
    assert time.process_time() - began < 1.5


GARBAGE = st.one_of(
    st.binary(max_size=200),
    st.integers(0x184D2A50, 0x184D2A5F).map(lambda magic: struct.pack("<I", magic)),
    st.sampled_from([CHUNK, HEADER, SEAL, CHECKPOINT, INDEX]).map(lambda magic: struct.pack("<II", magic, 2**32 - 1)),
    st.binary(max_size=60).map(lambda payload: skippable(SEAL, payload)),
    st.binary(max_size=60).map(lambda payload: struct.pack("<I", CHUNK) + payload),
    st.binary(max_size=60).map(lambda payload: zstd_blocks((0, len(payload), payload))),
    st.binary(max_size=60).map(footed),
)


@settings(max_examples=250, deadline=None)
@given(st.lists(GARBAGE, max_size=8), st.booleans())
def test_garbage_neither_crashes_nor_fills_the_memory(
    sample: bytes, tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], with_header: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage.tape"
    path.write_bytes((sample[: pieces(sample)[0].length] if with_header else b"") + b"".join(parts))
    try:
        read(path)
    except UnreadableTape:
        return


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_blocks_in_any_order_and_number_never_crash(
    sample: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    found = pieces(sample)
    order = data.draw(st.lists(st.sampled_from(found[1:]), max_size=12))
    cut = data.draw(st.integers(0, 40))
    whole = sample[: found[0].length] + b"".join(sample[p.offset : p.offset + p.length] for p in order)
    path = tmp_path_factory.getbasetemp() / "shuffled.tape"
    path.write_bytes(whole[: max(len(whole) - cut, found[0].length)])
    known = set(values([entry for part in small(3) for entry in part]))
    assert set(read(path).values) <= known


HEADERS = [
    msgpack.packb(value)
    for value in (
        None,
        [],
        [1, 2, 3],
        [b"", b"", b""],
        [msgpack.packb([]), b"", b""],
        [msgpack.packb({}), b"", b""],
        [msgpack.packb({"format": "tachograph-tape/2"}), b"", b""],
        ["text", "text", "text"],
        {0: 1, 1: 2, 2: 3},
        [b"\x91" * 60_000, b"", b""],
        [b"\xdd\xff\xff\xff\xff", b"", b""],
        [b"\xdf\xff\xff\xff\xff", b"", b""],
        [b"\x81\x90\x01", b"", b""],
    )
]


@pytest.mark.parametrize("payload", HEADERS, ids=range(len(HEADERS)))
def test_a_hostile_header_is_an_unreadable_tape(path: Path, payload: bytes) -> None:
    path.write_bytes(skippable(HEADER, payload))
    tracemalloc.start()
    with pytest.raises(UnreadableTape):
        SegmentReader(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * MEBIBYTE


FIELDS: dict[str, list[object]] = {
    "session": [1, None, b"x"],
    "segment": ["0", -1, None, 1.0],
    "start": ["0", -1, None],
    "first_frame": ["0", -1, None],
    "key": ["text", None, 1],
    "gateway": [1, None],
    "previous": [1, [], [1, 2, 3], [1, 2, 3, 4, 5], ["a", "b", "c", "d"], {"a": 1}],
}


WRONG_FIELDS = [(name, value) for name, wrong in FIELDS.items() for value in wrong]


@pytest.mark.parametrize(("field", "value"), WRONG_FIELDS)
def test_a_header_with_a_field_of_the_wrong_type_is_an_unreadable_tape(
    path: Path, sample: bytes, field: str, value: object
) -> None:
    packed, key, signature = msgpack.unpackb(pieces(sample)[0].content)
    wrong = msgpack.packb(msgpack.unpackb(packed) | {field: value})
    path.write_bytes(skippable(HEADER, msgpack.packb([wrong, key, signature])))
    with pytest.raises(UnreadableTape):
        SegmentReader(path)


def test_an_altered_header_is_not_endorsed(path: Path, sample: bytes) -> None:
    packed, key, signature = msgpack.unpackb(pieces(sample)[0].content)
    wrong = msgpack.packb(msgpack.unpackb(packed) | {"gateway": "another"})
    path.write_bytes(skippable(HEADER, msgpack.packb([wrong, key, signature])))
    reader = SegmentReader(path)
    assert not reader.header.endorsed()
    reader.close()
