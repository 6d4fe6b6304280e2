"""The player without a screen: the recording, its timeline, the moment shown, and the channel looked at.

Draws nothing and sets no timer: it is told when to read on and when to move.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import NamedTuple

from recorder.safe import printable
from replay.recording import Frame, Kind, Recording, State
from replay.recording.facts import text
from replay.timeline import Mark, Moment, Scrubber, Timeline, View, parse_moment
from replay.tui import words
from replay.tui.playback import SPEEDS, Playback

_SCRUBBERS = 4
_PATIENCE_S = 1.0  # a writer that goes on in a new segment first lets go of the old one
_GRACE = 1_000_000  # µs: while playing, "previous" leaves out what was passed just now


class Shown(NamedTuple):
    """The view to draw; None when there is no channel. `there` is False while it is on its way to the moment."""

    view: View | None
    there: bool


class Deck:
    """One recording being played. `held` is the channel to stay on; None follows what goes on."""

    def __init__(self, recording: Recording, clock: Callable[[], float], speed: float, idle: int) -> None:
        """`idle` is the limit in µs to which silences are folded; 0 folds none, and a person may still ask for it."""
        self.recording = recording
        self.timeline = Timeline(recording)
        self.state = recording.state
        self.idle = idle
        self.playback = Playback(self.timeline.folding(idle), clock, speed)
        self._clock = clock
        self._size = recording.size
        self._taken_back = recording.taken_back
        self._lost_at: float | None = None  # when the writer was first missed
        self.held: int | None = None
        self.following = False
        self.frame_told = ""
        self._fold_to = idle or 2_000_000
        self._scrubbers: OrderedDict[int, Scrubber] = OrderedDict()

    # Reading

    def survey(self, limit: int) -> bool:
        """Reads on, `limit` frames at most; True once all that there is was read."""
        if not self.timeline.extend(limit):
            return False
        for scrubber in self._scrubbers.values():
            scrubber.grown()
        self._fold()
        if self.following:
            self.playback.seek(Moment(self.timeline.duration))
        if self.over and self.following:
            self.playback.pause()
            self.following = False
        return True

    @property
    def share_read(self) -> float:
        """How much of the session was surveyed, from 0 to 1."""
        return min(self.timeline.read / self.timeline.duration, 1.0) if self.timeline.duration else 1.0

    @property
    def live(self) -> bool:
        """Whether the session goes on."""
        return self.state is State.LIVE

    @property
    def over(self) -> bool:
        """Whether nothing can follow: the session was closed. An unclosed one may still be recovered."""
        return self.state in (State.CLOSED, State.RECOVERED)

    def grown(self) -> bool:
        """Looks whether the recording went on since; True when there is something to read, or its state changed."""
        size = self.recording.size  # what comes while one looks is found the next time
        self.recording.refresh()
        before, self.state = self.state, self._state()
        if self.recording.taken_back != self._taken_back:
            self._taken_back = self.recording.taken_back
            self.timeline = Timeline(self.recording)
            self._scrubbers.clear()
        elif size == self._size:
            return before != self.state
        self._size = size
        return True

    def _state(self) -> State:
        """The recording's state; one whose writer is missed is live for a little while, in which it may go on."""
        state = self.recording.state
        if state is not State.UNCLOSED or self.state is not State.LIVE:
            self._lost_at = None
            return state
        if self._lost_at is None:
            self._lost_at = self._clock()
        return State.LIVE if self._clock() - self._lost_at < _PATIENCE_S else state

    def _fold(self) -> None:
        self.playback.fold(self.timeline.folding(self.idle))

    # Moving

    def tick(self) -> bool:
        """Moves on by the clock; True when the moment changed. At the end it follows a live session, else stops."""
        moved = self.playback.tick()
        if self.playback.playing and self.playback.at_end:
            if self.live:
                self.following = True
            else:
                self.playback.pause()
                return True
        return moved

    def toggle(self) -> None:
        """Plays or pauses; at the end of a recording that is complete it begins anew."""
        if self.playback.playing:
            self.playback.pause()
            self.following = False
            return
        if self.playback.at_end and not self.live:
            self.seek(Moment(0))
        self.playback.play()

    def seek(self, to: Moment) -> None:
        """Goes to a moment."""
        self.following = False
        self.frame_told = ""
        self.playback.seek(to)

    def skip(self, seconds: int) -> None:
        """Goes on or back by seconds of play time."""
        self.seek_played(self.playback.played + seconds * 1_000_000)

    def seek_played(self, played: int) -> None:
        """Goes to a play time in µs."""
        self.following = False
        self.frame_told = ""
        self.playback.seek_played(played)

    def seek_end(self) -> None:
        """Goes to the end, and stays there while a live session goes on."""
        self.seek(Moment(self.timeline.duration))
        if self.live:
            self.following = True
            self.playback.play()

    def seek_text(self, written: str) -> None:
        """Goes to the moment that a person wrote; NoSuchMoment."""
        to = parse_moment(written, self.playback.here, self.recording, self.timeline.commands)
        frame = self.recording.frame(to.frame) if to.frame is not None else None
        self.seek(to)
        if frame is not None:
            self._look_at(frame.stream)
            self.frame_told = _told(frame)

    def go_to(self, t: int, frame: int, stream: int) -> None:
        """Goes to a frame of a channel, and looks at that channel."""
        self.seek(Moment(t, frame))
        self._look_at(stream)

    def go_to_mark(self, kinds: Collection[str], step: int) -> Mark | None:
        """Goes to the next (1) or the previous (-1) mark of these kinds, and gives it back; None when there is none."""
        here = self.playback.here
        key = here.t, here.frame if here.frame is not None else self.timeline.frames
        if step < 0 and self.playback.playing:
            key = here.t - _GRACE, 0
        marks = [mark for mark in self.timeline.marks if mark.kind in kinds]
        if step > 0:
            found = next((mark for mark in marks if (mark.t, mark.frame) > key), None)
        else:
            found = next((mark for mark in reversed(marks) if (mark.t, mark.frame) < key), None)
        if found is not None:
            self.go_to(found.t, found.frame, found.stream)
        return found

    def step(self, step: int) -> bool:
        """Pauses and goes one frame on (1) or back (-1); False at an end, or where frames cannot be read."""
        self.playback.pause()
        self.following = False
        number = self._number()
        if step > 0:
            later = self.recording.frames(self.playback.here.t)
            frame = next((each for each in later if each.number > number), None)
        else:
            frame = self.recording.frame(number - 1)
        if frame is None:
            return False
        self.go_to(frame.t, frame.number, frame.stream)
        self.frame_told = _told(frame)
        return True

    def _number(self) -> int:
        """The number of the last frame that is shown, of any channel."""
        scrubber = self._scrubber(self.stream or 0)
        scrubber.go(self.playback.here)
        return scrubber.frame

    def change_speed(self, step: int) -> None:
        """Plays faster (1) or slower (-1)."""
        speed = self.playback.speed
        others = [each for each in SPEEDS if (each > speed if step > 0 else each < speed)]
        if others:
            self.playback.set_speed(others[0] if step > 0 else others[-1])

    def toggle_folding(self) -> None:
        """Folds idle time, or plays it."""
        self.idle = 0 if self.idle else self._fold_to
        self._fold()

    # Looking

    @property
    def stream(self) -> int | None:
        """The channel looked at; None when there is none."""
        if self.held is not None:
            return self.held
        found = self.timeline.stream_at(self.playback.here.t)
        return found.number if found is not None else None

    def hold_next(self) -> None:
        """Stays on the next channel, by number; after the last one, follows again."""
        numbers = sorted(self.timeline.streams)
        later = [number for number in numbers if self.held is None or number > self.held]
        self.held = later[0] if later and len(numbers) > 1 else None

    def _look_at(self, stream: int) -> None:
        self.held = None
        if stream in self.timeline.streams and self.stream != stream:
            self.held = stream

    def shown(self, cost: int) -> Shown:
        """The view at this moment, for about `cost` bytes of output of work; call again while it is not there."""
        stream = self.stream
        if stream is None:
            return Shown(None, there=True)
        scrubber = self._scrubber(stream)
        there = scrubber.go(self.playback.here, cost)
        return Shown(scrubber.view, there)

    def _scrubber(self, stream: int) -> Scrubber:
        scrubber = self._scrubbers.pop(stream, None) or Scrubber(self.recording, stream)
        self._scrubbers[stream] = scrubber
        if len(self._scrubbers) > _SCRUBBERS:
            self._scrubbers.popitem(last=False)
        return scrubber


def _told(frame: Frame) -> str:
    """A frame in a few words; never what was typed, which may be a password."""
    known = {kind.value: kind.name.lower() for kind in Kind}
    what = known.get(frame.kind, f"kind {frame.kind}")
    if isinstance(frame.body, bytes):
        what += f" {words.size(len(frame.body))}"
    elif frame.kind == Kind.NOTE:
        what += f" {printable(text(frame.facts(), 'name'), limit=24)}"
    return f"frame {frame.number}: {what}"
