"""Small tapes for the tests of the format: written by the writer, taken apart by nothing but struct, read whole."""

import itertools
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recorder.format.blocks import Damage
from recorder.format.chunk import Compressors
from recorder.format.frame import Frame
from recorder.format.reader import SegmentReader
from recorder.format.seal import Previous
from recorder.format.writer import Entry, Segment

ROOT = Path(__file__).parents[3]  # of the repository, for programs that tests start
SESSION = "019e0000-0000-7000-8000-0123456789ab"
START = 1_790_000_000_000_000_000
NOW = START + 5_000_000_000
GATEWAY = ("gw.example", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))

HEADER, SEAL, CHECKPOINT, INDEX = 0x184D2A50, 0x184D2A51, 0x184D2A52, 0x184D2A53
CHUNK = 0xFD2FB528


def segment_at(path: Path, number: int = 0, first_frame: int = 0, previous: Previous | None = None) -> Segment:
    """A segment that is being written at `path`."""
    compressors = Compressors()
    return Segment(
        path, SESSION, START, GATEWAY, compressors, number=number, first_frame=first_frame, previous=previous
    )


def write(path: Path, chunks: Sequence[Iterable[Entry]], *, close: bool = True) -> None:
    """Writes each of `chunks` as a chunk of its own; with `close` False the last stays open, flushed and unsealed."""
    segment = segment_at(path)
    for part in chunks[:-1]:
        segment.append(part, NOW)
        segment.end_chunk(NOW)
    segment.append(chunks[-1], NOW)
    segment.flush()
    if close:
        segment.finish(NOW)
    else:
        segment.abandon()


def small(chunks: int = 3, frames: int = 3) -> list[list[Entry]]:
    """Entries for a small tape whose frames all differ."""
    numbers = itertools.count()
    return [
        [
            Entry(1000 * number, 1 + number % 3, number % 2, b"frame %d of a small tape\r\n" % number)
            for number in itertools.islice(numbers, frames)
        ]
        for _ in range(chunks)
    ]


def values(entries: Iterable[Entry]) -> list[tuple[int, int, int, object]]:
    """What a reader shows of entries, without their numbers."""
    return [(entry.t, entry.kind, entry.stream, entry.body) for entry in entries]


def values_of(frames: Iterable[Frame]) -> list[tuple[int, int, int, object]]:
    """Frames without their numbers."""
    return [(frame.t, frame.kind, frame.stream, frame.body) for frame in frames]


@dataclass(frozen=True)
class Reading:
    """Everything that one pass over a segment gave."""

    frames: list[Frame]
    damage: list[Damage]
    closed: bool

    @property
    def values(self) -> list[tuple[int, int, int, object]]:
        """The frames without their numbers."""
        return values_of(self.frames)


def read(path: Path) -> Reading:
    """Opens `path` and reads every chunk."""
    reader = SegmentReader(path)
    try:
        frames = [frame for chunk in reader.chunks for frame in reader.frames(chunk)]
        return Reading(frames, list(reader.damage), reader.closed)
    finally:
        reader.close()


@dataclass(frozen=True)
class Piece:
    """A block as it lies in the file; `content` is what a skippable block holds, or a chunk's stored bytes."""

    magic: int
    offset: int
    length: int
    content: bytes


def pieces(data: bytes) -> list[Piece]:
    """The blocks of a whole tape, found without the reader's code (zstd itself tells where a chunk ends)."""
    found: list[Piece] = []
    offset = 0
    while offset < len(data):
        (magic,) = struct.unpack_from("<I", data, offset)
        if magic == CHUNK:
            decompressor = zstandard.ZstdDecompressor().decompressobj()
            decompressor.decompress(data[offset:])
            length = len(data) - offset - len(decompressor.unused_data)
            content = data[offset : offset + length]
        else:
            (size,) = struct.unpack_from("<I", data, offset + 4)
            length = 8 + size
            content = data[offset + 8 : offset + length]
        found.append(Piece(magic, offset, length, content))
        offset += length
    return found


def only(found: Sequence[Piece], magic: int) -> list[Piece]:
    """The blocks with that magic number."""
    return [piece for piece in found if piece.magic == magic]


def skippable(magic: int, payload: bytes) -> bytes:
    """A skippable block."""
    return struct.pack("<II", magic, len(payload)) + payload


def zstd_blocks(*blocks: tuple[int, int, bytes]) -> bytes:
    """A zstd frame made by hand of `(type, size, bytes)`: type 0 is raw, 1 repeats one byte `size` times."""
    packed = b"".join(
        (size << 3 | kind << 1 | (number == len(blocks) - 1)).to_bytes(3, "little") + content
        for number, (kind, size, content) in enumerate(blocks)
    )
    return struct.pack("<I", CHUNK) + b"\x00\x58" + packed  # a window of 2 MiB, no content size
