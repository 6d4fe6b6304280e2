"""The scribe: the process that packs, compresses, seals and syncs all tapes of a worker.

It ends when the worker lets go of it; when the worker died, it first writes all that reached the ring.
"""

import contextlib
import gc
import queue
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path

import msgpack
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recorder.format import layout, ring, store
from recorder.format.chunk import Compressors
from recorder.format.writer import Entry, Packed, Segment
from recorder.model import Head

_TICK_S = layout.FLUSH_US / 2e6
_IDLE_S = 1.0
_BATCH = 1024 * 1024  # bytes taken from the ring before the worker is told that they are free


class _Writing:
    """What the scribe knows of one tape. Times are µs by the scribe's own monotonic clock."""

    def __init__(self, number: int, session: str, wall_ns: int) -> None:
        self.number = number
        self.session = session
        self.wall_ns = wall_ns
        self.segment: Segment | None = None
        self.entries: list[Entry] = []
        self.size = 0  # bytes of bodies taken
        self.last_t = 0  # µs of the session, of the last frame taken
        self.dirty_since: int | None = None
        self.urgent = False
        self.closing = False
        self.syncing = False
        self.chunk_first: int | None = None
        self.chunk_began = 0
        self.last_head = 0
        self.last_running = 0


class Scribe:
    """Takes entries from the ring and writes them; reports over the link."""

    def __init__(
        self, memory: ring.Ring, link: socket.socket, tapes: Path, gateway: tuple[str, Ed25519PrivateKey]
    ) -> None:
        self._ring = memory
        self._link = link
        self._tapes = tapes
        self._gateway = gateway
        self._compressors = Compressors()
        self._writing: dict[int, _Writing] = {}
        self._announced = 0
        self._sending = threading.Lock()
        self._syncs: queue.SimpleQueue[_Sync | None] = queue.SimpleQueue()
        self._synced: queue.SimpleQueue[_Sync] = queue.SimpleQueue()
        self._syncer = threading.Thread(target=self._sync_all, name="sync", daemon=True)
        self._syncer.start()

    def run(self) -> None:
        """Writes until the worker lets go."""
        alive = True
        while alive:
            busy = any(writing.dirty_since is not None or writing.syncing for writing in self._writing.values())
            select.select([self._link], [], [], _TICK_S if busy else _IDLE_S)
            alive = self._hear()
            self._take(self._announced)
            self._attend()
        self._take(None)
        for writing in list(self._writing.values()):
            writing.urgent = True
        self._attend()
        self._syncs.put(None)
        self._syncer.join()
        for writing in self._writing.values():
            if writing.segment is not None:
                writing.segment.abandon()

    def _hear(self) -> bool:
        """Reads announcements; False once the worker let go or died."""
        try:
            while data := self._link.recv(4096, socket.MSG_DONTWAIT):
                whole = len(data) - len(data) % 8
                if whole != len(data):
                    data += self._link.recv(8 - (len(data) - whole), socket.MSG_WAITALL)
                self._announced = int.from_bytes(data[-8:], "little")
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def _take(self, limit: int | None) -> None:
        """Takes what is in the ring and hands it to its tapes, batch by batch."""
        told = self._ring.read
        while item := self._ring.take(limit):
            self._item(item)
            if self._ring.read - told >= _BATCH:
                self._write_out()
                told = self._ring.read
                self._send("read", told)
        self._write_out()
        if told != self._ring.read:
            self._send("read", self._ring.read)

    def _item(self, item: ring.Item) -> None:
        if item.kind == ring.OPEN_TAPE:
            session, wall_ns = msgpack.unpackb(item.body)
            self._writing[item.tape] = _Writing(item.tape, session, wall_ns)
            return
        writing = self._writing.get(item.tape)
        if writing is None:
            return  # it failed, and its session was told
        if item.kind == ring.URGENT:
            writing.urgent = True
        elif item.kind == ring.CLOSE_TAPE:
            writing.closing = True
        else:
            body = Packed(item.body) if item.kind & ring.PACKED else item.body
            writing.entries.append(Entry(item.t, item.kind & ~ring.PACKED, item.stream, body, item.remaining))
            writing.size += len(item.body)
            writing.last_t = item.t

    def _write_out(self) -> None:
        for writing in list(self._writing.values()):
            if writing.entries or (writing.closing and writing.segment is None):
                self._guarded(writing, self._append)

    def _append(self, writing: _Writing) -> None:
        segment = writing.segment or self._create(writing)
        for head in segment.append(writing.entries, time.time_ns()):
            self._head(head, running=False)
        writing.entries.clear()
        now = _now()
        if writing.dirty_since is None:
            writing.dirty_since = now
        if segment.chunk_open_since != writing.chunk_first:
            writing.chunk_first, writing.chunk_began = segment.chunk_open_since, now

    def _attend(self) -> None:
        """Does what is due: flushes with syncs, heads, ends."""
        while not self._synced.empty():
            self._settle(self._synced.get())
        for writing in list(self._writing.values()):
            self._guarded(writing, self._due)

    def _settle(self, sync: "_Sync") -> None:
        sync.writing.syncing = False
        if sync.writing.number not in self._writing:
            sync.segment.abandon()  # it failed while this sync was under way
        elif sync.error is not None:
            self._failed(sync.writing, sync.error)

    def _due(self, writing: _Writing) -> None:
        segment, now = writing.segment, _now()
        if segment is None:
            return
        urgent = writing.urgent or writing.closing
        if urgent and writing.dirty_since is not None:
            while writing.syncing:
                self._settle(self._synced.get())
            if writing.number in self._writing:
                self._sync(self._flushed(writing, segment))
        elif writing.dirty_since is not None and not writing.syncing and now - writing.dirty_since >= layout.FLUSH_US:
            writing.syncing = True
            self._syncs.put(self._flushed(writing, segment))
        if writing.closing and writing.number in self._writing and not writing.syncing:
            self._head(segment.finish(time.time_ns()), running=False)
            del self._writing[writing.number]
            self._send("closed", writing.number, segment.size, segment.next_frame)
        elif not writing.closing:
            self._heads(writing, segment, now)

    def _flushed(self, writing: _Writing, segment: Segment) -> "_Sync":
        segment.flush()
        writing.dirty_since = None
        writing.urgent = False
        return _Sync(writing, segment, segment.next_frame, writing.size, writing.last_t)

    def _sync(self, sync: "_Sync") -> None:
        sync.segment.sync()
        self._send("synced", sync.writing.number, sync.frames, sync.size, sync.last_t)

    def _sync_all(self) -> None:
        """The thread that waits for the disk while the next chunk is compressed."""
        while (sync := self._syncs.get()) is not None:
            try:
                self._sync(sync)
            except OSError as error:
                sync.error = error
            self._synced.put(sync)

    def _heads(self, writing: _Writing, segment: Segment, now: int) -> None:
        """What time alone makes due: the end of a chunk, an idle checkpoint, the running head."""
        if segment.chunk_open_since is None:
            if now - writing.last_head >= layout.IDLE_CHECKPOINT_US:
                self._head(segment.checkpoint(time.time_ns()), running=False)
                writing.last_head = now
        elif now - writing.chunk_began >= layout.CHUNK_US:
            self._head(segment.end_chunk(time.time_ns()), running=False)
            writing.dirty_since = writing.dirty_since or now
            writing.last_head = now
        elif now - writing.last_running >= layout.HEAD_US:
            head = segment.running_head(time.time_ns())
            if head is not None:
                self._head(head, running=True)
            writing.last_running = now

    def _create(self, writing: _Writing) -> Segment:
        path = store.create_segment(self._tapes, writing.session, 0)
        segment = Segment(path, writing.session, writing.wall_ns, self._gateway, self._compressors)
        writing.segment = segment
        folder = path.parent
        while folder != self._tapes:
            store.sync_folder(folder)
            folder = folder.parent
        store.sync_folder(self._tapes)
        writing.last_head = writing.last_running = _now()
        return segment

    def _guarded(self, writing: _Writing, step: Callable[[_Writing], None]) -> None:
        try:
            step(writing)
        except OSError as error:
            self._failed(writing, error)

    def _failed(self, writing: _Writing, error: OSError) -> None:
        """A tape that cannot be written is left as it is; its session is told and ends."""
        if self._writing.pop(writing.number, None) is None:
            return
        where = error.filename or (writing.segment.path if writing.segment is not None else self._tapes)
        if writing.segment is not None and not writing.syncing:
            writing.segment.abandon()
        mend = "make room or mend the folder's rights"
        self._send("failed", writing.number, f"cannot write the tape in {where}: {error.strerror}; {mend}")

    def _head(self, head: Head, *, running: bool) -> None:
        self._send("head", running, *astuple(head))

    def _send(self, *report: object) -> None:
        message = msgpack.packb(report)
        with self._sending, contextlib.suppress(OSError):  # the worker is gone: what is written counts all the same
            self._link.sendall(message)


@dataclass(slots=True)
class _Sync:
    """A sync to be made: what will be on disk after it."""

    writing: _Writing
    segment: Segment
    frames: int
    size: int
    last_t: int
    error: OSError | None = None


def _now() -> int:
    return time.monotonic_ns() // 1000


def main() -> None:
    """Runs a scribe on the descriptors that the arguments name: the ring's memory and the link to the worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    memory, descriptor = map(int, sys.argv[1:3])
    link = socket.socket(fileno=descriptor)
    size = int.from_bytes(link.recv(4, socket.MSG_WAITALL), "little")
    tapes, name, key = msgpack.unpackb(link.recv(size, socket.MSG_WAITALL))
    gateway = (name, Ed25519PrivateKey.from_private_bytes(key))
    gc.freeze()  # what is loaded by now stays
    Scribe(ring.Ring(memory), link, Path(tapes), gateway).run()


if __name__ == "__main__":
    main()
