"""The layout of a tape as the writer leaves it, taken apart without the reader's code."""

import hashlib
import itertools
import os
import random
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgpack
import pytest
import zstandard

from recorder import tree
from recorder.format.chunk import Compressors
from recorder.format.frame import Kind
from recorder.format.reader import SegmentReader
from recorder.format.seal import Previous, unpack_header, unpack_seal
from recorder.format.writer import Entry, Segment, is_locked
from tests.recorder.format.tape_tools import (
    CHECKPOINT,
    CHUNK,
    GATEWAY,
    HEADER,
    INDEX,
    NOW,
    SEAL,
    SESSION,
    START,
    Piece,
    only,
    pieces,
    segment_at,
    small,
    values,
    write,
)

FLAT = list(itertools.chain.from_iterable(small()))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "0.tape"


def decompress(stored: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(stored)


def stream_of(path: Path) -> bytes:
    """What `zstd -dc` prints; by the library where there is no such program."""
    if shutil.which("zstd"):
        return subprocess.run(["zstd", "-dcq", str(path)], check=True, capture_output=True).stdout
    with path.open("rb") as file:
        return zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True).read()


def values_of(data: bytes) -> list[tuple[object, bytes]]:
    """The msgpack values in `data`, each with its bytes."""
    unpacker = msgpack.Unpacker(strict_map_key=False, unicode_errors="surrogateescape")
    unpacker.feed(data)
    found, start = [], 0
    for value in unpacker:
        found.append((value, data[start : unpacker.tell()]))
        start = unpacker.tell()
    assert start == len(data)
    return found


def chunk_values(piece: Piece) -> tuple[list[object], list[tuple[list[object], bytes]]]:
    """A chunk's preamble and its frames, each with its bytes."""
    found = values_of(decompress(piece.content))
    preamble = found[0][0]
    assert isinstance(preamble, list)
    frames = [(value, raw) for value, raw in found[1:] if isinstance(value, list)]
    assert len(frames) == len(found) - 1
    return preamble, frames


def test_the_blocks_come_in_the_documented_order(path: Path) -> None:
    write(path, small(3))
    assert [piece.magic for piece in pieces(path.read_bytes())] == [
        HEADER,
        *(CHUNK, SEAL, CHECKPOINT) * 3,
        INDEX,
    ]


def test_the_footer_ends_the_file_and_tells_where_the_index_begins(path: Path) -> None:
    write(path, small(3))
    data = path.read_bytes()
    index = pieces(data)[-1]
    assert data[-8:] == b"TACHOEND"
    assert int.from_bytes(data[-16:-8], "little") == index.length
    assert data[-48:-16] == hashlib.sha256(index.content[:-48]).digest()
    value = msgpack.unpackb(index.content[:-48])
    chunks = only(pieces(data), CHUNK)
    entries = [(piece.offset, 3 * number, 3000 * number, 3000 * number + 2000) for number, piece in enumerate(chunks)]
    assert value == {"chunks": b"".join(struct.pack("<4Q", *entry) for entry in entries), "frames": 9}


def test_zstd_prints_the_plain_msgpack_stream(path: Path) -> None:
    write(path, small(3))
    plain = [value for value, _ in values_of(stream_of(path))]
    preambles = [value for value in plain if isinstance(value, list) and isinstance(value[2], bytes)]
    assert [preamble[:2] for preamble in preambles] == [[0, 0], [1, 3], [2, 6]]
    assert [tuple(value) for value in plain if isinstance(value, list) and value not in preambles] == values(FLAT)


def test_zstd_prints_what_was_flushed_of_a_tape_that_is_still_open(path: Path) -> None:
    write(path, small(2), close=False)
    data = path.read_bytes()
    open_chunk = pieces(data)[-1]
    preamble, frames = chunk_values(open_chunk)
    assert preamble[:2] == [1, 3]
    assert [tuple(value) for value, _ in frames] == values(FLAT[3:6])


def test_chunks_have_no_content_checksum(path: Path) -> None:
    write(path, small())
    for piece in only(pieces(path.read_bytes()), CHUNK):
        assert not zstandard.get_frame_parameters(piece.content).has_checksum


