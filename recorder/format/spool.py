"""The writer thread of a worker, and each session's handle on it. Only `barrier` waits for the disk."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recorder.format import layout, store
from recorder.format.writer import Entry, Segment
from recorder.model import Head

_WAKE_BYTES = 256 * 1024  # appended bytes that wake the thread before its next tick
_QUEUE_BYTES = 4 * 1024 * 1024  # appended but unwritten bytes at which a session must wait
_UNSYNCED_US = 200_000  # forwarded but unsynced time at which a session must wait (250 ms promised)
_TICK_S = layout.FLUSH_US / 2e6


class TapeError(OSError):
    """The tape cannot be written; the text is one sentence with the path and the mend."""


class Tape:
    """A session's handle on its tape. `append` returns at once; `clear` says whether the session may go on forwarding.

    Everything but what is marked so runs in the event loop's thread.
    """

    def __init__(self, spool: "Spool", session: str, wall_ns: int) -> None:
        self.session = session
        self.start = wall_ns
        self.clear = True
        self.failed: TapeError | None = None
        self.on_clear: Callable[[], None] = _nothing
        self.on_failure: Callable[[TapeError], None] = _ignore
        self._spool = spool
        self._origin = time.monotonic_ns()
        self._queue: deque[Entry] = deque()  # appended here, popped by the writer thread
        self._appended = 0
        self._written = 0  # by the writer thread
        self._frames = 0
        self._unsynced_since: int | None = None
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._urgent = 0  # frames that a barrier waits for
        self._synced_bytes = 0
        self._limit: int | None = None
        self._closing: asyncio.Future[tuple[int, int]] | None = None

    def now(self) -> int:
        """µs since the session's start, by the monotonic clock."""
        return (time.monotonic_ns() - self._origin) // 1000

    def append(self, kind: int, stream: int, body: object, size: int = 64, remaining: int = 0) -> None:
        """Queues a frame; `size` its approximate packed length in bytes. `clear` turns False when too much waits."""
        t = self.now()
        self._queue.append(Entry(t, kind, stream, body, remaining))
        self._frames += 1
        before = self._appended
        self._appended += size
        if self._unsynced_since is None:
            self._unsynced_since = t
            self._spool.wake()
        elif self._appended // _WAKE_BYTES != before // _WAKE_BYTES:
            self._spool.wake()
        if self._congested(t):
            self.clear = False

    def limit_unsynced(self, size: int) -> None:
        """From now on at most `size` bytes are appended ahead of the disk before `clear` turns False."""
        self._limit = size

    def _congested(self, t: int) -> bool:
        waiting = self._appended - self._written > _QUEUE_BYTES
        if self._limit is not None and self._appended - self._synced_bytes > self._limit // 2:
            # Half of the limit, because one more body of 32 KiB may already be on its way through the door.
            self._urgent = self._frames
            self._spool.wake()
            waiting = True
        return waiting or (self._unsynced_since is not None and t - self._unsynced_since > _UNSYNCED_US)

    def barrier(self) -> asyncio.Future[None]:
        """A future that is done once all appended so far is on disk; it fails with TapeError when that cannot be."""
        future: asyncio.Future[None] = self._spool.loop.create_future()
        if self.failed is not None:
            future.set_exception(self.failed)
        elif self._unsynced_since is None:
            future.set_result(None)
        else:
            self._waiters.append((self._frames, future))
            self._urgent = self._frames
            self._spool.wake()
        return future

    def close(self) -> asyncio.Future[tuple[int, int]]:
        """Ends the tape after what was appended; the future gives its stored size and its number of frames."""
        if self._closing is None:
            self._closing = self._spool.loop.create_future()
            self._spool.wake()
            if self.failed is not None:
                self._closing.set_exception(self.failed)
        return self._closing

    def _synced(self, frames: int, size: int, drained_at: int) -> None:
        """Told by the writer thread: the first `frames` frames are on disk; later ones came after `drained_at` µs."""
        self._synced_bytes = size
        while self._waiters and self._waiters[0][0] <= frames:
            _, future = self._waiters.popleft()
            if not future.done():
                future.set_result(None)
        self._unsynced_since = None if frames == self._frames else drained_at
        self._relieved()

    def _relieved(self) -> None:
        """Told by the writer thread whenever it made room for a session that waits."""
        if not self.clear and self.failed is None and not self._congested(self.now()):
            self.clear = True
            self.on_clear()

    def _closed(self, size: int, frames: int) -> None:
        if self._closing is not None and not self._closing.done():
            self._closing.set_result((size, frames))

    def _fail(self, error: TapeError) -> None:
        self.failed = error
        self.clear = False
        for _, future in self._waiters:
            if not future.done():
                future.set_exception(error)
        self._waiters.clear()
        if self._closing is not None and not self._closing.done():
            self._closing.set_exception(error)
        self.on_failure(error)


