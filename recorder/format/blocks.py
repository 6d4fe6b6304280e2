"""Finds the blocks of a segment: walks zstd and skippable frames, and after damage finds the next sealed chunk.

Reads only headers; every length is checked against the file before it is used.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from recorder.format import layout
from recorder.format.seal import Seal, SealError, unpack_seal

_LIMITS = {
    layout.HEADER_MAGIC: layout.HEADER_LIMIT,
    layout.SEAL_MAGIC: layout.SEAL_LIMIT,
    layout.CHECKPOINT_MAGIC: layout.CHECKPOINT_LIMIT,
    layout.INDEX_MAGIC: layout.INDEX_LIMIT,
}
_DICTIONARY = (0, 1, 2, 4)
_CONTENT = (0, 2, 4, 8)
_RLE, _RESERVED = 1, 3
_WINDOW = 1024 * 1024


class Torn(ValueError):
    """The file ends before the block does."""


class Malformed(ValueError):
    """Bytes that are no block of a tape."""


class Block(NamedTuple):
    """A whole block: `magic`, offset of its first byte, total length."""

    magic: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of a segment that cannot be read: where, how many, and why. `chunk` counts from 0 where it is known."""

    offset: int
    length: int
    reason: str
    chunk: int | None = None
    first_t: int | None = None
    last_t: int | None = None


class Source:
    """A segment's file, read by position; it may grow."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)

    def fileno(self) -> int:
        """The descriptor, for locks."""
        return self._fd

    def size(self) -> int:
        """The present length in bytes."""
        return os.fstat(self._fd).st_size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes at `offset`; Torn when the file has fewer."""
        data = os.pread(self._fd, length, offset)
        while len(data) < length:
            more = os.pread(self._fd, length - len(data), offset + len(data))
            if not more:
                raise Torn(f"the file ends at {offset + len(data)}, {length - len(data)} bytes too early")
            data += more
        return data

    def some(self, offset: int, length: int) -> bytes:
        """At most `length` bytes at `offset`."""
        return os.pread(self._fd, length, offset)

    def close(self) -> None:
        """Closes the file."""
        os.close(self._fd)


def block_at(source: Source, offset: int) -> Block:
    """The whole block at `offset`; Torn when the file ends inside it, Malformed when it is none."""
    (magic,) = layout.MAGIC.unpack(source.read(offset, layout.MAGIC.size))
    if magic == layout.ZSTD_MAGIC:
        return Block(magic, offset, _zstd_length(source, offset))
    limit = _LIMITS.get(magic)
    if limit is None:
        raise Malformed(f"no block of a tape begins with {magic:#010x}")
    _, length = layout.SKIPPABLE.unpack(source.read(offset, layout.SKIPPABLE.size))
    if length > limit:
        raise Malformed(f"a block of {length} bytes where at most {limit} are allowed")
    total = layout.SKIPPABLE.size + length
    if offset + total > source.size():
        raise Torn(f"the file ends inside the block at {offset}")
    return Block(magic, offset, total)


def payload_of(source: Source, block: Block) -> bytes:
    """What a skippable block holds."""
    return source.read(block.offset + layout.SKIPPABLE.size, block.length - layout.SKIPPABLE.size)


def _zstd_length(source: Source, offset: int) -> int:
    """The length of the zstd frame at `offset`, by its block headers (RFC 8878 sections 3.1.1.1 and 3.1.1.2)."""
    descriptor = source.read(offset + 4, 1)[0]
    single_segment = descriptor >> 5 & 1
    content = _CONTENT[descriptor >> 6] or single_segment
    position = offset + 5 + (not single_segment) + _DICTIONARY[descriptor & 3] + content
    while True:
        header = int.from_bytes(source.read(position, 3), "little")
        last, kind, size = header & 1, header >> 1 & 3, header >> 3
        if kind == _RESERVED:
            raise Malformed(f"a reserved zstd block type at {position}")
        position += 3 + (1 if kind == _RLE else size)
        if position - offset > layout.CHUNK_STORED_LIMIT:
            raise Malformed(f"a chunk of more than {layout.CHUNK_STORED_LIMIT} bytes")
        if last:
            break
    if descriptor >> 2 & 1:
        position += 4
    if position > source.size():
        raise Torn(f"the file ends inside the chunk at {offset}")
    return position - offset


def blocks_from(source: Source, offset: int) -> Iterator[Block | Damage]:
    """The blocks from `offset` on. What is unreadable comes as one Damage before the next sealed chunk.

    Ends without a word where the file ends inside a block that may still be growing: the caller compares where the
    last block ended with the file's size.
    """
    while offset < source.size():
        try:
            block = block_at(source, offset)
        except (Torn, Malformed) as error:
            found = _next_sealed(source, offset + 1)
            if found is None:
                if isinstance(error, Malformed):
                    yield Damage(offset, source.size() - offset, str(error))
                return
            yield Damage(offset, found - offset, str(error))
            offset = found
            continue
        yield block
        offset += block.length


def _next_sealed(source: Source, start: int) -> int | None:
    """The offset of the first chunk at or after `start` whose SEAL fits it in length and SHA-256."""
    needle = layout.MAGIC.pack(layout.SEAL_MAGIC)
    position = start
    while data := source.some(position, _WINDOW + 3):
        at = data.find(needle)
        while at >= 0:
            chunk = _chunk_before(source, position + at, start)
            if chunk is not None:
                return chunk
            at = data.find(needle, at + 1)
        position += _WINDOW
    return None


def _chunk_before(source: Source, offset: int, start: int) -> int | None:
    """The offset of the chunk that the block at `offset` seals, when that block is its SEAL."""
    try:
        seal = seal_at(source, block_at(source, offset))
        chunk = offset - seal.stored
        if not start <= chunk < offset or block_at(source, chunk) != Block(layout.ZSTD_MAGIC, chunk, seal.stored):
            return None
        fits = hashlib.sha256(source.read(chunk, seal.stored)).digest() == seal.sha256
    except (Torn, Malformed, SealError):
        return None
    return chunk if fits else None


def seal_at(source: Source, block: Block) -> Seal:
    """The SEAL in `block`; SealError when it is malformed."""
    return unpack_seal(payload_of(source, block))
