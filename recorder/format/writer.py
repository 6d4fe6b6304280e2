"""Writes one segment of a tape: packs frames into chunks, seals and signs them. Owned by one thread; knows no clock."""

import errno
import fcntl
import os
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import msgpack
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recorder import tree
from recorder.format import layout
from recorder.format.chunk import Chunk, Compressors
from recorder.format.frame import Preamble
from recorder.format.seal import Header, Previous, index_block, pack_header
from recorder.model import Head

_FUTILE = 0.99  # a full chunk that stays larger than this part of its frames did not compress …
_TRY_AGAIN = 8  # … and compression is tried again with the eighth after it
_DROP_BYTES = 4 * 1024 * 1024
_PIECES = 512  # of one writev; Linux takes 1,024 at most
_BIN8 = 0xFF  # msgpack: the longest `bin 8`
_SEED = 16  # bytes of a chunk's seed
_FLOCK = struct.Struct("hhqqi4x")  # struct flock on 64-bit Linux


class Packed(bytes):
    """A body that is msgpack already."""

    __slots__ = ()


class Entry(NamedTuple):
    """A frame to be written; `remaining` is what is left after it of its stream's and side's current message.

    `body` is bytes (or a view of them), Packed, or what msgpack can carry.
    """

    t: int
    kind: int
    stream: int
    body: object
    remaining: int = 0


