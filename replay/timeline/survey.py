"""One pass over a recording: its streams, marks, activity and idle gaps. Can be done in parts, and go on as it grows.

Reads frames and keeps numbers and short texts; never holds what crossed.
"""

from bisect import bisect_right
from itertools import chain, takewhile
from typing import TYPE_CHECKING

from recorder.format.frame import Frame, Kind
from recorder.safe import printable, quoted
from replay.recording import Recording
from replay.recording.facts import number, text
from replay.timeline.activity import Activity
from replay.timeline.folding import Folding, Gaps
from replay.timeline.mark import Mark, MarkKind
from replay.timeline.moment import LATEST
from replay.timeline.stream import Stream
from replay.timeline.view import size_of
from replay.transcript import Command, Listing
from replay.transcript.facts import of_recovery

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAXIMUM_MARKS = 100_000
_TEXT = 200
_LOOK_BACK = 256  # streams before a moment among which the one to look at is chosen
_RECOVERIES = 10  # that are told beside the session; all of them are marks
_LINGER = 1_000_000  # µs that a stream is looked at after its end, lest short commands only flash by
_CROSSED = frozenset({Kind.IN, Kind.OUT, Kind.ERR})


class Timeline:
    """What was found up to `read`; times in µs since the session's start."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.read = 0
        self.frames = 0
        self.streams: dict[int, Stream] = {}
        self.sent = Activity()
        self.received = Activity()
        self.gaps = Gaps()
        self.commands: Sequence[Command] = ()
        self.recoveries: list[str] = []
        self.marks: list[Mark] = []
        self.marks_left_out = 0
        self._listing = Listing()
        self._begun: list[Mark] = []  # of each command
        self._found: list[Mark] = []
        self._rest: Iterator[Frame] | None = None
        self._by_start: list[Stream] = []

    @property
    def duration(self) -> int:
        """The session's length: the time of its last frame, or of the last one read when that is later."""
        return max(min(self.recording.duration, LATEST), self.read)

    def extend(self, limit: int | None = None) -> bool:
        """Reads on, `limit` frames at most; True once there is nothing more for now. Call again after a refresh."""
        if self._rest is None:
            self._rest = self.recording.frames(self.read)
        for seen, frame in enumerate(self._rest, 1):
            if frame.number >= self.frames:
                self._take(frame)
            if seen == limit:
                return False
        self._rest = None
        self._order()
        return True

    def folding(self, limit: int) -> Folding:
        """The mapping between session and play time for an idle limit in µs; 0 folds nothing."""
        return Folding(self.gaps, self.duration, limit)

    def stream_at(self, t: int) -> Stream | None:
        """The stream to look at: of those begun by `t` the latest that goes on, else the one that ended last."""
        count = bisect_right(self._by_start, t, key=lambda stream: stream.start)
        begun = self._by_start[max(count - _LOOK_BACK, 0) : count]
        if not begun:
            return self._by_start[0] if self._by_start else None
        for stream in reversed(begun):
            if stream.end is None or stream.end + _LINGER > t:
                return stream
        return max(begun, key=lambda stream: stream.end or 0)

    def _order(self) -> None:
        before, self.commands = self.commands, self._listing.commands()
        same = takewhile(lambda pair: pair[0].text is pair[1].text, zip(before, self.commands, strict=False))
        known = sum(1 for _ in same)
        self._begun[known:] = map(_began, self.commands[known:])
        damage = (
            Mark(min(damage.first_t, LATEST), 0, MarkKind.MISSING, 0, printable(damage.reason, limit=_TEXT))
            for damage in self.recording.damage
            if damage.first_t is not None
        )
        self.marks = sorted(chain(self._found, self._begun, damage), key=lambda mark: (mark.t, mark.frame))

    def _take(self, frame: Frame) -> None:
        t = min(max(frame.t, self.read), LATEST)
        if self.frames:
            self.gaps.add(self.read, t)
        self.read = t
        self.frames = frame.number + 1
        self._listing.take(frame)
        if frame.kind in _CROSSED:
            self._crossed(frame, t)
        elif frame.kind == Kind.NOTE:
            self._note(frame, t, frame.facts())
        elif frame.kind == Kind.VERDICT:
            self._verdict(frame, t, frame.facts())
        elif frame.kind == Kind.GAP:
            self._mark(frame, t, MarkKind.MISSING, _short(text(frame.facts(), "why") or "bytes are missing"))
        elif frame.kind == Kind.RECOVERY:
            self._recovered(frame, t)

    def _stream(self, frame: Frame, t: int) -> Stream:
        stream = self.streams.get(frame.stream)
        if stream is None:
            stream = self.streams[frame.stream] = Stream(frame.stream, t, frame.number)
            self._by_start.append(stream)
        return stream

    def _crossed(self, frame: Frame, t: int) -> None:
        stream, size = self._stream(frame, t), len(frame.data())
        if frame.kind == Kind.IN:
            stream.bytes_in += size
            self.sent.add(t, size)
        else:
            stream.bytes_out += size
            self.received.add(t, size)

    def _mark(self, frame: Frame, t: int, kind: MarkKind, what: str) -> None:
        if len(self._found) < MAXIMUM_MARKS:
            self._found.append(Mark(t, frame.number, kind, frame.stream, what))
        else:
            self.marks_left_out += 1

    def _recovered(self, frame: Frame, t: int) -> None:
        told = of_recovery(frame.facts())
        self._mark(frame, t, MarkKind.RECOVERED, told)
        if len(self.recoveries) < _RECOVERIES:
            self.recoveries.append(told)

    def _verdict(self, frame: Frame, t: int, facts: dict[str, object]) -> None:
        operation = _short(text(facts, "operation"))
        effect = _short(text(facts, "effect"))
        if effect == "allow":
            self._mark(frame, t, MarkKind.ALLOWED, f"{operation} allowed")
            return
        reason = _short(text(facts, "reason") or text(facts, "rule"))
        if effect == "deny":
            self._mark(frame, t, MarkKind.DENIED, f"{operation} denied: {reason}")
        else:
            self._mark(frame, t, MarkKind.VERDICT, f"{operation} {effect}: {reason}")

    def _note(self, frame: Frame, t: int, facts: dict[str, object]) -> None:
        if not frame.stream:
            return
        stream = self._stream(frame, t)
        match facts.get("name"):
            case "pty":
                stream.terminal = True
                stream.term = text(facts, "term")
                stream.columns, stream.rows = size_of(facts)
            case "shell":
                stream.kind = "shell"
            case "exec" | "subsystem" as kind:
                stream.kind = kind
                if not stream.text:
                    stream.text = text(facts, "command" if kind == "exec" else "subsystem").encode(
                        "utf-8", "surrogateescape"
                    )
            case "resize":
                columns, rows = size_of(facts)
                self._mark(frame, t, MarkKind.RESIZE, f"{columns}×{rows}")
            case "exit":
                self._exit(frame, t, stream, facts)
            case "close":
                stream.end = t
            case "refused" | "channel-failed" | "answer" | "discarded" | "not-captured" as name:
                self._turned_down(frame, t, name, facts)

    def _exit(self, frame: Frame, t: int, stream: Stream, facts: dict[str, object]) -> None:
        stream.status = number(facts, "status") if "status" in facts else None
        stream.signal = text(facts, "signal")
        if stream.signal:
            self._mark(frame, t, MarkKind.ERROR, f"ended by {quoted(stream.signal, 40)}")
        elif stream.status:
            self._mark(frame, t, MarkKind.ERROR, f"exit {stream.status}")

    def _turned_down(self, frame: Frame, t: int, name: str, facts: dict[str, object]) -> None:
        if name in ("discarded", "not-captured"):
            self._mark(frame, t, MarkKind.MISSING, _short(text(facts, "why") or name))
        elif name != "answer":
            why = text(facts, "why") or text(facts, "reason") or name
            self._mark(frame, t, MarkKind.REFUSED, _short(f"refused: {why}"))
        elif facts.get("ok") is False:
            self._mark(frame, t, MarkKind.REFUSED, _short(f"the target refused {text(facts, 'request')}"))


def _began(command: Command) -> Mark:
    told = printable(command.text, limit=_TEXT)
    return Mark(min(command.start, LATEST), command.frame, MarkKind.COMMAND, command.stream, told)


def _short(recorded: str) -> str:
    return printable(recorded, limit=_TEXT)
