"""One session's tape, closed or still growing: frames by time and by number across its segments.

It reads a chunk at a time and never judges what it reads: that is `verify`'s business.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
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
from replay.recording.facts import Rebuilt, ended
from replay.recording.part import Part


class Recording:
    """A recorded session; made by `replay.recording.open`. Not for several threads at once.

    Times are µs since the session's start, `start` itself is UNIX ns UTC, sizes are bytes.
    """

    def __init__(self, paths: Sequence[Path], session: Session | None = None) -> None:
        """Opens the segments at `paths`: files of another session than the first readable one's are left out.

        `session` is the catalogue's row. Unreadable when none is a tape, OSError when one cannot be opened.
        """
        self._parts: list[Part] = []
        self._missing: dict[Path, Damage] = {}
        self._left_out: dict[Path, int] = {}  # files that are no part of it, with the size at which that was found
        self._described = session
        self._rebuilt = Rebuilt()
        self._ending: tuple[int, Frame | None, bool] | None = None
        self.taken_back = 0
        """How often frames that could be read were taken back: another segment continues before them."""
        try:
            for path in paths:
                self._add(path)
        except OSError:
            self.close()
            raise
        if not self._parts:
            raise Unreadable(next((damage.reason for damage in self._missing.values()), "no tape was named"))
        self._join()

    def _add(self, path: Path) -> None:
        """Opens one segment, or notes why that cannot be."""
        expected = self._described.id if self._described else self.id if self._parts else None
        size = path.lstat().st_size if path.exists() else 0
        self._left_out[path] = size
        if path.is_symlink() or not path.is_file():
            self._missing[path] = Damage(0, 0, f"{printable(str(path))} is no tape: it is not a regular file")
            return
        try:
            segment = SegmentReader(path)
        except UnreadableTape as error:
            self._missing[path] = Damage(0, size, printable(str(error)))
            return
        if expected in (None, segment.header.session):
            self._parts.append(Part(segment))
            self._missing.pop(path, None)
            return
        segment.close()
        if self._described:
            why = f"{printable(str(path))} is the tape of another session: see `tacho verify`"
            self._missing[path] = Damage(0, size, why)

    def _join(self) -> None:
        """Puts the segments in order, and has each say which frames count of the one before."""
        self._parts.sort(key=lambda part: part.header.segment)
        for part in self._parts:
            self._excuse(part)
        if sum(earlier.followed_by(later) for earlier, later in pairwise(self._parts)):
            self.taken_back += 1
            self._rebuilt = Rebuilt()

    def _excuse(self, part: Part) -> None:
        """A segment without a HEADER is no damage where the next one says that it holds no frame."""
        before = part.path.with_name(f"{part.header.segment - 1}{store.SUFFIX}")
        previous = part.header.previous
        if previous is not None and not previous.frames and self._left_out.get(before, -1) >= previous.length:
            self._missing.pop(before, None)

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
        while self._parts:
            self._parts.pop().close()

    # What it is

    @property
    def id(self) -> str:
        """The session's id as the tape has it: not yet made printable."""
        return self._parts[0].header.session

    @property
    def start(self) -> int:
        """When the session began: UNIX ns UTC."""
        return self._parts[0].header.start

    @property
    def duration(self) -> int:
        """The time of the last frame, in µs."""
        return max((part.last_t for part in self._parts), default=0)

    @property
    def session(self) -> Session:
        """Who did what where: the catalogue's row, else what the tape says; `state` and `size` are the tape's own."""
        session = self._described
        if session is None:
            session = self._rebuilt.read(self)
        elif session.ended is None:
            session = ended(session, self)  # the row was written while it was live
        return replace(session, state=self.state, size=self.size, segments=self.segments)

    @property
    def state(self) -> State:
        """Live while a writer holds the lock, closed by a close frame and an INDEX, recovered, else unclosed."""
        last = self._parts[-1].reader
        if not last.closed:
            if last.live:
                return State.LIVE
            last.refresh()  # a writer that has just ended has written everything before it gave up the lock
        if self.close_frame() is None:
            return State.UNCLOSED
        return State.RECOVERED if self._ended()[1] else State.CLOSED

    @property
    def live(self) -> bool:
        """Whether the gateway is still writing it."""
        return self.state is State.LIVE

    @property
    def damage(self) -> list[Damage]:
        """What could not be read so far, segment by segment; what lies in a chunk is found when that is read."""
        found = [damage for part in self._parts for damage in part.damage]
        return found + list(self._missing.values())

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(part.reader.source.size() for part in self._parts)

    @property
    def segments(self) -> int:
        """The number of its files."""
        return len(self._parts)

    @property
    def last_begins(self) -> int:
        """The number of the first frame of the last segment."""
        return self._parts[-1].header.first_frame

    @property
    def paths(self) -> list[Path]:
        """Its files in reading order."""
        return [part.path for part in self._parts]

    def close_frame(self) -> Frame | None:
        """The last frame, when it is a close."""
        return self._ended()[0]

    def _ended(self) -> tuple[Frame | None, bool]:
        """The close frame, and whether another gateway recovered the session."""
        last = self._parts[-1]
        if not last.reader.closed or not last.chunks:
            return None, False
        if self._ending is None or self._ending[0] != len(self._parts):
            ending = deque(last.frames(last.chunks[-1]), maxlen=1)
            found = ending[0] if ending and ending[0].kind == Kind.CLOSE else None
            self._ending = len(self._parts), found, any(part.recovers for part in self._parts)
        return self._ending[1:]

    # Reading

    def frames(self, start: int = 0, end: int | None = None) -> Iterator[Frame]:
        """The frames from `start` up to, not including, `end` (µs), in the order in which they were recorded.

        A part that cannot be read is left out and added to `damage`. Frames that come while this runs are included
        once `refresh` has found them.
        """
        index = self._part_for_time(start)
        position = self._parts[index].reader.chunk_for_time(start)
        read = -1  # frames up to this number were read of the chunk at hand before it grew
        while index < len(self._parts):
            part = self._parts[index]
            if position >= len(part.chunks):
                index, position = index + 1, 0
                continue
            chunk = part.chunks[position]
            if end is not None and chunk.first_t >= end:
                return
            last = read
            for frame in part.frames(chunk):
                if end is not None and frame.t >= end:
                    return
                last = frame.number
                if frame.t >= start and frame.number > read:
                    yield frame
            grew = position < len(part.chunks) and part.chunks[position] is not chunk
            position, read = (position, last) if grew else (position + 1, -1)

    def _part_for_time(self, t: int) -> int:
        """The number of the part in which a reader of time `t` begins: the last that starts before it."""
        begun = (index for index, part in enumerate(self._parts) if part.chunks and part.chunks[0].first_t < t)
        return max(begun, default=0)

    def frame(self, number: int) -> Frame | None:
        """Frame `number` (from 0, through all segments); None when there is none that can be read."""
        if number < 0:
            return None
        for part in reversed(self._parts):
            if part.header.first_frame <= number and part.chunks:
                chunk = part.reader.chunks[part.reader.chunk_for_frame(number)]
                return next((frame for frame in part.frames(chunk) if frame.number == number), None)
        return None

    def resume(self, number: int) -> dict[tuple[int, int], int] | None:
        """What crosses in the middle of a protocol's message when frame `number` comes: by stream and side, bytes left.

        The side is the kind of its frames. None when no chunk begins with that frame: only there is it known.
        """
        for part in reversed(self._parts):
            if part.header.first_frame <= number and part.chunks:
                chunk = part.reader.chunks[part.reader.chunk_for_frame(number)]
                if chunk.first_frame != number:
                    return None
                return {(stream, side + Kind.IN): left for stream, side, left in part.reader.resume(chunk)}
        return None

    def refresh(self) -> None:
        """Looks for what was written since: frames, and segments that were added. Cheap when nothing was."""
        for part in self._parts:
            part.reader.refresh()
        first = self._parts[0].path
        if not first.stem.isdigit():
            return
        known = {part.path for part in self._parts}
        for path in store.segments(first.parent):
            if path not in known and self._is_new(path):
                self._add(path)
        if len(self._parts) > len(known):
            self._join()

    def _is_new(self, path: Path) -> bool:
        """Whether a file beside the segments is worth a look: it has content, and had another size so far."""
        try:
            return path.lstat().st_size not in (0, self._left_out.get(path))
        except FileNotFoundError:
            return False
