"""A session's handle on its tape, in the worker: what was appended, what of it is on disk, may more be forwarded."""

import asyncio
import time
import uuid
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgpack

from recorder.format import journal, layout
from recorder.format.frame import Kind
from recorder.model import Mode

if TYPE_CHECKING:
    from collections.abc import Callable

_LITTLE = 64 * 1024  # bytes of a session in the journal for which it does not wait as long as there is some room
UNSYNCED_US = 200_000  # forwarded but unsynced time at which a session must wait (250 ms promised)


class TapeError(OSError):
    """The tape cannot be written; the text is one sentence with the path and the mend."""


class Closed(NamedTuple):
    """How a tape was left: bytes of its files, frames, segments, gap frames."""

    size: int
    frames: int
    segments: int
    gaps: int


class Journaled(Protocol):
    """What a tape needs of its worker's spool."""

    loop: asyncio.AbstractEventLoop

    @property
    def crowded(self) -> bool:
        """Whether so much waits for the disk that sessions must."""

    @property
    def overfull(self) -> bool:
        """Whether the journal has hardly any room left, for anybody."""

    @property
    def full(self) -> bool:
        """Whether the journal takes nothing more at present."""

    def put(self, tape: "Tape", number: int, t: int, kind: int, stream: int, remaining: int, body: bytes) -> bool:
        """Copies an entry into the journal; whether it is crowded."""

    def dirty(self, tape: "Tape") -> None:
        """Something of `tape` is not on disk."""

    def sync_soon(self, tape: "Tape") -> None:
        """What was put for `tape` so far is to be on disk as soon as possible."""

    def announce(self) -> None:
        """Lets the scribe take what was put in."""


