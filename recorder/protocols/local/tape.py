"""A tape written in this process by a thread of its own: its callers never wait for the disk. Enters no catalogue.

Frames are readable within a tenth of a second and durable within about one; a chunk lasts ten seconds at most.
"""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recorder.format import layout
from recorder.format.chunk import Compressors
from recorder.format.frame import Kind
from recorder.format.writer import Entry, Segment
from recorder.protocol import Broken, Direction
from recorder.safe import printable

_BATCH_S = 0.05  # frames are gathered for this long, unless …
_BATCH = 256 * 1024  # … so many bytes came together
_CROWDED = 4 * 1024 * 1024  # bytes not yet written at which the session must wait
_SYNC_US = 1_000_000
_FRAME = 64  # bytes that a frame counts for besides its body
_CLOSE_LIMIT_S = 60.0


class LocalTape:
    """A session's tape at `path` (`recorder.protocols.local.Tap`). Its callbacks come from the writing thread.

    `start` is UNIX ns; `signer` the name and the key that endorse the tape. OSError when it cannot be made; the file
    must not exist.
    """

    def __init__(self, path: Path, session: str, start: int, signer: tuple[str, Ed25519PrivateKey]) -> None:
        self._segment = Segment(path, session, start, signer, Compressors())
        self._origin = time.monotonic_ns()
        self._crossed = dict.fromkeys(Direction, 0)
        self._changed = threading.Condition()
        self._entries: list[Entry] = []
        self._backlog = 0
        self._closing = self._discarded = False
        self._broken: Broken | None = None
        self._on_clear: Callable[[], None] = _nothing
        self._on_broken: Callable[[Broken], None] = _ignore
        self._unsynced_since: int | None = None
        self._checkpointed = 0
        self._thread = threading.Thread(target=self._write, name="tape", daemon=True)
        self._thread.start()

    @property
    def clear(self) -> bool:
        """Whether bytes may cross now (Tap)."""
        return self._backlog < _CROWDED

    def on_clear(self, callback: Callable[[], None]) -> None:
        """Sets what is called each time bytes may cross again (Tap)."""
        self._on_clear = callback

    def on_broken(self, callback: Callable[[Broken], None]) -> None:
        """Sets what is called when the tape cannot be written any more (Tap)."""
        with self._changed:
            self._on_broken = callback
            broken = self._broken
        if broken is not None:
            callback(broken)

    def open(self, facts: Mapping[str, object]) -> None:
        """Records the open frame."""
        self._append(Kind.OPEN, 0, dict(facts), 0)

    def cross(self, direction: Direction, stream: int, data: bytes, release: Callable[[bytes], None]) -> None:
        """Records `data` (32 KiB at most), then hands it to `release` (Tap)."""
        self._crossed[direction] += len(data)
        self._append(direction, stream, data, len(data))
        release(data)

    def note(self, name: str, stream: int = 0, **facts: object) -> None:
        """Records a fact that is not bytes (Tap)."""
        self._append(Kind.NOTE, stream, {"name": name, **facts}, 0)

    def close(self, reason: str) -> None:
        """Ends the tape with a close frame and waits until all of it is on disk. Broken when that cannot be."""
        sent, shown = self._crossed[Direction.IN], self._crossed[Direction.OUT]
        self._append(Kind.CLOSE, 0, {"reason": reason, "bytes_in": sent, "bytes_out": shown, "verdicts": {}}, 0)
        self._end()
        if self._broken is not None:
            raise self._broken

    def discard(self) -> None:
        """Removes the tape of a session that did not come about."""
        self._discarded = True
        self._end()
        self._segment.path.unlink(missing_ok=True)

    def _end(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(_CLOSE_LIMIT_S)
        if self._thread.is_alive():
            self._broken = Broken(f"{self._where} is not written within {_CLOSE_LIMIT_S:g} s: look after the disk")

    def _append(self, kind: int, stream: int, body: object, size: int) -> None:
        entry = Entry(self._now(), kind, stream, body)
        with self._changed:
            if self._broken is None:
                self._entries.append(entry)
                self._backlog += size + _FRAME
                self._changed.notify()

    def _now(self) -> int:
        """µs since the session's start, by the monotonic clock."""
        return (time.monotonic_ns() - self._origin) // 1000

    @property
    def _where(self) -> str:
        return printable(str(self._segment.path))

    # The writing thread

    def _write(self) -> None:
        broken: Broken | None = Broken(f"{self._where} cannot be written because of a defect: please report it")
        try:
            while self._write_some():
                pass
            if self._discarded:
                self._segment.abandon()
            else:
                self._segment.finish(time.time_ns())
            broken = None
        except OSError as error:
            mend = "what it holds can be read; make room and begin anew"
            broken = Broken(f"cannot write {self._where}, so the session ends: {error.strerror or error}; {mend}")
            self._segment.abandon()
        finally:
            if broken is not None:
                self._fail(broken)

    def _write_some(self) -> bool:
        """Writes what came, once something came or is due; whether more is to be expected."""
        with self._changed:
            self._changed.wait_for(lambda: self._entries or self._closing, self._patience())
            if self._entries:
                self._changed.wait_for(lambda: self._closing or self._backlog >= _BATCH, _BATCH_S)
            entries, self._entries = self._entries, []
            size, closing = self._backlog, self._closing
        segment, now = self._segment, self._now()
        ended = bool(segment.append(entries, time.time_ns()))
        if entries and self._unsynced_since is None:
            self._unsynced_since = now
        since = segment.chunk_open_since
        if since is not None and now - since >= layout.CHUNK_US:
            segment.end_chunk(time.time_ns())
            ended = True
        elif since is None and not ended and now - self._checkpointed >= layout.IDLE_CHECKPOINT_US:
            segment.checkpoint(time.time_ns())
            ended = True
        segment.flush()
        if ended:
            self._checkpointed = now
        if ended or (self._unsynced_since is not None and now - self._unsynced_since >= _SYNC_US):
            segment.sync()
            self._unsynced_since = None
        self._written(size)
        return not closing

    def _patience(self) -> float:
        """Seconds until something is due although nothing comes."""
        since = self._segment.chunk_open_since
        due = self._checkpointed + layout.IDLE_CHECKPOINT_US if since is None else since + layout.CHUNK_US
        if self._unsynced_since is not None:
            due = min(due, self._unsynced_since + _SYNC_US)
        return max((due - self._now()) / 1e6, 0)

    def _written(self, size: int) -> None:
        with self._changed:
            crowded = not self.clear
            self._backlog -= size
            cleared = crowded and self.clear
        if cleared:
            self._on_clear()

    def _fail(self, broken: Broken) -> None:
        with self._changed:
            self._broken = broken
            self._entries.clear()
            self._backlog = 0
            callback = self._on_broken
        callback(broken)


def _nothing() -> None:
    """Nobody waits."""


def _ignore(error: Broken) -> None:
    """Whoever appends finds out."""
