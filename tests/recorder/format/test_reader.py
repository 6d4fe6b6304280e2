"""Reading segments: by INDEX and by walking, in time, while they grow, and without filling the memory."""

import itertools
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import zstandard

from recorder.format.frame import Kind
from recorder.format.reader import SegmentReader, UnreadableTape
from recorder.format.seal import Previous
from recorder.format.writer import Entry
from tests.recorder.format.tape_tools import (
    CHUNK,
    INDEX,
    NOW,
    ROOT,
    SEAL,
    SESSION,
    START,
    only,
    pieces,
    read,
    segment_at,
    small,
    values,
    write,
)

ENTRIES = small(4)
FLAT = list(itertools.chain.from_iterable(ENTRIES))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "0.tape"


def without_index(path: Path) -> None:
    """Cuts the INDEX off."""
    with path.open("r+b") as file:
        file.truncate(only(pieces(path.read_bytes()), INDEX)[0].offset)


def test_a_closed_tape_reads_back(path: Path) -> None:
    write(path, ENTRIES)
    reading = read(path)
    assert reading.values == values(FLAT)
    assert [frame.number for frame in reading.frames] == list(range(len(FLAT)))
    assert reading.closed
    assert not reading.damage


def test_index_and_walk_give_the_same_frames_and_chunks(path: Path) -> None:
    write(path, ENTRIES)
    indexed = SegmentReader(path)
    without_index(path)
    walked = SegmentReader(path)
    assert indexed.closed
    assert not walked.closed
    assert [ref[:2] + ref[3:6] for ref in indexed.chunks] == [ref[:2] + ref[3:6] for ref in walked.chunks]
    for one, other in zip(indexed.chunks, walked.chunks, strict=True):
        assert list(indexed.packed_frames(one)) == list(walked.packed_frames(other))
    assert not walked.damage
    indexed.close()
    walked.close()


def test_the_header_is_what_was_written(path: Path) -> None:
    previous = Previous(10, bytes(32), 5, bytes(32))
    segment = segment_at(path, number=1, first_frame=5, previous=previous)
    segment.append(FLAT, NOW)
    segment.finish(NOW)
    reader = SegmentReader(path)
    header = reader.header
    assert (header.session, header.segment, header.start, header.first_frame) == (SESSION, 1, START, 5)
    assert header.previous == previous
    assert header.endorsed()
    assert [frame.number for chunk in reader.chunks for frame in reader.frames(chunk)] == list(range(5, 5 + len(FLAT)))
    reader.close()


def test_every_kind_of_body_comes_back_from_a_file(path: Path) -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    entries = [
        Entry(0, Kind.OPEN, 0, {"agent": "ci", "user": name, "rules": bytes(32)}),
        Entry(1, Kind.OUT, 1, b""),
        Entry(2, Kind.OUT, 1, bytes(range(256)) * 128),
        Entry(3, Kind.MADE, 1, [1, b"x"]),
        Entry(4, 77, 1, {"new": None}),
        Entry(5, Kind.CLOSE, 0, {"reason": "", "verdicts": {"allowed": 1}}),
    ]
    write(path, [entries])
    assert read(path).values == values(entries)


@pytest.mark.parametrize(
    ("t", "chunk"), [(-1, 0), (0, 0), (3000, 0), (3001, 1), (6000, 1), (6001, 2), (9000, 2), (9001, 3), (10**12, 3)]
)
def test_a_time_is_found_in_the_chunk_that_began_before_it(path: Path, t: int, chunk: int) -> None:
    write(path, ENTRIES)
    reader = SegmentReader(path)
    assert reader.chunk_for_time(t) == chunk
    reader.close()


@pytest.mark.parametrize(("number", "chunk"), [(0, 0), (2, 0), (3, 1), (8, 2), (9, 3), (11, 3), (9999, 3)])
def test_a_frame_is_found_in_its_chunk(path: Path, number: int, chunk: int) -> None:
    write(path, ENTRIES)
    for _ in range(2):
        reader = SegmentReader(path)
        assert reader.chunk_for_frame(number) == chunk
        reader.close()
        if reader.closed:
            without_index(path)


def test_a_tape_without_frames_reads_as_empty(path: Path) -> None:
    segment_at(path).finish(NOW)
    reader = SegmentReader(path)
    assert (reader.chunks, reader.damage, reader.closed) == ([], [], True)
    assert reader.chunk_for_time(5) == reader.chunk_for_frame(5) == 0
    reader.close()


def test_only_the_writer_makes_a_tape_live(path: Path) -> None:
    segment = segment_at(path)
    readers = SegmentReader(path), SegmentReader(path)
    assert [reader.live for reader in readers] == [True, True]
    segment.abandon()
    assert [reader.live for reader in readers] == [False, False]
    for reader in readers:
        assert not reader.closed
        reader.close()


def test_a_growing_tape_shows_what_was_flushed_each_time_one_looks(path: Path) -> None:
    segment = segment_at(path)
    reader = SegmentReader(path)
    seen = 0
    for part in ENTRIES:
        for entry in part:
            segment.append([entry], NOW)
            segment.flush()
            seen += 1
            reader.refresh()
            frames = [frame for chunk in reader.chunks for frame in reader.frames(chunk)]
            assert [frame[1:] for frame in frames] == values(FLAT[:seen])
            assert [frame.number for frame in frames] == list(range(seen))
        segment.end_chunk(NOW)
        reader.refresh()
        assert all(chunk.stored for chunk in reader.chunks)
    segment.finish(NOW)
    reader.refresh()
    assert reader.closed
    assert not reader.damage
    assert [frame[1:] for chunk in reader.chunks for frame in reader.frames(chunk)] == values(FLAT)
    reader.close()