class Spool:
    """The one writer thread of a worker: packs, compresses, appends and syncs for all its sessions."""

    def __init__(
        self,
        tapes: Path,
        gateway: tuple[str, Ed25519PrivateKey],
        loop: asyncio.AbstractEventLoop,
        on_head: Callable[[Head, bool], None] | None = None,
    ) -> None:
        """`on_head(head, running)` is called in the writer thread for every checkpoint and running head."""
        self.loop = loop
        self._tapes = tapes
        self._gateway = gateway
        self._on_head = on_head or _drop_head
        self._compressor = zstandard.ZstdCompressor(level=1, write_checksum=False, write_content_size=False)
        self._writing: dict[Tape, _Writing] = {}
        self._new: deque[Tape] = deque()
        self._event = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="tape-writer", daemon=True)
        self._thread.start()

    def open(self, session: str, wall_ns: int) -> Tape:
        """A new tape for `session`; its file is created by the writer thread with the first frame."""
        tape = Tape(self, session, wall_ns)
        self._new.append(tape)
        return tape

    def wake(self) -> None:
        """Asks the writer thread for a round now (any thread)."""
        if not self._event.is_set():
            self._event.set()

    def stop(self) -> None:
        """Ends the thread once every tape that was asked to close is closed; waits for it (30 s at most)."""
        self._stopping = True
        self.wake()
        self._thread.join(30)

    def _run(self) -> None:
        while True:
            while self._new:
                tape = self._new.popleft()
                self._writing[tape] = _Writing(tape)
            idle = True
            for writing in list(self._writing.values()):
                if self._round(writing):
                    idle = False
            if self._stopping and not self._new and all(w.tape._closing is None for w in self._writing.values()):
                return
            self._event.wait(1.0 if idle else _TICK_S)
            self._event.clear()

    def _round(self, writing: "_Writing") -> bool:
        """One turn for one tape; True while it has something that becomes due."""
        try:
            return self._turn(writing)
        except OSError as error:
            where = error.filename or self._tapes
            failure = TapeError(
                f"cannot write the tape in {where}: {error.strerror}; make room or mend the folder's rights"
            )
            self._writing.pop(writing.tape, None)
            if writing.segment is not None:
                writing.segment.abandon()
            self._call(writing.tape._fail, failure)
            return False

    def _turn(self, writing: "_Writing") -> bool:
        tape = writing.tape
        now = tape.now()
        closing = tape._closing is not None
        entries = writing.drain()
        if entries:
            for head in (writing.segment or self._create(writing)).append(entries, time.time_ns()):
                self._on_head(head, False)
            tape._written = writing.drained_bytes
            if not tape.clear:
                self._call(tape._relieved)
            writing.dirty_since = now if writing.dirty_since is None else writing.dirty_since
        if writing.segment is None and not closing:
            return False
        segment = writing.segment or self._create(writing)
        urgent = tape._urgent > writing.synced_frames
        if writing.dirty_since is not None and (urgent or closing or now - writing.dirty_since >= layout.FLUSH_US):
            segment.flush()
            segment.sync()
            writing.synced_frames = segment.next_frame
            writing.dirty_since = None
            self._call(tape._synced, segment.next_frame, writing.drained_bytes, now)
        if closing and not tape._queue:
            self._on_head(segment.finish(time.time_ns()), False)
            del self._writing[tape]
            self._call(tape._closed, segment.size, segment.next_frame)
            return False
        self._heads(writing, segment, now)
        return writing.dirty_since is not None or bool(tape._queue) or segment.chunk_open_since is not None

    def _heads(self, writing: "_Writing", segment: Segment, now: int) -> None:
        """What time alone makes due: the end of a chunk, an idle checkpoint, the running head."""
        since = segment.chunk_open_since
        if since is not None and now - since >= layout.CHUNK_US:
            self._on_head(segment.end_chunk(time.time_ns()), False)
            segment.sync()
            writing.last_head = now
        elif since is None and now - writing.last_head >= layout.IDLE_CHECKPOINT_US:
            self._on_head(segment.checkpoint(time.time_ns()), False)
            writing.last_head = now
        elif since is not None and now - writing.last_running >= layout.HEAD_US:
            head = segment.running_head(time.time_ns())
            if head is not None:
                self._on_head(head, True)
            writing.last_running = now

    def _create(self, writing: "_Writing") -> Segment:
        tape = writing.tape
        path = store.create_segment(self._tapes, tape.session, 0)
        writing.segment = Segment(path, tape.session, tape.start, self._gateway, self._compressor)
        folder = path.parent
        while folder != self._tapes:
            store.sync_folder(folder)
            folder = folder.parent
        store.sync_folder(self._tapes)
        return writing.segment

    def _call(self, callback: Callable[..., None], *arguments: object) -> None:
        try:
            self.loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            # The loop is closed: nobody is left to be told, and what was appended is on disk.
            return


class _Writing:
    """What the writer thread knows of one tape."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.segment: Segment | None = None
        self.dirty_since: int | None = None
        self.drained_bytes = 0
        self.synced_frames = 0
        self.last_head = 0
        self.last_running = 0

    def drain(self) -> list[Entry]:
        self.drained_bytes = self.tape._appended
        pop = self.tape._queue.popleft
        return [pop() for _ in range(len(self.tape._queue))]


def _nothing() -> None:
    """Nobody asked to be told."""


def _ignore(_error: TapeError) -> None:
    """Nobody asked to be told."""


def _drop_head(_head: Head, _running: bool) -> None:
    """Nobody keeps the heads."""
