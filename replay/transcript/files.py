"""The file operations of an SSH session, read from the bytes of its sftp and scp channels with their own parsers.

Nothing of the files' contents is kept. After damage a channel is read on from where the tape says a packet begins.
"""

from collections.abc import Iterator
from heapq import heappop, heappush

from recorder.protocol import Direction
from recorder.protocols.ssh.scp import Scp, scp_of
from recorder.protocols.ssh.sftp import Fault, FileOperation, Sftp, is_sftp
from replay.recording import Frame, Kind, Recording
from replay.recording.facts import text
from replay.transcript.commands import request_of

_CHANNELS = 256  # as many as the gateway allows; the oldest is given up for one more
_HELD = 10_000  # operations that wait for an earlier one to end
_SIDES = (Direction.IN, Direction.OUT)
_SORTS = ("exec", "subsystem")

Told = FileOperation | Fault


def files(recording: Recording) -> Iterator[Told]:
    """The file operations of a recording in the order in which they began, and what could not be read of them.

    Where more than 10,000 began after one that goes on, the oldest of them come before it.
    """
    transfers = Transfers(recording)
    held: list[tuple[int, int, Told]] = []
    count = 0
    for frame in recording.frames():
        for told in transfers.take(frame):
            heappush(held, (_begun(told), count, told))
            count += 1
            earliest = transfers.earliest
            while held and (earliest is None or held[0][0] <= earliest or len(held) > _HELD):
                yield heappop(held)[2]
    for told in transfers.finish():
        heappush(held, (_begun(told), count, told))
        count += 1
    while held:
        yield heappop(held)[2]


def _begun(told: Told) -> int:
    return told.start if isinstance(told, FileOperation) else told.t


class Transfers:
    """The channels that move files, fed with a recording's frames in order from the first. Times are µs."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._channels: dict[int, Sftp | Scp] = {}
        self._damaged = False  # whether frames are missing somewhere before
        self._lost = False  # whether a channel's side is not being read
        self._resume: dict[tuple[int, int], int] = {}  # as the newest chunk says
        self._begun: int | None = None  # the channel whose command's text comes in pieces, which follow each other
        self._next = 0
        self._t = 0

    @property
    def earliest(self) -> int | None:
        """When the oldest operation began that is not over."""
        return min(
            (start for parser in self._channels.values() if (start := parser.earliest) is not None), default=None
        )

    def take(self, frame: Frame) -> Iterator[Told]:
        """What a frame made known."""
        self._t = frame.t
        if frame.number != self._next:
            self._missed()
        self._next = frame.number + 1
        if self._damaged or self._lost:
            self._find(frame.number)
        if frame.kind in (Kind.IN, Kind.OUT):
            parser = self._channels.get(frame.stream) or self._found(frame.stream)
            if parser is not None:
                side = Direction(frame.kind)
                yield from parser.receive(side, frame.data(), frame.t)
                self._lost |= parser.lost(side)
        elif frame.kind == Kind.NOTE:
            yield from self._note(frame)
        elif frame.kind == Kind.CLOSE:
            yield from self.finish()
        elif frame.kind in (Kind.GAP, Kind.WITHHELD):
            self._missed()

    def finish(self) -> Iterator[Told]:
        """The recording is over: what is still open."""
        for stream in list(self._channels):
            yield from self._end(stream)

    def _note(self, frame: Frame) -> Iterator[Told]:
        facts = frame.facts()
        name = text(facts, "name")
        parser = self._parser(frame.stream, facts)
        if parser is not None:
            yield from self._end(frame.stream)
            if len(self._channels) >= _CHANNELS:
                yield from self._end(next(iter(self._channels)))
            self._channels[frame.stream] = parser
        elif name == "close" or (name == "answer" and facts.get("request") in _SORTS and facts.get("ok") is False):
            yield from self._end(frame.stream)

    def _parser(self, stream: int, facts: dict[str, object]) -> Sftp | Scp | None:
        """The parser of what a note asks to run, when that moves files; long commands, which come in pieces, do not."""
        asked = request_of(facts)
        if asked is None:
            return None
        sort, text_, more = asked
        begun, self._begun = self._begun, stream if more else None
        if more or begun == stream:
            return None
        if is_sftp(sort, text_):
            return Sftp(stream)
        return scp_of(text_, stream) if sort == "exec" else None

    def _end(self, stream: int) -> Iterator[Told]:
        parser = self._channels.pop(stream, None)
        if parser is not None:
            yield from parser.end(self._t)

    # What is missing

    def _missed(self) -> None:
        """Frames are missing: no packet's end is known."""
        self._damaged = self._lost = True
        self._resume = {}
        for parser in self._channels.values():
            for side in _SIDES:
                parser.gap(side, None)

    def _find(self, number: int) -> None:
        """Finds the packets again where a chunk begins, which says how much is left of each that was begun."""
        left = self._recording.resume(number)
        if left is None:
            return
        self._resume = left if self._damaged else {}
        self._lost = False
        for stream, parser in self._channels.items():
            for side in _SIDES:
                if parser.lost(side):
                    parser.gap(side, left.get((stream, side), 0))

    def _found(self, stream: int) -> Sftp | Scp | None:
        """A channel whose beginning is missing: only the packets of sftp are followed, so that it is one of those."""
        if not any((stream, side) in self._resume for side in _SIDES) or len(self._channels) >= _CHANNELS:
            return None
        parser = self._channels[stream] = Sftp(stream)
        for side in _SIDES:
            parser.gap(side, self._resume.get((stream, side), 0))
        return parser
