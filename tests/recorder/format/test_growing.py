"""A chunk that grows is decoded once, and gives what reading it anew gives."""

import os
import random
from pathlib import Path

import pytest
import zstandard

from recorder.format import layout
from recorder.format.blocks import Source
from recorder.format.frame import Kind
from recorder.format.growing import Growing
from recorder.format.reader import SegmentReader
from tests.replay.tapes import Tape


class Counting(Source):
    """Counts the bytes that are asked for."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.total = 0

    def some(self, offset: int, length: int) -> bytes:
        data = super().some(offset, length)
        self.total += len(data)
        return data


def torn(tapes: Path, rng: random.Random, *, random_bytes: bool) -> tuple[Path, int]:
    """A segment whose last chunk has no end, and where that begins."""
    tape = Tape(tapes).put(Kind.OUT, 1, b"first").chunk()
    if random_bytes:
        for _ in range(20):  # enough for what does not compress to be stored as it is
            tape.put(Kind.OUT, 1, rng.randbytes(32_000))
        tape.chunk()
    offset = tape.path.stat().st_size
    for _ in range(40):
        tape.put(
            Kind.OUT, 1, rng.randbytes(rng.randrange(3000)) if random_bytes else b"%d text " % rng.randrange(10**9)
        )
        if rng.random() < 0.3:
            tape.flush()
    return tape.abandon(), offset


@pytest.mark.parametrize("random_bytes", [False, True])
def test_at_any_length_it_reads_as_it_does_anew(tmp_path: Path, random_bytes: bool) -> None:
    rng = random.Random(7)
    whole, offset = torn(tmp_path, rng, random_bytes=random_bytes)
    data, path = whole.read_bytes(), tmp_path / "growing.tape"
    path.write_bytes(data[:offset])
    source, seen = Counting(path), 0
    growing, length = Growing(source, offset), offset
    reader = SegmentReader(path)
    with path.open("ab", buffering=0) as file:
        while length < len(data):
            piece = data[length : length + rng.randrange(1, 300)]
            file.write(piece)
            length += len(piece)
            assert growing.grow(length)
            reader.refresh()
            if reader.chunks[-1].offset == offset:
                anew = [frame for frame, _ in reader.packed_frames(reader.chunks[-1])]
                assert list(reader.frames(reader.chunks[-1])) == growing.frames == anew
                seen += 1
    assert seen > 2
    assert len(growing.frames) == 40
    assert source.total == len(data) - offset
    reader.close()
    source.close()


def test_a_chunk_that_no_gateway_writes_is_given_up_and_fills_no_memory(tmp_path: Path) -> None:
    compress = zstandard.ZstdCompressor(level=1).compress
    zeros = compress(bytes(64 * layout.CHUNK_RAW_LIMIT))
    preamble = b"\x94\x00\x00\xc4\x10" + bytes(16) + b"\x90"
    many = compress(preamble + b"\x94\x00\x01\x00\xc4\x00" * 200_000)
    path = tmp_path / "hostile"
    for content in (zeros, many, b"\x28\xb5\x2f\xfd" + os.urandom(5000), os.urandom(5000), zeros[:200] + bytes(900)):
        path.write_bytes(content)
        source = Source(path)
        growing = Growing(source, 0)
        assert not growing.grow(len(content))
        assert growing.frames == []
        assert not growing.grow(len(content))
        source.close()


def test_a_chunk_that_was_given_up_is_read_in_the_other_way(tmp_path: Path) -> None:
    tape = Tape(tmp_path)
    for _ in range(70_000):
        tape.segment._chunk = tape.segment._chunk or tape.segment._begin(0)
        tape.segment._chunk.add(0, 0, b"\x94\x00\x02\x01\xc4\x00")
    tape.abandon()
    reader = SegmentReader(tape.path)
    assert len(reader.chunks) == 1
    assert sum(1 for _ in reader.frames(reader.chunks[0])) == 70_000
    assert not reader.damage
    reader.close()
