"""The journal: one bounded, memory-mapped file a worker, in which every frame stands before its bytes go on.

Its pages outlive the processes. One writer, one reader, no locks: an entry is copied body first, header last, and its
header holds its own position and a check sum over both, so that whoever reads after a crash takes whole entries only.
"""

import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from google_crc32c import extend, value

from recorder.format import store

CAPACITY = 16 * 1024 * 1024  # bytes of entries
HEADER = 4096  # bytes before them
PACKED = 0x100  # the body is msgpack
OPEN_TAPE, URGENT, CLOSE_TAPE = 0x201, 0x202, 0x203  # kinds that are instructions, not frames
LEFT = ".left"  # suffix of files of entries that their tape could not take

_MAGIC = b"TACHOJ\x00\x01"
_VERSION_AT = 6
_FREED = struct.Struct("=Q")
_FREED_AT = 64
_HEAD = struct.Struct("=QQQ16sIIII")  # position, number, t, session, kind, stream, remaining, size
_SUM = 4
_SIZE = 64  # of an entry's header: what _HEAD packs, its check sum, padding
_ALIGN = 8
_SKIP = 0xFFFFFFFF  # the size of an entry that only says: go on at the beginning
_PIECE = 1024 * 1024


class Item(NamedTuple):
    """One entry. `number` counts the session's frames from 0; `t` is µs since its start; `session` a UUID's bytes.

    `body` is raw bytes, or msgpack when `kind` has the PACKED bit.
    """

    position: int
    number: int
    t: int
    session: bytes
    kind: int
    stream: int
    remaining: int
    body: memoryview


class Journal:
    """A journal that is in use; positions count bytes since the beginning and never wrap."""

    def __init__(self, descriptor: int) -> None:
        """Maps the file that `create` made; `descriptor` stays the caller's."""
        self._descriptor = descriptor
        self._memory = memoryview(mmap.mmap(descriptor, HEADER + CAPACITY))
        self._ring = self._memory[HEADER:]
        self.written = 0
        self.read = 0
        self.freed = 0

    # The worker's side

    def put(self, number: int, t: int, session: bytes, kind: int, stream: int, remaining: int, body: bytes) -> bool:
        """Copies an entry in; False when there is no room."""
        size = len(body)
        written = self.written
        whole = _SIZE + size + -size % _ALIGN
        offset = written % CAPACITY
        lost = CAPACITY - offset if offset + whole > CAPACITY else 0
        if written + lost + whole - self.freed > CAPACITY:
            return False
        ring = self._ring
        if lost:
            if lost >= _SIZE:
                head = _HEAD.pack(written, 0, 0, bytes(16), 0, 0, 0, _SKIP)
                ring[offset : offset + _HEAD.size + _SUM] = head + value(head).to_bytes(_SUM, "little")
            written += lost
            offset = 0
        head = _HEAD.pack(written, number, t, session, kind, stream, remaining, size)
        start = offset + _SIZE
        ring[start : start + size] = body
        ring[offset : offset + _HEAD.size + _SUM] = head + extend(value(head), body).to_bytes(_SUM, "little")
        self.written = written + whole
        return True

    def look(self) -> None:
        """Sees how far the reader has freed the journal."""
        (self.freed,) = _FREED.unpack_from(self._memory, _FREED_AT)

    @property
    def outstanding(self) -> int:
        """Bytes that were put in and not yet freed."""
        return self.written - self.freed

    def sync(self) -> None:
        """Makes durable what was put in before the call. May run in any thread; OSError when the disk refuses."""
        os.fdatasync(self._descriptor)

    # The reader's side

    def take(self, limit: int | None) -> Item | None:
        """The next entry before `limit`; without a limit as long as whole entries follow. None when there is none."""
        item, self.read = _next(self._ring, self.read, limit)
        return item

    def items(self, start: int, end: int) -> Iterator[Item]:
        """The entries between two positions, which must have been taken and not yet freed."""
        item, start = _next(self._ring, start, end)
        while item is not None:
            yield item
            item, start = _next(self._ring, start, end)

    def free(self, position: int) -> None:
        """Everything before `position` is on disk elsewhere: its room may be used again."""
        self.freed = position
        _FREED.pack_into(self._memory, _FREED_AT, position)


