"""One session's tape, closed or still growing: frames by time and by number across its segments.

It reads a chunk at a time and never judges what it reads: that is `verify`'s business.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from recorder.format import store
from recorder.format.blocks import Damage
from recorder.format.frame import Frame, Kind
from recorder.format.reader import SegmentReader, UnreadableTape
from recorder.model import Session, State
from recorder.safe import printable
from replay.recording.errors import Unreadable
from replay.recording.facts import rebuilt


class Recording:
    """A recorded session; made by `replay.recording.open`. Not for several threads at once.

    Times are µs since the session's start, `start` itself is UNIX ns UTC, sizes are bytes.
    """

    def __init__(self, paths: Sequence[Path], session: Session | None = None) -> None:
        """Opens the segments at `paths`: files of another session than the first readable one's are left out.

        `session` is the catalogue's row. Unreadable when none is a tape, OSError when one cannot be opened.
        """
        self._segments: list[SegmentReader] = []
        self._missing: dict[Path, Damage] = {}
        self._described = session
        self._rebuilt: Session | None = None
        self._close: tuple[int, Frame | None] | None = None
        try:
            for path in paths:
                self._add(path)
        except OSError:
            self.close()
            raise
        if not self._segments:
            raise Unreadable(next((damage.reason for damage in self._missing.values()), "no tape was named"))
        self._segments.sort(key=lambda segment: segment.header.segment)

    def _add(self, path: Path) -> None:
        """Opens one segment, or notes why that cannot be."""
        expected = self._described.id if self._described else self.id if self._segments else None
        if path.is_symlink() or not path.is_file():
            self._missing[path] = Damage(0, 0, f"{printable(str(path))} is no tape: it is not a regular file")
            return
        try:
            segment = SegmentReader(path)
        except UnreadableTape as error:
            self._missing[path] = Damage(0, path.stat().st_size, printable(str(error)))
            return
        if expected in (None, segment.header.session):
            self._segments.append(segment)
            self._missing.pop(path, None)
            return
        segment.close()
        if self._described:
            why = f"{printable(str(path))} is the tape of another session: see `tacho verify`"
            self._missing[path] = Damage(0, path.stat().st_size, why)

    def described_by(self, session: Session | None) -> None:
        """Takes the catalogue's row, which says more than the tape (runs, tags, state)."""
        self._described = session or self._described

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the files."""
        while self._segments:
            self._segments.pop().close()

    # What it is

    @property
    def id(self) -> str:
        """The session's id as the tape has it: not yet made printable."""
        return self._segments[0].header.session

    @property
    def start(self) -> int:
        """When the session began: UNIX ns UTC."""
        return self._segments[0].header.start

    @property
    def duration(self) -> int:
        """The time of the last frame, in µs."""
        return max((segment.chunks[-1].last_t for segment in self._segments if segment.chunks), default=0)

    @property
    def session(self) -> Session:
        """Who did what where: the catalogue's row, else what the tape says; `state` and `size` are the tape's own."""
        session = self._described
        if session is None:
            if self._rebuilt is None or self._rebuilt.ended is None:
                self._rebuilt = rebuilt(self)
            session = self._rebuilt
        return replace(session, state=self.state, size=self.size, segments=self.segments)

    @property
    def state(self) -> State:
        """Live while a writer holds the lock, closed by a close frame and an INDEX, recovered, else unclosed."""
        last = self._segments[-1]
        if not last.closed:
            if last.live:
                return State.LIVE
            last.refresh()  # a writer that has just ended has written everything before it gave up the lock
        if not last.closed:
            return State.UNCLOSED
        if self.close_frame() is None:
            return State.UNCLOSED
        torn = any(not segment.closed for segment in self._segments)
        return State.RECOVERED if torn else State.CLOSED

    @property
    def live(self) -> bool:
        """Whether the gateway is still writing it."""
        return self.state is State.LIVE

    @property
    def damage(self) -> list[Damage]:
        """What could not be read so far, segment by segment; what lies in a chunk is found when that is read."""
        found = [damage for segment in self._segments for damage in segment.damage]
        return found + list(self._missing.values())

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(segment.source.size() for segment in self._segments)

    @property
    def segments(self) -> int:
        """The number of its files."""
        return len(self._segments)

    @property
    def paths(self) -> list[Path]:
        """Its files in reading order."""
        return [segment.path for segment in self._segments]

    def close_frame(self) -> Frame | None:
        """The last frame, when it is a close."""
        last = self._segments[-1]
        if not last.closed or not last.chunks:
            return None
        if self._close is None or self._close[0] != len(self._segments):
            ending = deque(last.frames(last.chunks[-1]), maxlen=1)
            found = ending[0] if ending and ending[0].kind == Kind.CLOSE else None
            self._close = len(self._segments), found
        return self._close[1]

    # Reading

    def frames(self, start: int = 0, end: int | None = None) -> Iterator[Frame]:
        """The frames from `start` up to, not including, `end` (µs), in the order in which they were recorded.

        A part that cannot be read is left out and added to `damage`. Frames that come while this runs are included
        once `refresh` has found them.
        """
        for segment in list(self._segments):
            position = max(bisect_left(segment.chunks, start, key=lambda chunk: chunk.first_t) - 1, 0)
            while position < len(segment.chunks):
                chunk = segment.chunks[position]
                position += 1
                if end is not None and chunk.first_t >= end:
                    return
                for frame in segment.frames(chunk):
                    if end is not None and frame.t >= end:
                        return
                    if frame.t >= start:
                        yield frame

    def frame(self, number: int) -> Frame | None:
        """Frame `number` (from 0, through all segments); None when there is none that can be read."""
        if number < 0:
            return None
        for segment in reversed(self._segments):
            if segment.header.first_frame <= number and segment.chunks:
                chunk = segment.chunks[segment.chunk_for_frame(number)]
                return next((frame for frame in segment.frames(chunk) if frame.number == number), None)
        return None

    def refresh(self) -> None:
        """Looks for what was written since: frames, and segments that were added. Cheap when nothing was."""
        for segment in self._segments:
            segment.refresh()
        first = self._segments[0].path
        if not first.stem.isdigit():
            return
        known = {segment.path for segment in self._segments}
        for path in store.segments(first.parent):
            if path not in known:
                self._add(path)
        self._segments.sort(key=lambda segment: segment.header.segment)
