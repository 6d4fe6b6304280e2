"""A recording as a text to read, entry by entry: commands, output, screens, refusals, facts.

Memory is bounded by the channels that are open at once, of which the gateway allows `_CHANNELS`.
"""

from collections.abc import Iterator

from recorder.safe import printable
from replay.recording import Frame, Kind, Recording
from replay.recording.clock import clock
from replay.transcript import facts as words
from replay.transcript.channel import Channel
from replay.transcript.files import Told, Transfers
from replay.transcript.mark import Entry, Mark

_CHANNELS = 256

__all__ = ["Entry", "Mark", "Reading", "damaged", "entries"]


def entries(recording: Recording, start: int = 0, end: int | None = None) -> Iterator[Entry]:
    """What a person reads of a recording from `start` up to, not including, `end` (µs since its start).

    Entries of one channel come in order; output is held until its line, its piece of 64 KiB or its channel ends, so
    that of several channels each stays readable. A command that began before `start` comes first, with its own time.
    What could not be read of the tape comes last.
    """
    reading = Reading(recording, start)
    for frame in recording.frames(0, end):
        yield from reading.take(frame)
    yield from reading.finish()
    yield from damaged(recording)


def damaged(recording: Recording) -> Iterator[Entry]:
    """What could not be read of the tape so far."""
    for damage in recording.damage:
        where = f"chunk {damage.chunk}, " if damage.chunk is not None else ""
        if damage.first_t is not None and damage.last_t is not None:
            where += f"{clock(damage.first_t)}–{clock(damage.last_t)}, "
        told = printable(f"{where}{damage.length} bytes cannot be read: {damage.reason}")
        yield Entry(damage.first_t or 0, 0, Mark.DAMAGE, told)


class Reading:
    """The channels that are open at the frame at hand. Fed with the frames in order, and at the end finished."""

    def __init__(self, recording: Recording, start: int = 0) -> None:
        self._start = start
        self._transfers = Transfers(recording)
        self._t = 0
        self._channels: dict[int, Channel] = {}

    def take(self, frame: Frame) -> Iterator[Entry]:
        """The entries that a frame completes."""
        self._t = frame.t
        if frame.kind in (Kind.IN, Kind.OUT, Kind.ERR, Kind.NOTE, Kind.VERDICT):
            yield from self._channel(frame.stream)
            yield from self._moved(self._transfers.take(frame))
            yield from self._channels[frame.stream].take(frame)
            if frame.kind == Kind.NOTE and frame.facts().get("name") == "close":
                del self._channels[frame.stream]
            return
        yield from self._moved(self._transfers.take(frame))
        if frame.kind == Kind.CLOSE:
            yield from self.finish()
        if frame.t >= self._start:
            yield _of_session(frame)

    def _channel(self, stream: int) -> Iterator[Entry]:
        """Opens the channel where it is new, and ends the oldest where there would be too many."""
        if stream in self._channels:
            return
        if len(self._channels) >= _CHANNELS:
            oldest = next(iter(self._channels))
            yield from self._channels.pop(oldest).finish(self._t)
        self._channels[stream] = Channel(stream, self._start)

    def _moved(self, found: Iterator[Told]) -> Iterator[Entry]:
        for told in found:
            if told.stream in self._channels:
                yield from self._channels[told.stream].moved(told, self._t)

    def lines(self) -> Iterator[Entry]:
        """The whole lines of output that are held: for whoever follows a session that goes on."""
        for channel in self._channels.values():
            yield from channel.lines()

    def screens(self) -> Iterator[Entry]:
        """The lines above the cursors of the terminals: likewise, when nothing came for a while."""
        for channel in self._channels.values():
            yield from channel.screen(self._t)

    def finish(self) -> Iterator[Entry]:
        """What is still held: nothing follows."""
        yield from self._moved(self._transfers.finish())
        for channel in self._channels.values():
            yield from channel.finish(self._t)
        self._channels.clear()


def _of_session(frame: Frame) -> Entry:
    """The entry of a frame that is not one of a channel's."""
    facts = frame.facts()
    match frame.kind:
        case Kind.OPEN:
            mark, told = Mark.SESSION, words.of_open(facts)
        case Kind.CLOSE:
            mark, told = Mark.END, words.of_close(facts)
        case Kind.GAP:
            mark, told = Mark.GAP, words.of_map("gap", facts)
        case Kind.RECOVERY:
            mark, told = Mark.FACT, words.of_recovery(facts)
        case Kind.HELD:
            mark, told = Mark.REFUSED, f"{len(frame.data())} bytes were not released to the target"
        case Kind.MADE:
            mark, told = Mark.FACT, f"made by the gateway: {words.value_of(_second(frame.body))}"
        case Kind.WITHHELD:
            mark, told = Mark.GAP, f"withheld: {words.value_of(_second(frame.body))} bytes"
        case _:
            mark, told = Mark.FACT, f"a frame of the unknown kind {frame.kind}"
    return Entry(frame.t, frame.stream, mark, told)


def _second(body: object) -> object:
    return body[1] if isinstance(body, list) and len(body) > 1 else ""
