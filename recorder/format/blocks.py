"""Finds the blocks of a segment: walks zstd and skippable frames, and after damage finds the next sealed chunk.

Reads only headers; every length is checked against the file before it is used.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
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
    """A segment's file, read by position; it may grow. With `end` it is read as though it ended there."""

    def __init__(self, path: Path, end: int | None = None) -> None:
        self.path = path
        self._end = end
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        mode = os.fstat(self._fd).st_mode
        if not stat.S_ISREG(mode):
            os.close(self._fd)
            if stat.S_ISDIR(mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
            raise Malformed("it is not a regular file")

    def fileno(self) -> int:
        """The descriptor, for locks."""
        return self._fd

    def size(self) -> int:
        """The present length in bytes."""
        size = os.fstat(self._fd).st_size
        return size if self._end is None else min(size, self._end)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes at `offset`; Torn when the file has fewer."""
        if self._end is not None and offset + length > self._end:
            raise Torn(f"the part that counts ends at {self._end}")
        data = os.pread(self._fd, length, offset)
        while len(data) < length:
            more = os.pread(self._fd, length - len(data), offset + len(data))
            if not more:
                raise Torn(f"the file ends at {offset + len(data)}, {length - len(data)} bytes too early")
            data += more
        return data

    def some(self, offset: int, length: int) -> bytes:
        """At most `length` bytes at `offset`."""
        if self._end is not None:
            length = max(min(length, self._end - offset), 0)
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


def blocks_from(source: Source, offset: int, genuine: Callable[[Seal, Block], bool]) -> Iterator[Block | Damage]:
    """The blocks from `offset` on. What is unreadable comes as one Damage before the next sealed chunk.

    Recorded bytes may hold blocks of another tape: `genuine` says whether a SEAL that was searched for is the writer's.

    Ends without a word where the file ends inside a block that may still be growing: the caller compares where the
    last block ended with the file's size.
    """
    proven = offset  # where the last chunk that its SEAL fits ended: a wrong length after it may have hidden the next
    chunk: Block | None = None
    while offset < source.size():
        try:
            block = block_at(source, offset)
        except (Torn, Malformed) as error:
            found = _next_seal(source, proven, genuine)
            if found is None:
                if isinstance(error, Malformed):
                    yield Damage(offset, source.size() - offset, str(error))
                return
            start = min(offset, found.goes_on)
            lost = found.lost and (found.lost.seq, found.lost.first_t, found.lost.last_t)
            yield Damage(start, found.goes_on - start, str(error), *(lost or ()))
            offset, chunk, proven = found.goes_on, None, found.goes_on
            continue
        yield block
        offset += block.length
        if block.magic == layout.SEAL_MAGIC and chunk is not None and _seals(source, block, chunk):
            proven = offset
        chunk = block if block.magic == layout.ZSTD_MAGIC else None


def _seals(source: Source, block: Block, chunk: Block) -> bool:
    try:
        return seal_at(source, block).stored == chunk.length
    except SealError:
        return False


class _Found(NamedTuple):
    """Where reading goes on after damage; `lost` is the SEAL of the chunk that was damaged, when it was found."""

    goes_on: int
    lost: Seal | None


def _next_seal(source: Source, start: int, genuine: Callable[[Seal, Block], bool]) -> _Found | None:
    """The first genuine SEAL after `start`: its chunk, when that is whole, else what follows the SEAL."""
    needle = layout.MAGIC.pack(layout.SEAL_MAGIC)
    position = start
    while data := source.some(position, _WINDOW + 3):
        at = data.find(needle)
        while at >= 0:
            found = _sealed_before(source, position + at, start, genuine)
            if found is not None:
                return found
            at = data.find(needle, at + 1)
        position += _WINDOW
    return None


def _sealed_before(source: Source, offset: int, start: int, genuine: Callable[[Seal, Block], bool]) -> _Found | None:
    try:
        block = block_at(source, offset)
        seal = seal_at(source, block)
    except (Torn, Malformed, SealError):
        return None
    chunk = offset - seal.stored
    # The signature first: what was recorded may hold any number of SEALs, and none of them has one.
    if not start <= chunk < offset or not genuine(seal, block):
        return None
    return _Found(chunk, None) if _whole(source, chunk, seal) else _Found(offset + block.length, seal)


def _whole(source: Source, chunk: int, seal: Seal) -> bool:
    try:
        fits = block_at(source, chunk) == Block(layout.ZSTD_MAGIC, chunk, seal.stored)
    except (Torn, Malformed):
        return False
    return fits and hashlib.sha256(source.read(chunk, seal.stored)).digest() == seal.sha256


def seal_at(source: Source, block: Block) -> Seal:
    """The SEAL in `block`; SealError when it is malformed."""
    return unpack_seal(payload_of(source, block))