def _next(ring: memoryview, position: int, limit: int | None) -> tuple[Item | None, int]:
    """The entry at `position`, or the next one, and where to go on; None, and where it stopped, when there is none."""
    while limit is None or position < limit:
        offset = position % CAPACITY
        if CAPACITY - offset < _SIZE:
            position += CAPACITY - offset
            continue
        at, number, t, session, kind, stream, remaining, size = _HEAD.unpack_from(ring, offset)
        if at != position:
            return None, position
        if size == _SKIP:
            if limit is None and not _sums(ring, offset, b""):
                return None, position
            position += CAPACITY - offset
            continue
        start = offset + _SIZE
        if size > CAPACITY - start:
            return None, position
        body = ring[start : start + size]
        if limit is None and not _sums(ring, offset, body):
            return None, position
        item = Item(position, number, t, session, kind, stream, remaining, body)
        return item, position + _SIZE + size + -size % _ALIGN
    return None, position


def _sums(ring: memoryview, offset: int, body: bytes | memoryview) -> bool:
    """Whether an entry's check sum fits; entries before a limit were announced, which needs no check."""
    end = offset + _HEAD.size
    stored = int.from_bytes(ring[end : end + _SUM], "little")
    return bool(extend(value(bytes(ring[offset:end])), bytes(body)) == stored)


def create(path: Path) -> int:
    """An empty journal at `path`, in place of any that was there; returns its descriptor.

    Its room is written, so that no later access can meet a full disk, and it is on disk under its name; OSError when
    that cannot be.
    """
    fresh = path.with_name(f"{path.name}.new")
    descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        zeros = bytes(_PIECE)
        for at in range(0, CAPACITY, _PIECE):
            os.pwrite(descriptor, zeros, HEADER + at)
        os.pwrite(descriptor, _MAGIC.ljust(HEADER, b"\x00"), 0)
        os.fsync(descriptor)
        fresh.replace(path)
        store.sync_folder(path.parent)
    except OSError:
        os.close(descriptor)
        fresh.unlink(missing_ok=True)
        raise
    return descriptor


class NoJournal(Exception):
    """A file that stands in a journal's place and cannot be read as one; the text says why."""


def leftover(path: Path) -> list[Item]:
    """The whole entries that a journal still holds, none when there is no file at `path`; NoJournal, or OSError."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    if not content.startswith(_MAGIC):
        version = content.startswith(_MAGIC[:_VERSION_AT])
        raise NoJournal("it is the journal of another version" if version else "it does not begin as a journal")
    if len(content) != HEADER + CAPACITY:
        raise NoJournal(f"it has {len(content)} bytes, a journal has {HEADER + CAPACITY}")
    (freed,) = _FREED.unpack_from(content, _FREED_AT)
    ring = memoryview(content)[HEADER:]
    found: list[Item] = []
    item, position = _next(ring, freed, None)
    while item is not None and position - freed <= CAPACITY:
        found.append(item)
        item, position = _next(ring, position, None)
    return found


def pack_left(item: Item) -> bytes:
    """An entry as a file of entries that were set aside holds it."""
    head = _HEAD.pack(*item[:7], len(item.body))
    return b"".join((head, extend(value(head), bytes(item.body)).to_bytes(_SUM, "little"), item.body))


def unpack_left(path: Path) -> list[Item]:
    """The whole entries in a file of entries that were set aside."""
    content = memoryview(path.read_bytes())
    found: list[Item] = []
    at = 0
    while at + _HEAD.size + _SUM <= len(content):
        position, number, t, session, kind, stream, remaining, size = _HEAD.unpack_from(content, at)
        start = at + _HEAD.size + _SUM
        body = content[start : start + size]
        if len(body) != size or not _sums(content, at, body):
            break
        found.append(Item(position, number, t, session, kind, stream, remaining, body))
        at = start + size
    return found
