"""The scribe: the process that packs, compresses, seals and syncs all tapes of a worker, and frees its journal.

It ends when the worker lets go of it; when the worker died, it first writes all that reached the journal.
"""

import contextlib
import gc
import os
import queue
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgpack
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recorder.format import journal, layout, reserve
from recorder.format.reports import Reports
from recorder.format.trouble import Trouble
from recorder.format.writer import Segment
from recorder.format.writing import Site, Sync, Writing
from recorder.model import Mode

_TICK_S = layout.FLUSH_US / 2e6
_IDLE_S = 1.0
_BATCH = 1024 * 1024  # bytes taken from the journal before they are written out
_PRESSURE = 4 * 1024 * 1024  # bytes of the journal behind which a tape must not stay unsynced
_NICE = 5  # the worker comes first: what waits here is safe in the journal
_SYNCERS = 2  # threads that wait for the disk
_LEAVE_LIMIT_S = 20.0


class Scribe:
    """Takes entries from the journal and writes them; reports over the link."""

    def __init__(
        self,
        memory: journal.Journal,
        link: socket.socket,
        tapes: Path,
        folder: Path,
        gateway: tuple[str, Ed25519PrivateKey],
        mode: Mode,
    ) -> None:
        self._journal = memory
        self._link = link
        self._reports = Reports(link)
        self._site = Site(tapes, folder, gateway, memory, self._make_room)
        self._reserve = reserve.Reserve(folder / reserve.NAME)
        self._trouble = Trouble(mode, tapes, self._reserve, self._reports)
        self._writing: dict[bytes, Writing] = {}
        self._announced = 0
        self._told = 0  # how far the worker was told that the journal is freed
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._syncs: queue.SimpleQueue[Sync | None] = queue.SimpleQueue()
        self._synced: queue.SimpleQueue[Sync] = queue.SimpleQueue()
        self._syncers = [threading.Thread(target=self._sync_all, daemon=True) for _ in range(_SYNCERS)]
        for thread in self._syncers:
            thread.start()

    def run(self) -> None:
        """Writes until the worker lets go."""
        self._reports.send("ready")
        alive = True
        while alive:
            busy = any(
                writing.dirty_since is not None or writing.pinned is not None for writing in self._writing.values()
            )
            select.select([self._link.fileno(), self._wake], [], [], _TICK_S if busy else _IDLE_S)
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._wake)
            alive = self._hear()
            self._take(self._announced)
            self._attend()
        self._take(None)
        self._leave()

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

    # Taking

    def _take(self, limit: int | None) -> None:
        """Takes what is in the journal and hands it to its tapes, batch by batch."""
        written_out = self._journal.read
        while item := self._journal.take(limit):
            self._item(item)
            if self._journal.read - written_out >= _BATCH:
                written_out = self._journal.read
                self._write_out()
                self._attend()
        self._write_out()

    def _item(self, item: journal.Item) -> None:
        if item.kind == journal.OPEN_TAPE:
            self._writing[item.session] = Writing(self._site, item)
            self._reserve.hold(len(self._writing))
            return
        writing = self._writing.get(item.session)
        if writing is None:
            return  # it failed, and its session was told
        if item.kind == journal.URGENT:
            writing.urgent = True
        elif item.kind == journal.CLOSE_TAPE:
            writing.closing = True
        else:
            writing.take(item)

    def _write_out(self) -> None:
        for writing in list(self._writing.values()):
            if writing.entries or (writing.closing and writing.segment is None):
                self._guarded(writing, self._append)

    def _append(self, writing: Writing) -> None:
        now = _now()
        if writing.troubled or now < writing.retry_at:
            return
        if writing.dirty_since is None:
            writing.dirty_since = now
        for head in writing.append():
            self._reports.head(head, running=False)
        segment = writing.segment
        if segment is not None and segment.chunk_open_since != writing.chunk_first:
            writing.chunk_first, writing.chunk_began = segment.chunk_open_since, now

    # What is due

    def _attend(self) -> None:
        while not self._synced.empty():
            self._settle(self._synced.get())
        for writing in list(self._writing.values()):
            self._guarded(writing, self._due)
        self._free()
        self._reports.send_heads()

    def _due(self, writing: Writing) -> None:
        segment, now = writing.segment, _now()
        if now < writing.retry_at:
            return
        if self._trouble.try_again(writing):
            if writing.over:
                del self._writing[writing.key]
            return
        if writing.entries:
            self._append(writing)  # what an earlier try left
            segment = writing.segment
        if segment is None or writing.syncing is not None:
            return
        if writing.closing:
            self._complete(writing, segment)
            return
        flush_due = writing.dirty_since is not None and now - writing.dirty_since >= layout.FLUSH_US
        pressed = writing.first is not None and self._journal.read - writing.first > _PRESSURE
        if writing.first is not None and (writing.urgent or pressed or (flush_due and writing.sealed)):
            writing.flush(segment)
            writing.dirty_since = None
            self._syncs.put(writing.begin_sync(segment))
        elif flush_due:
            writing.flush(segment)
            writing.dirty_since = None
        self._heads(writing, segment, now)

    def _complete(self, writing: Writing, segment: Segment) -> None:
        if not writing.completed:
            writing.completed = True
            self._reports.head(segment.complete(time.time_ns()), running=False)
        else:
            segment.flush()  # what a full disk left
        self._syncs.put(writing.begin_sync(segment))

    def _heads(self, writing: Writing, segment: Segment, now: int) -> None:
        """What time alone makes due: the end of a chunk, an idle checkpoint, the running head."""
        if segment.chunk_open_since is None:
            if now - writing.last_head >= layout.IDLE_CHECKPOINT_US:
                if writing.last_head:
                    self._reports.head(segment.checkpoint(time.time_ns()), running=False)
                writing.last_head = now
        elif now - writing.chunk_began >= layout.CHUNK_US:
            self._reports.head(segment.end_chunk(time.time_ns()), running=False)
            writing.sealed = True
            writing.dirty_since = writing.dirty_since or now
            writing.last_head = now
        elif now - writing.last_running >= layout.HEAD_US:
            head = segment.running_head(time.time_ns()) if writing.last_running else None
            if head is not None:
                self._reports.head(head, running=True)
            writing.last_running = now

    # Syncs

    def _sync_all(self) -> None:
        """A thread that waits for the disk while the next chunk is compressed."""
        while (sync := self._syncs.get()) is not None:
            sync.make()
            self._synced.put(sync)
            os.eventfd_write(self._wake, 1)

    def _settle(self, sync: Sync) -> None:
        writing = sync.writing
        earlier, writing.error = writing.error, None
        if sync.error is not None:
            writing.unsynced(sync)
            self._trouble.unsynced(writing, sync.error)
            return
        writing.synced(sync)
        self._trouble.over(len(self._writing))
        if earlier is not None:
            self._trouble.failed(writing, earlier)
            return
        self._reports.send("synced", writing.key, sync.frames, sync.size, sync.last_t)
        if writing.completed:
            sync.segment.abandon()
            del self._writing[writing.key]
            self._reports.send_heads(now=True)
            size = sum(path.stat().st_size for path in sync.segment.path.parent.glob("*.tape"))
            self._reports.send("closed", writing.key, size, sync.frames, sync.segment.number + 1, writing.gaps)

    def _free(self) -> None:
        """Gives the worker room: everything before the first entry that is on no disk but the journal's."""
        pinned = [writing.pinned for writing in self._writing.values()]
        position = min((at for at in pinned if at is not None), default=self._journal.read)
        if position > self._told:
            self._told = position
            self._journal.free(position)
            self._reports.send("freed")

    def _guarded(self, writing: Writing, step: Callable[[Writing], None]) -> None:
        try:
            step(writing)
        except OSError as error:
            self._trouble.failed(writing, error)

    def _make_room(self) -> bool:
        return self._trouble.make_room(self._writing.values())

    # The end

    def _leave(self) -> None:
        """Puts on disk what can be; what cannot stays in the journal for the next start."""
        limit = time.monotonic() + _LEAVE_LIMIT_S
        for writing in self._writing.values():
            writing.urgent, writing.retry_at = True, 0
        self._attend()
        while time.monotonic() < limit and any(writing.syncing is not None for writing in self._writing.values()):
            select.select([self._wake], [], [], _IDLE_S)
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._wake)
            self._attend()
        for _ in self._syncers:
            self._syncs.put(None)
        for thread in self._syncers:
            thread.join()
        while not self._synced.empty():
            self._settle(self._synced.get())
        self._free()
        self._reports.send_heads(now=True)
        for writing in self._writing.values():
            if writing.segment is not None and not writing.broken:
                writing.segment.abandon()


def _now() -> int:
    return time.monotonic_ns() // 1000


def main() -> None:
    """Runs a scribe on the descriptors that the arguments name: the journal and the link to the worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    memory, descriptor = map(int, sys.argv[1:3])
    link = socket.socket(fileno=descriptor)
    size = int.from_bytes(link.recv(4, socket.MSG_WAITALL), "little")
    tapes, folder, name, key, mode = msgpack.unpackb(link.recv(size, socket.MSG_WAITALL))
    gateway = (name, Ed25519PrivateKey.from_private_bytes(key))
    os.nice(_NICE)
    gc.freeze()  # what is loaded by now stays
    Scribe(journal.Journal(memory), link, Path(tapes), Path(folder), gateway, Mode(mode)).run()


if __name__ == "__main__":
    main()