def test_the_header_names_session_start_and_key_endorsed_by_the_gateway(path: Path) -> None:
    write(path, small())
    first = pieces(path.read_bytes())[0]
    packed, public, signature = msgpack.unpackb(first.content)
    value = msgpack.unpackb(packed)
    assert value == {
        "format": "tachograph-tape/1",
        "session": SESSION,
        "segment": 0,
        "start": START,
        "first_frame": 0,
        "previous": None,
        "key": value["key"],
        "gateway": "gw.example",
        "ledger": None,
    }
    assert len(value["key"]) == 32
    assert public == GATEWAY[1].public_key().public_bytes_raw()
    GATEWAY[1].public_key().verify(signature, b"tachograph-tape/1 header\n" + packed)
    header = unpack_header(first.content)
    assert header.endorsed()
    assert (header.session, header.start, header.key) == (SESSION, START, value["key"])


def test_every_segment_has_a_key_of_its_own(tmp_path: Path) -> None:
    keys = set()
    for number in range(3):
        write(tmp_path / f"{number}.tape", small())
        keys.add(unpack_header(pieces((tmp_path / f"{number}.tape").read_bytes())[0].content).key)
    assert len(keys) == 3


def test_a_later_segment_names_the_one_before_and_goes_on_counting(path: Path) -> None:
    previous = Previous(1234, bytes(32), 50, bytes(range(32)))
    segment = segment_at(path, number=2, first_frame=50, previous=previous)
    segment.append(FLAT, NOW)
    segment.finish(NOW)
    found = pieces(path.read_bytes())
    header = unpack_header(found[0].content)
    assert (header.segment, header.first_frame, header.previous) == (2, 50, previous)
    assert header.endorsed()
    (seal,) = map(unpack_seal, (piece.content for piece in only(found, SEAL)))
    assert (seal.seq, seal.first_frame) == (0, 50)
    (note,) = only(found, CHECKPOINT)
    assert tree.open_checkpoint(note.content.decode(), f"tachograph/{SESSION}/2", header.key).size == 1


