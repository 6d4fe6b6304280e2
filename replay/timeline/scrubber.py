"""One stream at any moment, exactly: forward by its frames, backward from the nearest snapshot held in memory.

Reads the recording; what it gives back is a `View`, to look at and not to change.
"""

import io
import pickle
from bisect import bisect_right
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import NamedTuple

import zstandard

from recorder.format.frame import Frame
from replay.recording import Recording
from replay.timeline.moment import Moment
from replay.timeline.view import View

_SPACING = 512 * 1024
_FRAME_COST = 64  # what passing over a frame costs, in bytes of output


class Snapshot(NamedTuple):
    """The view after frame `frame`, at `t` µs, packed."""

    frame: int
    t: int
    packed: bytes


class Scrubber:
    """The view of one stream, moved to and fro. `snapshots` of it are kept at most, spread over what was seen."""

    def __init__(self, recording: Recording, stream: int, *, snapshots: int = 64, spacing: int = _SPACING) -> None:
        """A snapshot is first taken each `spacing` bytes of output, then further and further apart."""
        self.recording = recording
        self.stream = stream
        self.view = View(stream)
        self.t = 0
        self.frame = -1
        self._most = max(snapshots, 2)
        self._spacing = spacing
        self._spent = 0
        self._snapshots: list[Snapshot] = []
        self._frames: Iterator[Frame] | None = None
        self._ahead: Frame | None = None
        self._exhausted = False

    def go(self, to: Moment, cost: int | None = None) -> bool:
        """Moves the view to `to`; True when it is there. Costs at most about `cost` bytes of output a call.

        Call again with the same moment while it is False.
        """
        if self._is_behind(to) or self._worth_jumping(to):
            self._restore(self._nearest(to))
        spent = 0
        while cost is None or spent < cost:
            frame = self._peek()
            if frame is None or frame.t > to.t or (to.frame is not None and frame.number > to.frame):
                return True
            self._ahead = None
            self.t, self.frame = frame.t, frame.number
            price = _FRAME_COST
            if frame.stream == self.stream:
                self.view.apply(frame)
                price += len(frame.data())
            spent += price
            self._account(price)
        return False

    def grown(self) -> None:
        """The recording was refreshed: frames may follow the last one."""
        if self._exhausted:
            self._frames = None
            self._exhausted = False

    # Reading

    def _peek(self) -> Frame | None:
        if self._ahead is None and not self._exhausted:
            if self._frames is None:
                self._frames = self.recording.frames(self.t)
            self._ahead = next((frame for frame in self._frames if frame.number > self.frame), None)
            self._exhausted = self._ahead is None
        return self._ahead

    # Going back

    def _is_behind(self, to: Moment) -> bool:
        return self.frame >= 0 and (self.t > to.t or (to.frame is not None and self.frame > to.frame))

    def _nearest(self, to: Moment) -> int:
        """The index of the last snapshot that holds nothing later than `to`; -1 for the beginning."""
        at = bisect_right(self._snapshots, to.t, key=lambda snapshot: snapshot.t) - 1
        while at >= 0 and to.frame is not None and self._snapshots[at].frame > to.frame:
            at -= 1
        return at

    def _worth_jumping(self, to: Moment) -> bool:
        at = self._nearest(to)
        return at >= 0 and self._snapshots[at].frame > self.frame

    def _restore(self, at: int) -> None:
        if at < 0:
            self.view, self.t, self.frame = View(self.stream), 0, -1
        else:
            snapshot = self._snapshots[at]
            self.view, self.t, self.frame = _thawed(snapshot.packed), snapshot.t, snapshot.frame
        self._spent = 0
        self._frames = self._ahead = None
        self._exhausted = False

    def _account(self, price: int) -> None:
        self._spent += price
        if self._spent < self._spacing:
            return
        self._spent = 0
        if self._snapshots and self._snapshots[-1].frame >= self.frame:
            return
        self._snapshots.append(Snapshot(self.frame, self.t, _frozen(self.view)))
        if len(self._snapshots) > self._most:
            del self._snapshots[::2]
            self._spacing *= 2


class _Freezer(pickle.Pickler):
    """A view shares nothing with its snapshot; copying it object by object takes eight times as long."""

    def reducer_override(self, value: object) -> tuple[Callable[[], object], tuple[()]]:
        # pyte's screen holds a default factory that this package's screens never call, and that has no name.
        if isinstance(value, FunctionType) and "<locals>" in value.__qualname__:
            return _no_factory, ()
        return NotImplemented  # type: ignore[no-any-return]


def _no_factory() -> Callable[[], dict[int, object]]:
    return dict


def _frozen(view: View) -> bytes:
    packed = io.BytesIO()
    _Freezer(packed, pickle.HIGHEST_PROTOCOL).dump(view)
    return zstandard.ZstdCompressor(level=1).compress(packed.getvalue())


def _thawed(packed: bytes) -> View:
    # Only what `_frozen` made in this process comes here: nothing that was recorded is unpickled.
    view = pickle.loads(zstandard.ZstdDecompressor().decompress(packed))  # noqa: S301
    if not isinstance(view, View):
        raise TypeError("a snapshot that is none")
    return view