class Tape:
    """A session's handle on its tape. `append` returns at once; `clear` says whether the session may go on forwarding.

    All of it runs in the event loop's thread.
    """

    def __init__(self, spool: Journaled, session: str, wall_ns: int, mode: Mode) -> None:
        self.session = session
        self.key = uuid.UUID(session).bytes
        self.start = wall_ns
        self.mode = mode
        self.clear = True
        self.failed: TapeError | None = None
        self.on_clear: Callable[[], None] = _nothing
        self.on_failure: Callable[[TapeError], None] = _ignore
        self.frames = 0
        self.unsynced_since: int | None = None  # µs of the session
        self._spool = spool
        self._origin = time.monotonic_ns()
        self._ending = False
        self._appended = self._synced = 0  # bytes
        self._limit: int | None = None
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._hurried = 0  # frames that were asked to be synced at once
        self._missing = Missing()
        self._closing: asyncio.Future[Closed] | None = None

    def now(self) -> int:
        """µs since the session's start, by the monotonic clock."""
        return (time.monotonic_ns() - self._origin) // 1000

    def append(self, kind: int, stream: int, body: object, remaining: int = 0) -> None:
        """Records a frame. `clear` turns False when too much waits for the disk.

        `remaining`: bytes left after it of the message that its stream's side has begun. ValueError for a body of more
        than 32 KiB.
        """
        if self.failed is not None:
            return
        if not isinstance(body, bytes):
            body = bytes(msgpack.packb(body, unicode_errors="surrogateescape"))
            kind |= journal.PACKED
        size = len(body)
        if size > layout.BODY_LIMIT:
            raise ValueError(f"a body of {size} bytes, {layout.BODY_LIMIT} at most")
        t = (time.monotonic_ns() - self._origin) // 1000
        if self.mode is Mode.BEST_EFFORT and self._passes_over(t, kind, size):
            return
        self._put(t, kind, stream, remaining, body)

    def _put(self, t: int, kind: int, stream: int, remaining: int, body: bytes) -> None:
        number = self.frames
        self.frames = number + 1
        self._appended += len(body)
        crowded = self._spool.put(self, number, t, kind, stream, remaining, body)
        since = self.unsynced_since
        if since is None:
            self.unsynced_since = t
            self._spool.dirty(self)
        elif t - since > UNSYNCED_US:
            self._hold()
        if (crowded and self._crowding()) or (self._limit is not None and self._congested(t)):
            self._hold()

    def _hold(self) -> None:
        if self.mode is not Mode.BEST_EFFORT:
            self.clear = False

    def _passes_over(self, t: int, kind: int, size: int) -> bool:
        """Whether a frame is left out because the journal is full; once there is room a gap says how much was."""
        if self._spool.full:
            self._missing.add(t, kind, size)
            return True
        if self._missing.frames:
            gap = self._missing.facts(t, "the disk was too slow and the journal full")
            self._missing = Missing()
            self._put(t, Kind.GAP | journal.PACKED, 0, 0, bytes(msgpack.packb(gap)))
        return False

    def limit_unsynced(self, size: int) -> None:
        """From now on at most `size` bytes are appended ahead of the disk before `clear` turns False."""
        self._limit = size

    def _congested(self, t: int) -> bool:
        # Half of the limit, because one more body of 32 KiB may already be on its way through the door.
        if self._limit is not None and self._appended - self._synced > self._limit // 2:
            self._hurry()
            return True
        late = self.unsynced_since is not None and t - self.unsynced_since > UNSYNCED_US
        return late or (self._spool.crowded and self._crowding())

    def _crowding(self) -> bool:
        """Whether this session is to wait for room in the journal: those with little in it do so only at the last."""
        return self._appended - self._synced > _LITTLE or self._spool.overfull

    def _hurry(self) -> None:
        if self._hurried < self.frames:
            self._hurried = self.frames
            self._spool.sync_soon(self)

    def barrier(self) -> asyncio.Future[None]:
        """A future that is done once all appended so far is on disk; it fails with TapeError when that cannot be.

        In best-effort mode nothing waits for the disk.
        """
        future: asyncio.Future[None] = self._spool.loop.create_future()
        if self.failed is not None:
            future.set_exception(self.failed)
        elif self.unsynced_since is None or self.mode is Mode.BEST_EFFORT:
            future.set_result(None)
        else:
            self._waiters.append((self.frames, future))
            self._hurry()
        return future

    def close(self) -> "asyncio.Future[Closed]":
        """Ends the tape after what was appended; the future says how it was left."""
        if self._closing is None:
            self._closing = self._spool.loop.create_future()
            if self.failed is not None:
                self._closing.set_exception(self.failed)
            else:
                self._spool.put(self, self.frames, self.now(), journal.CLOSE_TAPE, 0, 0, b"")
                self._spool.announce()
        return self._closing

    # What the spool reports

    def mark(self) -> tuple[int, int, int]:
        """How far it is now, for `synced` once that is on disk."""
        return self.frames, self._appended, self.now()

    def synced(self, frames: int, size: int, at: int) -> None:
        """The first `frames` frames, `size` bytes of bodies, are on disk; later ones came after `at` (µs)."""
        self._synced = max(self._synced, size)
        while self._waiters and self._waiters[0][0] <= frames:
            _, future = self._waiters.popleft()
            if not future.done():
                future.set_result(None)
        if frames >= self.frames:
            self.unsynced_since = None
        elif self.unsynced_since is not None:
            self.unsynced_since = max(self.unsynced_since, at)
        self.relieved()

    def relieved(self) -> None:
        """There is room again, somewhere: goes on when it is here."""
        if not self.clear and self.failed is None and not self._ending and not self._congested(self.now()):
            self.clear = True
            self.on_clear()

    def closed(self, size: int, frames: int, segments: int, gaps: int) -> None:
        """The tape is complete and on disk."""
        if self._closing is not None and not self._closing.done():
            self._closing.set_result(Closed(size, frames, segments, gaps))

    def end(self, error: TapeError) -> None:
        """The session must end, for the tape has room for little more than its close."""
        if self.failed is None and not self._ending:
            self._ending = True
            self.clear = False
            self.on_failure(error)

    def fail(self, error: TapeError) -> None:
        """The tape cannot be written any more."""
        if self.failed is not None:
            return
        self.failed = error
        self.clear = False
        for _, future in self._waiters:
            if not future.done():
                future.set_exception(error)
        self._waiters.clear()
        if self._closing is not None and not self._closing.done():
            self._closing.set_exception(error)
        self.on_failure(error)


class Missing:
    """What was left out of a tape in best-effort mode, until a gap frame says so. Times are µs of the session."""

    def __init__(self) -> None:
        self.frames = self.bytes_in = self.bytes_out = self.since = 0

    def add(self, t: int, kind: int, size: int) -> None:
        """Counts a frame that is left out."""
        if not self.frames:
            self.since = t
        self.frames += 1
        if kind == Kind.IN:
            self.bytes_in += size
        elif kind in (Kind.OUT, Kind.ERR):
            self.bytes_out += size

    def facts(self, t: int, why: str) -> dict[str, object]:
        """The body of the gap frame, written at `t`."""
        return {
            "why": why,
            "frames": self.frames,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "since": self.since,
            "until": t,
        }


def _nothing() -> None:
    """Nobody asked to be told."""


def _ignore(_error: TapeError) -> None:
    """Nobody asked to be told."""