def test_a_tape_that_grows_byte_by_byte_never_shows_damage(tmp_path: Path, path: Path) -> None:
    write(tmp_path / "whole.tape", small(2))
    data = (tmp_path / "whole.tape").read_bytes()
    body = pieces(data)[0].length
    path.write_bytes(data[:body])
    reader = SegmentReader(path)
    shown = 0
    with path.open("ab", buffering=0) as file:
        for byte in data[body:]:
            file.write(bytes((byte,)))
            reader.refresh()
            frames = [frame for chunk in reader.chunks for frame in reader.frames(chunk)]
            assert [frame[1:] for frame in frames] == values(FLAT[: len(frames)])
            assert len(frames) >= shown
            assert not reader.damage
            shown = len(frames)
    assert reader.closed
    assert shown == 6
    reader.close()


def test_refreshing_a_closed_tape_changes_nothing(path: Path) -> None:
    write(path, ENTRIES)
    reader = SegmentReader(path)
    before = list(reader.chunks)
    reader.refresh()
    assert reader.chunks == before
    reader.close()


@pytest.mark.parametrize("size", [32 * 1024, 1000])
def test_packed_frames_are_the_bytes_that_were_hashed(path: Path, size: int) -> None:
    # More than one piece of decompressed data a chunk, so that frames lie across two.
    segment = segment_at(path)
    segment.append([Entry(number, 1, 0, os.urandom(size)) for number in range(200_000 // size + 1)], NOW)
    segment.finish(NOW)
    reader = SegmentReader(path)
    (chunk,) = reader.chunks
    packed = b"".join(raw for _, raw in reader.packed_frames(chunk))
    reader.close()
    (stored,) = only(pieces(path.read_bytes()), CHUNK)
    stream = zstandard.ZstdDecompressor().decompressobj().decompress(stored.content)
    assert stream.endswith(packed)
    assert len(stream) - len(packed) < 64  # the preamble


def test_a_link_is_refused(path: Path) -> None:
    write(path, ENTRIES)
    link = path.with_name("1.tape")
    link.symlink_to(path)
    with pytest.raises(OSError, match="symbolic links"):
        SegmentReader(link)


def test_a_missing_file_is_an_os_error(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        SegmentReader(path)


@pytest.mark.parametrize(
    "content", [b"", b"T", b"\x50\x2a\x4d\x18", b"#!/bin/sh\n", bytes(5000), b"\x50\x2a\x4d\x18" + b"\xff" * 400]
)
def test_a_file_that_is_no_tape_is_unreadable_by_name(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(UnreadableTape, match=str(path)):
        SegmentReader(path)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_file_that_cannot_be_read_leaves_no_descriptor_behind(path: Path) -> None:
    path.write_bytes(b"no tape")
    before = open_descriptors()
    for _ in range(5):
        with pytest.raises(UnreadableTape):
            SegmentReader(path)
    assert open_descriptors() == before


def test_a_folder_is_an_os_error_and_leaves_no_descriptor_behind(tmp_path: Path) -> None:
    before = open_descriptors()
    for _ in range(5):
        with pytest.raises(OSError, match="irectory"):
            SegmentReader(tmp_path)
    assert open_descriptors() == before


def test_a_pipe_by_the_name_of_a_tape_does_not_hang_the_reader(path: Path) -> None:
    os.mkfifo(path)
    said: list[Exception] = []

    def attempt() -> None:
        try:
            SegmentReader(path)
        except (OSError, UnreadableTape) as error:
            said.append(error)

    opening = threading.Thread(target=attempt)
    opening.start()
    opening.join(2)
    hangs = opening.is_alive()
    if hangs:
        os.close(os.open(path, os.O_WRONLY))  # lets it go
        opening.join()
    assert not hangs
    assert len(said) == 1


ITERATE = """
import re, sys
from pathlib import Path
from recorder.format.reader import SegmentReader

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

Path("/proc/self/clear_refs").write_text("5")
before = peak()
reader = SegmentReader(Path(sys.argv[1]))
size = sum(len(frame.data()) for chunk in reader.chunks for frame in reader.frames(chunk))
print(size, peak() - before, len(reader.chunks), len(reader.damage))
"""


def test_memory_stays_flat_over_200_megabytes(path: Path) -> None:
    noise = os.urandom(4 * 1024 * 1024)
    entries = [Entry(0, Kind.OUT, 0, noise[at : at + 32 * 1024]) for at in range(0, len(noise), 32 * 1024)]
    segment = segment_at(path)
    for _ in range(50):
        segment.append(entries, NOW)
    segment.finish(NOW)
    assert path.stat().st_size > 200_000_000
    try:
        for _ in range(2):  # by the INDEX, then by walking
            done = subprocess.run(
                [sys.executable, "-c", ITERATE, str(path)], check=True, capture_output=True, text=True, cwd=ROOT
            )
            size, grown, found, damaged = map(int, done.stdout.split())
            assert (size, found, damaged) == (50 * len(noise), 50 * len(noise) // (256 * 1024), 0)
            assert grown < 32 * 1024  # KiB
            os.truncate(path, path.stat().st_size - 16)
    finally:
        path.unlink()


def test_seals_are_read_when_walking(path: Path) -> None:
    write(path, ENTRIES)
    found = only(pieces(path.read_bytes()), SEAL)
    without_index(path)
    reader = SegmentReader(path)
    assert [chunk.seal.pack() for chunk in reader.chunks if chunk.seal] == [piece.content for piece in found]
    reader.close()