class Segment:
    """One `.tape` file being written. `flush` makes it readable, `sync` durable, `finish` complete.

    A write that failed is made again, from where it broke off, by the next call that writes.
    """

    def __init__(
        self,
        path: Path,
        session: str,
        start: int,
        gateway: tuple[str, Ed25519PrivateKey],
        compressors: Compressors,
        *,
        number: int = 0,
        first_frame: int = 0,
        previous: Previous | None = None,
        make_room: Callable[[], bool] | None = None,
    ) -> None:
        """Makes the file, which must not exist, and locks it; OSError when that cannot be.

        `make_room` is asked when the disk is full: True when it is worth another try.
        """
        name, gateway_key = gateway
        self.path = path
        self.session = session
        self.number = number
        self.next_frame = first_frame
        self.size = 0
        self._dropped = 0  # how far the page cache was given back
        self._key = Ed25519PrivateKey.generate()
        self._origin = layout.origin(session, number)
        self._signer = tree.Signer(self._origin, self._key)
        self._compressors = compressors
        self._packer = msgpack.Packer(autoreset=True, unicode_errors="surrogateescape")
        self._tree = tree.Tree()
        self._index: list[tuple[int, int, int, int]] = []  # offset, first frame, first t, last t
        self._remaining: dict[tuple[int, int], int] = {}
        self._chunk: Chunk | None = None
        self._unwritten: list[bytes | memoryview] = []
        self._make_room = make_room
        self._futile = 0  # full chunks in a row, since one that was tried, that did not compress
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o640)
        lock(self._fd)
        header = Header(
            session=session,
            segment=number,
            start=start,
            first_frame=first_frame,
            key=tree.public_bytes(self._key),
            gateway=name,
            gateway_key=tree.public_bytes(gateway_key),
            previous=previous,
        )
        self._put(layout.skippable(layout.HEADER_MAGIC, pack_header(header, gateway_key)))
        try:
            self._write()
        except OSError:
            self.abandon()
            path.unlink()  # it holds nothing, and its number must be free for the next try
            raise

    @property
    def chunk_open_since(self) -> int | None:
        """The time (µs) of the open chunk's first frame; None between chunks."""
        return self._chunk.first_t if self._chunk else None

    def append(self, entries: Iterable[Entry], now: int) -> list[Head]:
        """Packs `entries`; returns the heads of the chunks that ended (`now`: UNIX ns, for their checkpoints)."""
        heads: list[Head] = []
        pack = self._packer.pack
        chunk = self._chunk
        for entry in entries:
            t, kind, stream, body, remaining = entry
            if chunk is None:
                chunk = self._begin(t)
            if isinstance(body, (bytes, memoryview)) and not isinstance(body, Packed):
                size = len(body)
                if size > layout.BODY_LIMIT:
                    raise ValueError(f"a body of {size} bytes, {layout.BODY_LIMIT} at most")
                start = b"\xc5" + size.to_bytes(2, "big") if size > _BIN8 else bytes((0xC4, size))
                chunk.add(self.next_frame, t, b"".join((b"\x94", pack((t, kind, stream))[1:], start)), body)
            elif isinstance(body, Packed):
                chunk.add(self.next_frame, t, b"".join((b"\x94", pack((t, kind, stream))[1:], body)))
            else:
                chunk.add(self.next_frame, t, pack((t, kind, stream, body)))
            self.next_frame += 1
            if (remaining or self._remaining) and kind in (1, 2):
                self._note_remaining(stream, kind - 1, remaining)
            if chunk.raw >= layout.CHUNK_RAW or t - chunk.first_t >= layout.CHUNK_US:
                heads.append(self._end_chunk(now))
                chunk = None
        self._write()
        return heads

    def _note_remaining(self, stream: int, side: int, remaining: int) -> None:
        if remaining:
            self._remaining[stream, side] = remaining
        else:
            self._remaining.pop((stream, side), None)

    def _begin(self, t: int) -> Chunk:
        resume = tuple((stream, side, left) for (stream, side), left in sorted(self._remaining.items()))
        preamble = Preamble(self._tree.size, self.next_frame, os.urandom(_SEED), resume)
        compressor = self._compressors.take() if self._futile % _TRY_AGAIN == 0 else None
        self._chunk = Chunk(self.size, preamble, t, compressor)
        return self._chunk

    def end_chunk(self, now: int) -> Head:
        """Ends the open chunk with its SEAL and a checkpoint; it is in the file when this returns, not yet on disk."""
        head = self._end_chunk(now)
        self._write()
        return head

    def _end_chunk(self, now: int) -> Head:
        chunk = self._chunk
        if chunk is None:
            raise RuntimeError("no chunk is open")
        self._put(*chunk.finish())
        if chunk.compressor is not None:
            self._compressors.give(chunk.compressor)
            futile = chunk.raw >= layout.CHUNK_RAW and chunk.stored > chunk.raw * _FUTILE
            self._futile = int(futile)
        else:
            self._futile += 1
        seal = chunk.seal()
        self._tree.append(seal.leaf())
        self._index.append((chunk.offset, seal.first_frame, seal.first_t, seal.last_t))
        self._put(layout.skippable(layout.SEAL_MAGIC, seal.pack()))
        self._chunk = None
        return self._checkpoint(now)

    def checkpoint(self, now: int) -> Head:
        """Appends a signed tree head over the chunks sealed so far."""
        head = self._checkpoint(now)
        self._write()
        return head

    def _checkpoint(self, now: int) -> Head:
        root = self._tree.root()
        text = tree.Checkpoint(self._origin, self._tree.size, root, now).text()
        note = self._signer.note(text)
        self._put(layout.skippable(layout.CHECKPOINT_MAGIC, note.encode()))
        return Head(self.session, self.number, self._tree.size, root, self.size, note)

    def flush(self) -> None:
        """Makes what was appended readable: a zstd block flush and a write."""
        if self._chunk is not None:
            self._put(*self._chunk.flush())
        self._write()

    def running_head(self, now: int) -> Head | None:
        """A signed head over the stored bytes of the open chunk so far; None between chunks."""
        chunk = self._chunk
        if chunk is None:
            return None
        digest = chunk.stored_hash()
        text = f"{self._origin}/running\n{self._tree.size}\n{chunk.stored}\n{digest.hex()}\ntime {now}\n"
        note = self._signer.note(text)
        return Head(self.session, self.number, self._tree.size, digest, chunk.stored, note)

    def sync(self) -> None:
        """Makes what was flushed durable; may run in another thread."""
        os.fdatasync(self._fd)
        if self.size - self._dropped >= _DROP_BYTES:
            # Bulk data would push everything else out of the page cache, and each fresh page costs more than the write.
            os.posix_fadvise(self._fd, self._dropped, self.size - self._dropped, os.POSIX_FADV_DONTNEED)
            self._dropped = self.size

    def complete(self, now: int) -> Head:
        """Ends the open chunk, appends INDEX and footer; returns the last head. It is in the file, not yet on disk."""
        head = self._end_chunk(now) if self._chunk is not None else self._checkpoint(now)
        self._put(index_block(self._index, self.next_frame))
        self._write()
        return head

    def finish(self, now: int) -> Head:
        """Completes the segment, syncs and closes the file; returns the last head."""
        head = self.complete(now)
        self.sync()
        self.abandon()
        return head

    def abandon(self) -> None:
        """Closes the file as it is, which also gives up its lock."""
        os.close(self._fd)
        self._fd = -1

    def _put(self, *pieces: bytes | memoryview) -> None:
        self._unwritten += pieces
        self.size += sum(map(len, pieces))

    def _write(self) -> None:
        while self._unwritten:
            some = self._unwritten[:_PIECES]
            try:
                written = os.writev(self._fd, some)
            except OSError as error:
                if error.errno != errno.ENOSPC or self._make_room is None or not self._make_room():
                    raise
                continue
            if written < sum(map(len, some)):
                self._unwritten = [b"".join(self._unwritten)[written:]]
            else:
                del self._unwritten[:_PIECES]


def lock(descriptor: int) -> None:
    """Takes the open-file-description lock that says: this segment is being written."""
    request = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, request)


def is_locked(descriptor: int) -> bool:
    """Whether some other open file description holds the writer's lock; never takes it."""
    request = _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
    answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, request)
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)
