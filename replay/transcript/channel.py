"""One channel as it is read: its command, its terminal or its three directions, its end. Yields entries."""

from collections.abc import Iterator
from typing import Literal

from recorder.protocols.ssh.sftp import Fault
from recorder.safe import printable
from replay.recording import Frame, Kind
from replay.recording.facts import UNKNOWN_SIZE, size, text
from replay.transcript import facts as words
from replay.transcript import operation
from replay.transcript.commands import MAXIMUM_TEXT, Sort, request_of
from replay.transcript.files import Told
from replay.transcript.mark import Entry, Mark
from replay.transcript.plain import Plain
from replay.transcript.screens import Screens

_COUNTED = ("subsystem", "forward")  # what crosses is for programs: only its amount is told
_TOLD = {Kind.OUT: Mark.OUTPUT, Kind.ERR: Mark.ERRORS, Kind.IN: Mark.INPUT}


class Channel:
    """Reads the frames of one stream. What lies before `start` (µs) is followed, not told."""

    def __init__(self, stream: int, start: int) -> None:
        self.stream = stream
        self._start = start
        self._sort: Sort | Literal["forward"] | None = None
        self._text = b""
        self._more = False
        self._begun = 0
        self._introduction: Entry | None = None
        self._exit: tuple[int, str] | None = None
        self._screens: Screens | None = None
        self._plain = {kind: Plain() for kind in _TOLD}
        self._crossed = dict.fromkeys(_TOLD, 0)

    def take(self, frame: Frame) -> Iterator[Entry]:
        """The entries that a frame completes."""
        if frame.kind in _TOLD:
            yield from self._data(frame.t, Kind(frame.kind), frame.data())
        elif frame.kind == Kind.VERDICT:
            yield from self._verdict(frame)
        elif frame.kind == Kind.NOTE:
            yield from self._note(frame)

    def moved(self, told: Told, t: int) -> Iterator[Entry]:
        """The entry of a file operation, or of what could not be read of them, that became known at `t`."""
        if isinstance(told, Fault):
            yield from self._say(told.t, Mark.FACT, operation.of_fault(told))
            return
        amount = ""
        if told.size is not None:
            amount = f", {told.size:,} bytes"
            amount += "" if told.end is None else f" after {(told.end - told.start) / 1_000_000:.2f} s"
        yield from self._say(t, Mark.FILE, f"{operation.what(told)}: {operation.outcome(told)}{amount}")

    def lines(self) -> Iterator[Entry]:
        """The whole lines that are held of what went to no terminal."""
        for kind, plain in self._plain.items():
            yield from self._tell(_TOLD[kind], plain.lines())

    def screen(self, t: int) -> Iterator[Entry]:
        """The lines above the terminal's cursor, at the moment `t`."""
        if self._screens is not None:
            yield from self._lines(t, self._screens.above())

    def finish(self, t: int) -> Iterator[Entry]:
        """The channel ended, or what is asked for does: everything that is still held."""
        for kind, plain in self._plain.items():
            yield from self._tell(_TOLD[kind], plain.flush())
        if self._screens is not None:
            yield from self._lines(t, self._screens.finish())
        if self._sort in _COUNTED:
            sent, got = self._crossed[Kind.IN], self._crossed[Kind.OUT] + self._crossed[Kind.ERR]
            yield from self._say(t, Mark.OUTPUT, f"<{sent:,} bytes in, {got:,} bytes out>")
        if self._exit is not None:
            yield from self._say(self._exit[0], Mark.EXIT, self._exit[1])
        self._exit = self._screens = self._sort = self._introduction = None
        self._crossed = dict.fromkeys(_TOLD, 0)

    def _say(self, t: int, mark: Mark, words: str) -> Iterator[Entry]:
        if t < self._start:
            return
        if self._introduction is not None:
            yield self._introduction
            self._introduction = None
        yield Entry(t, self.stream, mark, words)

    def _tell(self, mark: Mark, pieces: Iterator[tuple[int, str]]) -> Iterator[Entry]:
        for t, piece in pieces:
            yield from self._say(t, mark, piece)

    def _lines(self, t: int, screens: Iterator[list[str]]) -> Iterator[Entry]:
        for lines in screens:
            yield from self._say(t, Mark.SCREEN, "\n".join(printable(line) for line in lines))

    # Bytes

    def _data(self, t: int, kind: Kind, data: bytes) -> Iterator[Entry]:
        self._crossed[kind] += len(data)
        if self._sort in _COUNTED:
            return
        if self._screens is not None:
            if kind is not Kind.IN:
                yield from self._lines(t, self._screens.feed(data))
        elif t >= self._start:
            for other, plain in self._plain.items():
                if other is not kind:
                    yield from self._tell(_TOLD[other], plain.lines())
            yield from self._tell(_TOLD[kind], self._plain[kind].feed(t, data))

    # Facts

    def _verdict(self, frame: Frame) -> Iterator[Entry]:
        facts = frame.facts()
        effect = facts.get("effect")
        if effect == "deny":
            yield from self._say(frame.t, Mark.REFUSED, words.of_verdict(facts))
        elif effect != "allow":
            yield from self._say(frame.t, Mark.FACT, words.of_map("verdict", facts))

    def _note(self, frame: Frame) -> Iterator[Entry]:
        facts = frame.facts()
        asked = request_of(facts)
        if asked is not None:
            yield from self._asked(frame.t, *asked)
            return
        match facts.get("name"):
            case "exit":
                self._exit = frame.t, self._ended(frame.t, facts)
            case "close":
                yield from self.finish(frame.t)
            case "forward":
                self._sort = "forward"
                yield from self._begin(Entry(frame.t, self.stream, Mark.CHANNEL, words.of_forward(facts)))
                return
            case "channel-failed":
                self._sort = None
            case "pty":
                self._screens = Screens(*(size(facts) or UNKNOWN_SIZE))
            case "resize" if self._screens is not None:
                if (new := size(facts)) is not None:
                    yield from self._lines(frame.t, self._screens.resize(*new))
        if text_of := words.of_note(facts):
            yield from self._say(frame.t, Mark.FACT, text_of)

    def _asked(self, t: int, sort: Sort, piece: bytes, more: bool) -> Iterator[Entry]:
        if not self._more:
            self._text, self._begun = b"", t
        self._sort = sort
        self._text += piece[: max(MAXIMUM_TEXT - len(self._text), 0)]
        self._more = more
        if more:
            return
        if sort == "exec":
            entry = Entry(self._begun, self.stream, Mark.COMMAND, printable(self._text, keep="\n\t"))
        else:
            name = f"{sort} {printable(self._text, limit=256)}" if self._text else sort
            entry = Entry(self._begun, self.stream, Mark.CHANNEL, name)
        self._text = b""
        yield from self._begin(entry)

    def _begin(self, entry: Entry) -> Iterator[Entry]:
        """Tells how the channel began; when that was before `start`, only once it has something to tell."""
        if entry.t < self._start:
            self._introduction = entry
        else:
            yield entry

    def _ended(self, t: int, facts: words.Facts) -> str:
        lasted = f" after {(t - self._begun) / 1_000_000:.2f} s"
        if type(facts.get("status")) is int:
            return f"exit {facts['status']}{lasted}"
        message = f": {words.said(facts, 'message')}" if facts.get("message") else ""
        return f"ended by signal {printable(text(facts, 'signal'), limit=64)}{lasted}{message}"
