"""Cut and altered tapes: reading never fails, loses nothing but what is damaged, and says where that is."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from recorder.format.frame import Frame
from recorder.format.reader import SegmentReader, UnreadableTape
from tests.recorder.format.tape_tools import (
    CHECKPOINT,
    CHUNK,
    HEADER,
    INDEX,
    NOW,
    SEAL,
    Piece,
    Reading,
    pieces,
    read,
    segment_at,
    small,
    write,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "0.tape"


def test_a_tape_cut_at_any_byte_keeps_all_that_was_whole_or_flushed(path: Path) -> None:
    segment = segment_at(path)
    header = segment.size
    readable = [(header, 0)]  # size of the file at which so many frames can be read
    for part in small(3):
        for entry in part:
            segment.append([entry], NOW)
            segment.flush()
            readable.append((segment.size, segment.next_frame))
        segment.end_chunk(NOW)
    segment.finish(NOW)
    data = path.read_bytes()
    whole = read(path).frames
    for size in range(len(data) - 1, -1, -1):
        with path.open("r+b") as file:
            file.truncate(size)
        if size < header:
            with pytest.raises(UnreadableTape):
                read(path)
            continue
        reading = read(path)
        least = max(frames for at, frames in readable if at <= size)
        assert len(reading.frames) >= least, f"cut at {size}"
        assert reading.frames == whole[: len(reading.frames)], f"cut at {size}"
        assert not reading.closed
        assert not reading.damage, f"cut at {size}"


class Tape:
    """A small tape in memory, with the frames of each of its chunks; `altered` writes it with one bit flipped."""

    def __init__(self, path: Path, *, indexed: bool) -> None:
        self.path = path
        write(path, small(3))
        self.data = path.read_bytes()
        self.pieces = pieces(self.data)
        if not indexed:
            self.data = self.data[: self.pieces.pop().offset]
        self.frames = read(path).frames

    def unit(self, number: int) -> range:
        """The bytes of a chunk with its SEAL and checkpoint."""
        chunks = [piece.offset for piece in self.pieces if piece.magic == CHUNK]
        ends = [*chunks[1:], self.pieces[-1].offset if self.pieces[-1].magic == INDEX else len(self.data)]
        return range(chunks[number], ends[number])

    def altered(self, piece: Piece) -> Iterable[tuple[int, Reading]]:
        """A reading for each byte of `piece` with one of its bits flipped."""
        for at in range(piece.offset, piece.offset + piece.length):
            data = bytearray(self.data)
            data[at] ^= 1 << at % 8
            self.path.write_bytes(data)
            yield at, read(self.path)

    def of_kind(self, magic: int) -> Iterable[tuple[int, Piece]]:
        """The pieces of one sort, each with the number of its unit."""
        return enumerate(piece for piece in self.pieces if piece.magic == magic)

    def others(self, unit: int) -> list[Frame]:
        """The frames of all chunks but one."""
        return [frame for frame in self.frames if frame.number // 3 != unit]


INDEXED = pytest.mark.parametrize("indexed", [True, False], ids=["by INDEX", "by walking"])


@INDEXED
@pytest.mark.parametrize("magic", [CHUNK, SEAL, CHECKPOINT], ids=["chunk", "SEAL", "checkpoint"])
def test_a_flipped_bit_leaves_the_chunks_before_and_after_as_they_were(path: Path, magic: int, indexed: bool) -> None:
    tape = Tape(path, indexed=indexed)
    for unit, piece in tape.of_kind(magic):
        for at, reading in tape.altered(piece):
            lost = [frame for frame in tape.others(unit) if frame not in reading.frames]
            assert not lost, f"flip at {at}, in unit {unit} at {piece.offset}: lost {lost}"


@INDEXED
@pytest.mark.parametrize("magic", [CHUNK, SEAL, CHECKPOINT], ids=["chunk", "SEAL", "checkpoint"])
def test_frames_lost_to_a_flipped_bit_are_reported_where_they_were(path: Path, magic: int, indexed: bool) -> None:
    tape = Tape(path, indexed=indexed)
    for unit, piece in tape.of_kind(magic):
        for at, reading in tape.altered(piece):
            if len(reading.frames) >= len(tape.frames):
                continue  # altered, perhaps: that is what verification finds
            place = tape.unit(unit)
            assert any(
                damage.chunk == unit or damage.offset in place or damage.offset + damage.length - 1 in place
                for damage in reading.damage
            ), f"flip at {at} in unit {unit} at {place}: {reading.damage}"


def test_a_flipped_bit_in_the_index_loses_no_frame(path: Path) -> None:
    tape = Tape(path, indexed=True)
    for at, reading in tape.altered(tape.pieces[-1]):
        assert reading.frames == tape.frames, f"flip at {at}, {at - tape.pieces[-1].offset} in the INDEX"


def test_a_flipped_bit_in_the_header_is_an_unreadable_tape_or_reads_whole(path: Path) -> None:
    tape = Tape(path, indexed=True)
    header = tape.pieces[0]
    assert header.magic == HEADER
    for at in range(header.length):
        data = bytearray(tape.data)
        data[at] ^= 1 << at % 8
        path.write_bytes(data)
        try:
            reading = read(path)
        except UnreadableTape:
            continue
        assert reading.frames == tape.frames, f"flip at {at}"


def test_a_flipped_bit_in_an_open_chunk_leaves_the_sealed_ones_and_never_a_whole_tape(path: Path) -> None:
    # What no SEAL covers yet cannot be told from a chunk that a crash cut off: it is never called closed.
    write(path, small(2), close=False)
    data = path.read_bytes()
    whole = read(path).frames
    open_chunk = pieces(data)[-1]
    for at in range(open_chunk.offset, len(data)):
        altered = bytearray(data)
        altered[at] ^= 1 << at % 8
        path.write_bytes(altered)
        reading = read(path)
        assert reading.frames[:3] == whole[:3], f"flip at {at}"
        assert not reading.closed, f"flip at {at}"


@INDEXED
@pytest.mark.parametrize("unit", [0, 1, 2])
def test_an_overwritten_chunk_is_reported_and_the_others_read(path: Path, unit: int, indexed: bool) -> None:
    tape = Tape(path, indexed=indexed)
    (chunk,) = [piece for number, piece in tape.of_kind(CHUNK) if number == unit]
    end = chunk.offset + chunk.length
    path.write_bytes(tape.data[: chunk.offset] + b"\xaa" * chunk.length + tape.data[end:])
    reading = read(path)
    assert reading.frames == tape.others(unit)
    assert any(damage.chunk == unit or damage.offset == chunk.offset for damage in reading.damage)


@INDEXED
def test_a_zeroed_page_in_the_middle_is_reported(path: Path, indexed: bool) -> None:
    tape = Tape(path, indexed=indexed)
    place = tape.unit(1)
    path.write_bytes(tape.data[: place.start] + bytes(len(place)) + tape.data[place.stop :])
    reading = read(path)
    assert reading.frames == tape.others(1)
    assert any(damage.offset == place.start for damage in reading.damage)


def test_a_chunk_cut_out_leaves_the_others_with_their_numbers(path: Path) -> None:
    tape = Tape(path, indexed=False)
    place = tape.unit(1)
    path.write_bytes(tape.data[: place.start] + tape.data[place.stop :])
    assert read(path).frames == tape.others(1)


def test_bytes_put_between_chunks_are_reported(path: Path) -> None:
    tape = Tape(path, indexed=False)
    at = tape.unit(1).start
    path.write_bytes(tape.data[:at] + b"not a block" + tape.data[at:])
    reading = read(path)
    assert reading.frames == tape.frames
    assert [(damage.offset, damage.length) for damage in reading.damage] == [(at, 11)]


def test_damage_of_a_walked_tape_is_reported_once_however_often_one_looks(path: Path) -> None:
    tape = Tape(path, indexed=False)
    place = tape.unit(0)
    path.write_bytes(tape.data[: place.start] + bytes(len(place)) + tape.data[place.stop :])
    reader = SegmentReader(path)
    for _ in range(3):
        reader.refresh()
        for chunk in reader.chunks:
            list(reader.frames(chunk))
    assert len(reader.damage) == 1
    reader.close()
