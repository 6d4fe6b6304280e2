"""One segment as a part of a recording: of its frames those that count, which the next segment says.

After a failed sync a writer goes on in a new segment and writes again there what was not confirmed: it stands twice.
"""

from collections import deque
from collections.abc import Iterator, Sequence

from recorder.format.blocks import Damage
from recorder.format.frame import Frame, Kind
from recorder.format.reader import ChunkRef, SegmentReader, UnreadableTape


class Part:
    """A segment that was opened. Times are µs, frames are numbered through all segments."""

    def __init__(self, reader: SegmentReader) -> None:
        self.reader = reader
        self.header = reader.header
        self.path = reader.path
        self._end: int | None = None  # the number of the first frame that does not count
        self._last: Frame | None = None  # the last one that does, once that is settled
        self._retired: list[SegmentReader] = []

    def followed_by(self, later: "Part") -> bool:
        """Takes what the next segment says of this one; True when frames that could be read count no longer.

        Only the gateway that wrote this segment can take anything back: anyone may put a file beside it.
        """
        own, next_, previous = self.header, later.header, later.header.previous
        if previous is None or next_.segment != own.segment + 1 or next_.gateway_key != own.gateway_key:
            return False
        end = own.first_frame + previous.frames
        if end == self._end or not next_.endorsed():
            return False
        before = self._last_frame()
        self._end = end
        self._last = self._last_frame()
        self._read_until(previous.length)
        return before != self._last

    def _read_until(self, length: int) -> None:
        """Reads only what was confirmed, where that reads as far: what follows may be anything, and spoil it."""
        try:
            confirmed = SegmentReader(self.path, length)
        except UnreadableTape:
            return  # nothing was confirmed
        whole, self.reader = self.reader, confirmed
        last = self._last_frame()
        if last is not None and (self._last is None or last.number >= self._last.number):
            self._last = last
            self._retired.append(whole)  # someone may still be reading in it
        else:
            self.reader = whole
            confirmed.close()

    def close(self) -> None:
        """Closes the file."""
        for reader in (self.reader, *self._retired):
            reader.close()

    def _last_frame(self) -> Frame | None:
        ending = deque(self.frames(self.chunks[-1]), maxlen=1) if self.chunks else None
        return ending[0] if ending else None

    @property
    def chunks(self) -> Sequence[ChunkRef]:
        """The chunks that have frames that count."""
        chunks, end = self.reader.chunks, self._end
        if end is None or not chunks or chunks[-1].first_frame < end:
            return chunks
        return [chunk for chunk in chunks if chunk.first_frame < end]

    def frames(self, chunk: ChunkRef) -> Iterator[Frame]:
        """The frames of a chunk that count."""
        for frame in self.reader.frames(chunk):
            if self._end is not None and frame.number >= self._end:
                return
            yield frame
            if frame.number + 1 == self._end:
                return  # whatever follows may be torn, and is nobody's loss

    @property
    def last_t(self) -> int:
        """The time of the last frame; 0 when there is none."""
        if self._last is not None:
            return self._last.t
        return self.chunks[-1].last_t if self._end is None and self.chunks else 0

    @property
    def damage(self) -> list[Damage]:
        """What could not be read so far; of a segment that another continues only what took frames that count."""
        if self._end is None or (self._last.number + 1 if self._last else self.header.first_frame) < self._end:
            return self.reader.damage
        beyond = self.chunks[-1].offset if self.chunks else 0
        return [damage for damage in self.reader.damage if damage.offset < beyond]

    @property
    def recovers(self) -> bool:
        """Whether a gateway began it that found the session without a writer: its first frame says so."""
        if not self.chunks:
            return False
        first = next(self.frames(self.chunks[0]), None)
        return first is not None and first.kind == Kind.RECOVERY
