"""The bounded ring of memory through which a worker hands frames to its scribe: one writer, one reader, no locks.

An entry is copied body first, header last, and its header repeats its own position: whoever reads past what was
announced (because the writer died) can tell a whole entry from what lay there before.
"""

import mmap
import struct
from typing import NamedTuple

CAPACITY = 16 * 1024 * 1024  # bytes
_HEADER = struct.Struct("=QQIIIII")  # position, t, tape, kind, stream, remaining, size
_SIZE = _HEADER.size
_ALIGN = 8
_SKIP = 0xFFFFFFFF  # the size of an entry that only says: go on at the ring's beginning


class Item(NamedTuple):
    """One entry: `body` is raw bytes, or msgpack when `kind` has the PACKED bit."""

    t: int
    tape: int
    kind: int
    stream: int
    remaining: int
    body: memoryview


PACKED = 0x100  # the body is msgpack
OPEN_TAPE, URGENT, CLOSE_TAPE = 0x201, 0x202, 0x203  # kinds that are instructions, not frames


class Ring:
    """A ring over the file descriptor of shared memory; positions count bytes since the beginning and never wrap."""

    def __init__(self, descriptor: int) -> None:
        self._memory = memoryview(mmap.mmap(descriptor, CAPACITY))
        self.written = 0
        self.read = 0

    def put(self, t: int, tape: int, kind: int, stream: int, remaining: int, body: bytes) -> bool:
        """Copies an entry in; False when there is no room (`freed` makes some)."""
        size = len(body)
        written = self.written
        whole = _SIZE + size + -size % _ALIGN
        offset = written % CAPACITY
        lost = CAPACITY - offset if offset + whole > CAPACITY else 0
        if written + lost + whole - self.read > CAPACITY:
            return False
        if lost:
            if lost >= _SIZE:
                _HEADER.pack_into(self._memory, offset, written, 0, 0, 0, 0, 0, _SKIP)
            written += lost
            offset = 0
        start = offset + _SIZE
        self._memory[start : start + size] = body
        _HEADER.pack_into(self._memory, offset, written, t, tape, kind, stream, remaining, size)
        self.written = written + whole
        return True

    def freed(self, position: int) -> None:
        """The reader has taken everything before `position`."""
        self.read = position

    def take(self, limit: int | None) -> Item | None:
        """The next entry before `limit`; without a limit, as long as whole entries follow. None when there is none."""
        while limit is None or self.read < limit:
            offset = self.read % CAPACITY
            if CAPACITY - offset < _SIZE:
                self.read += CAPACITY - offset
                continue
            position, t, tape, kind, stream, remaining, size = _HEADER.unpack_from(self._memory, offset)
            if position != self.read:
                return None
            if size == _SKIP:
                self.read += CAPACITY - offset
                continue
            start = offset + _SIZE
            if size > CAPACITY - start:
                return None
            self.read += _SIZE + size + -size % _ALIGN
            return Item(t, tape, kind, stream, remaining, self._memory[start : start + size])
        return None

    @property
    def outstanding(self) -> int:
        """Bytes that were put in and not yet taken."""
        return self.written - self.read