def mth(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1 over leaf hashes."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + mth(leaves[:split]) + mth(leaves[split:])).digest()


def leaf(seed: bytes, number: int, packed: bytes) -> bytes:
    salt = hashlib.sha256(seed + number.to_bytes(8, "big")).digest()
    return hashlib.sha256(b"\x00" + salt + packed).digest()


def test_seals_and_checkpoints_follow_from_the_stored_bytes_alone(path: Path) -> None:
    write(path, small(5, frames=7))
    found = pieces(path.read_bytes())
    key = msgpack.unpackb(msgpack.unpackb(found[0].content)[0])["key"]
    seal_leaves: list[bytes] = []
    number = 0
    for chunk, seal, note in triples(found[1:-1]):
        preamble, frames = chunk_values(chunk)
        seq, first, seed, resume = preamble
        assert (seq, first, resume) == (len(seal_leaves), number, [])
        assert isinstance(seed, bytes)
        assert len(seed) == 16
        assert msgpack.unpackb(seal.content) == [
            seq,
            first,
            len(frames),
            frames[0][0][0],
            frames[-1][0][0],
            chunk.length,
            hashlib.sha256(chunk.content).digest(),
            mth([leaf(seed, number + at, raw) for at, (_, raw) in enumerate(frames)]),
        ]
        number += len(frames)
        seal_leaves.append(hashlib.sha256(b"\x00" + seal.content).digest())
        checkpoint = tree.open_checkpoint(note.content.decode(), f"tachograph/{SESSION}/0", key)
        assert checkpoint == tree.Checkpoint(f"tachograph/{SESSION}/0", len(seal_leaves), mth(seal_leaves), NOW)
        with pytest.raises(tree.NoteError):
            tree.open_checkpoint(
                note.content.decode(), f"tachograph/{SESSION}/0", GATEWAY[1].public_key().public_bytes_raw()
            )
    assert number == 35


def triples(found: list[Piece]) -> Iterator[tuple[Piece, Piece, Piece]]:
    return zip(found[::3], found[1::3], found[2::3], strict=True)


def test_equal_frames_have_unequal_leaves(path: Path) -> None:
    write(path, [[Entry(0, 1, 0, b"same"), Entry(0, 1, 0, b"same")], [Entry(0, 1, 0, b"same")]])
    seeds = [chunk_values(piece)[0][2] for piece in only(pieces(path.read_bytes()), CHUNK)]
    roots = [msgpack.unpackb(piece.content)[7] for piece in only(pieces(path.read_bytes()), SEAL)]
    assert seeds[0] != seeds[1]
    assert roots[0] != roots[1]


def test_a_chunk_ends_at_256_kib_of_frames(path: Path) -> None:
    segment = segment_at(path)
    body = b"x" * 32 * 1024
    heads = segment.append([Entry(number, Kind.OUT, 0, body) for number in range(20)], NOW)
    segment.finish(NOW)
    counts = [msgpack.unpackb(piece.content)[2] for piece in only(pieces(path.read_bytes()), SEAL)]
    assert counts == [8, 8, 4]
    assert [head.tree_size for head in heads] == [1, 2]


def test_a_chunk_ends_at_ten_seconds(path: Path) -> None:
    segment = segment_at(path)
    segment.append([Entry(t * 1_000_000, Kind.IN, 0, b"k") for t in range(25)], NOW)
    assert segment.chunk_open_since == 22_000_000
    segment.finish(NOW)
    times = [msgpack.unpackb(piece.content)[3:5] for piece in only(pieces(path.read_bytes()), SEAL)]
    assert times == [[0, 10_000_000], [11_000_000, 21_000_000], [22_000_000, 24_000_000]]


def test_the_preamble_carries_what_remains_of_each_streams_messages(path: Path) -> None:
    into, out = Kind.IN, Kind.OUT
    write(
        path,
        [
            [Entry(0, into, 1, b"a", 500), Entry(1, out, 1, b"b", 70), Entry(2, into, 2, b"c", 9)],
            [Entry(3, into, 1, b"d", 400), Entry(4, Kind.NOTE, 1, {"name": "x"}), Entry(5, into, 2, b"e")],
            [Entry(6, into, 1, b"f"), Entry(7, out, 1, b"g")],
            [Entry(8, into, 1, b"h")],
        ],
    )
    resumes = [chunk_values(piece)[0][3] for piece in only(pieces(path.read_bytes()), CHUNK)]
    assert resumes == [
        [],
        [[1, 0, 500], [1, 1, 70], [2, 0, 9]],
        [[1, 0, 400], [1, 1, 70]],
        [],
    ]


def test_heads_tell_what_the_checkpoints_on_the_tape_say(path: Path) -> None:
    segment = segment_at(path)
    heads = []
    for part in small(3):
        segment.append(part, NOW)
        heads.append(segment.end_chunk(NOW))
    heads.append(segment.finish(NOW + 1))
    found = pieces(path.read_bytes())
    assert [head.note for head in heads] == [piece.content.decode() for piece in only(found, CHECKPOINT)]
    assert [(head.session, head.segment, head.tree_size) for head in heads] == [(SESSION, 0, n) for n in (1, 2, 3, 3)]
    assert [head.stored for head in heads] == [piece.offset + piece.length for piece in only(found, CHECKPOINT)]


def test_a_running_head_signs_the_stored_bytes_of_the_open_chunk(path: Path) -> None:
    segment = segment_at(path)
    assert segment.running_head(NOW) is None
    segment.append(FLAT, NOW)
    segment.flush()
    head = segment.running_head(NOW)
    assert head is not None
    data = path.read_bytes()
    first, chunk = pieces(data)
    assert head.stored == chunk.length
    assert head.root == hashlib.sha256(chunk.content).digest()
    key = unpack_header(first.content).key
    text, _, _ = head.note.partition("\n\n")
    assert text.splitlines()[0] == f"tachograph/{SESSION}/0/running"
    with pytest.raises(tree.NoteError, match="not a checkpoint"):  # signed, and never taken for one over SEALs
        tree.open_checkpoint(head.note, f"tachograph/{SESSION}/0", key)
    segment.finish(NOW)


def test_a_tape_without_frames_is_whole(path: Path) -> None:
    segment_at(path).finish(NOW)
    assert [piece.magic for piece in pieces(path.read_bytes())] == [HEADER, CHECKPOINT, INDEX]
    assert stream_of(path) == b""


def test_what_is_appended_reaches_the_file_at_a_flush(path: Path) -> None:
    segment = segment_at(path)
    before = path.stat().st_size
    segment.append(FLAT[:2], NOW)
    assert path.stat().st_size == before
    segment.flush()
    assert path.stat().st_size == segment.size > before
    segment.flush()
    assert path.stat().st_size == segment.size
    segment.finish(NOW)
    assert path.stat().st_size == segment.size


def test_an_existing_file_is_never_opened(path: Path) -> None:
    path.write_bytes(b"evidence")
    with pytest.raises(FileExistsError):
        segment_at(path)
    assert path.read_bytes() == b"evidence"


def test_a_link_is_never_followed(path: Path) -> None:
    path.symlink_to(path.with_name("elsewhere"))
    with pytest.raises(FileExistsError):
        segment_at(path)


def test_others_may_not_read_a_tape(path: Path) -> None:
    write(path, small())
    assert path.stat().st_mode & 0o007 == 0


def test_the_lock_is_held_until_the_tape_is_closed(path: Path) -> None:
    segment = segment_at(path)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        assert is_locked(descriptor)
        assert is_locked(descriptor)  # asking does not take it
        segment.finish(NOW)
        assert not is_locked(descriptor)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("size", [32 * 1024, 4096, 512])
def test_incompressible_bytes_cost_at_most_one_percent(path: Path, size: int) -> None:
    noise = random.Random(size).randbytes(2 * 1024 * 1024)
    segment = segment_at(path)
    for at in range(0, len(noise), 128 * 1024):  # flushed each 128 KiB: at 100 ms that is a session of 1.3 MB/s
        part = noise[at : at + 128 * 1024]
        segment.append([Entry(at, Kind.OUT, 0, part[b : b + size]) for b in range(0, len(part), size)], NOW)
        segment.flush()
    segment.finish(NOW)
    limit = 1.01 if size >= 4096 else 1.03
    assert path.stat().st_size <= limit * len(noise)


def test_an_hour_of_typing_is_under_a_megabyte(path: Path) -> None:
    words = random.Random(1)
    segment = segment_at(path)
    for number in range(5 * 3600):
        key = words.choice("etaoin shrdlu").encode()
        t = number * 200_000
        segment.append([Entry(t, Kind.IN, 1, key), Entry(t + 900, Kind.OUT, 1, key)], NOW)
        segment.flush()
    segment.finish(NOW)
    assert path.stat().st_size < 1_000_000


def test_tapes_written_in_turns_keep_their_own_bytes(tmp_path: Path) -> None:
    compressors = Compressors()
    paths = [tmp_path / f"{number}.tape" for number in range(2)]
    segments = [Segment(path, SESSION, START, GATEWAY, compressors) for path in paths]
    for turn in range(20):
        for number, segment in enumerate(segments):
            segment.append([Entry(turn, Kind.OUT, 0, b"turn %d of session %d" % (turn, number))], NOW)
            segment.flush()
    for number, segment in enumerate(segments):
        segment.finish(NOW)
        (chunk,) = only(pieces(paths[number].read_bytes()), CHUNK)
        bodies = [value[3] for value, _ in chunk_values(chunk)[1]]
        assert bodies == [b"turn %d of session %d" % (turn, number) for turn in range(20)]


def test_a_body_over_the_limit_is_refused(path: Path) -> None:
    segment = segment_at(path)
    with pytest.raises(ValueError, match="32768 at most"):
        segment.append([Entry(0, Kind.IN, 0, bytes(32 * 1024 + 1))], NOW)
    segment.abandon()


def zstd_block_count(frame: bytes) -> int:
    """The number of blocks in a zstd frame whose header is six bytes long."""
    position, count, last = 6, 0, 0
    while not last:
        header = int.from_bytes(frame[position : position + 3], "little")
        last, size = header & 1, header >> 3
        position += 3 + (1 if header >> 1 & 3 == 1 else size)
        count += 1
    return count


def test_content_that_does_not_compress_is_stored_and_compression_is_tried_again(path: Path) -> None:
    noise, text = random.Random(3).randbytes(24 * 8 * 32 * 1024), b"the same line again\r\n" * 1500
    bodies = [noise[at : at + 32 * 1024] for at in range(0, len(noise), 32 * 1024)] + [text[: 32 * 1024]] * 160
    segment = segment_at(path)
    segment.append([Entry(number, Kind.OUT, 1, body) for number, body in enumerate(bodies)], NOW)
    segment.finish(NOW)
    # Stored: a block for the preamble, one for each frame and an empty last one. The compressor fills its own.
    blocks = [zstd_block_count(piece.content) for piece in only(pieces(path.read_bytes()), CHUNK)]
    kinds = ["stored" if count == 10 else "tried" for count in blocks]
    assert kinds[:10] == ["tried", *["stored"] * 7, "tried", "stored"]
    assert kinds[-4:] == ["tried"] * 4
    plain = [value for value, _ in values_of(stream_of(path)) if isinstance(value, list)]
    assert [value[3] for value in plain if isinstance(value[2], int)] == bodies
    reader = SegmentReader(path)
    assert [frame.data() for chunk in reader.chunks for frame in reader.frames(chunk)] == bodies
    assert path.stat().st_size < len(noise) * 1.01 + 400_000
