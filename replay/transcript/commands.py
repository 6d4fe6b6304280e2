"""The commands of an SSH session: what each channel was asked to run, when, and how it ended. Reads no terminal."""

from dataclasses import dataclass
from typing import Literal

from replay.recording import Frame, Kind, Recording
from replay.recording.facts import text

MAXIMUM_COMMANDS = 200_000
"""Commands of one recording that are listed."""
MAXIMUM_TEXT = 1 << 20
"""Bytes of one command that are kept."""
_ALL_TEXTS = 64 << 20

Sort = Literal["exec", "shell", "subsystem"]
_SORTS: dict[object, Sort] = {"exec": "exec", "shell": "shell", "subsystem": "subsystem"}
_TEXT_KEYS = {"exec": "command", "shell": "", "subsystem": "subsystem"}


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a session. Times are µs since its start, `number` counts from 1, sizes are bytes.

    `text` is what crossed, not made printable; empty for a shell. `known` says how the text is known: `exact` as it
    crossed, `raw` for a shell, whose commands are only on its screens. `end` is None while it runs, or when the
    recording breaks off. `frame` is the number of the first frame of its request.
    """

    number: int
    stream: int
    kind: Sort
    text: bytes
    known: Literal["exact", "raw"]
    start: int
    end: int | None = None
    status: int | None = None
    signal: str | None = None
    bytes_in: int = 0
    bytes_out: int = 0
    frame: int = 0
    denied: bool = False

    @property
    def ok(self) -> bool:
        """Whether it ended with status 0."""
        return self.status == 0 and not self.denied


def commands(recording: Recording) -> list[Command]:
    """The commands of a recording in the order in which they were asked for; at most `MAXIMUM_COMMANDS` of them."""
    listing = Listing()
    for frame in recording.frames():
        listing.take(frame)
    return listing.commands()


def request_of(facts: dict[str, object]) -> tuple[Sort, bytes, bool] | None:
    """What a note asks to run: its sort, this piece of its text, whether more follow; None for any other note."""
    sort = _SORTS.get(name) if isinstance(name := facts.get("name"), str) else None
    if sort is None:
        return None
    piece = facts.get(_TEXT_KEYS[sort])
    return sort, piece if isinstance(piece, bytes) else text(facts, _TEXT_KEYS[sort]).encode(), bool(facts.get("more"))


class _Found:
    """A command while it is being read."""

    __slots__ = (
        "bytes_in", "bytes_out", "denied", "end", "frame", "kind", "more", "number", "signal", "start", "status", "text"
    )  # fmt: skip

    def __init__(self, number: int, frame: Frame, kind: Sort) -> None:
        self.number = number
        self.frame = frame
        self.kind: Sort = kind
        self.start = frame.t
        self.text = b""
        self.more = False
        self.end: int | None = None
        self.status: int | None = None
        self.signal: str | None = None
        self.bytes_in = self.bytes_out = 0
        self.denied = False

    def command(self) -> Command:
        return Command(
            number=self.number,
            stream=self.frame.stream,
            kind=self.kind,
            text=self.text,
            known="raw" if self.kind == "shell" else "exact",
            start=self.start,
            end=self.end,
            status=self.status,
            signal=self.signal,
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
            frame=self.frame.number,
            denied=self.denied,
        )


class Listing:
    """The commands of a recording as its frames are taken, one by one and in order; of a growing one, those so far."""

    def __init__(self) -> None:
        self._found: list[_Found] = []
        self._commands: list[Command] = []
        self._changed: set[int] = set()  # places of those that are not yet in `_commands` as they are now
        self._running: dict[int, _Found] = {}
        self._room = _ALL_TEXTS

    def commands(self) -> list[Command]:
        """All so far; one that did not change since is the same object as before."""
        made = self._commands + [found.command() for found in self._found[len(self._commands) :]]
        for place in self._changed:
            made[place] = self._found[place].command()
        self._commands, self._changed = made, set()
        return made

    def take(self, frame: Frame) -> None:
        """Takes the next frame."""
        running = self._running.get(frame.stream)
        if running is not None:
            self._changed.add(running.number - 1)
        if frame.kind == Kind.NOTE:
            self._note(frame, running)
        elif frame.kind == Kind.CLOSE:
            for found in self._running.values():
                _finish(found, frame.t)
                self._changed.add(found.number - 1)
            self._running.clear()
        elif running is None:
            return
        elif frame.kind == Kind.IN:
            running.bytes_in += len(frame.data())
        elif frame.kind in (Kind.OUT, Kind.ERR):
            running.bytes_out += len(frame.data())
        elif frame.kind == Kind.VERDICT:
            facts = frame.facts()
            if facts.get("effect") == "deny" and facts.get("operation") == running.kind:
                running.denied = True
                _finish(running, frame.t)

    def _note(self, frame: Frame, running: _Found | None) -> None:
        facts = frame.facts()
        asked = request_of(facts)
        if asked is not None:
            self._asked(frame, running, *asked)
        elif running is None:
            return
        elif facts.get("name") == "exit":
            status = facts.get("status")
            running.status = status if type(status) is int else None
            running.signal = text(facts, "signal")[:64] or None
            _finish(running, frame.t)
        elif facts.get("name") == "close":
            _finish(running, frame.t)
            del self._running[frame.stream]
        elif facts.get("name") == "answer" and facts.get("request") == running.kind and facts.get("ok") is False:
            _finish(running, frame.t)

    def _asked(self, frame: Frame, running: _Found | None, sort: Sort, piece: bytes, more: bool) -> None:
        if running is None or not running.more or running.kind != sort:
            if running is not None:
                _finish(running, frame.t)
                del self._running[frame.stream]
            if len(self._found) >= MAXIMUM_COMMANDS:
                return
            running = _Found(len(self._found) + 1, frame, sort)
            self._found.append(running)
            self._running[frame.stream] = running
        kept = piece[: max(min(MAXIMUM_TEXT - len(running.text), self._room), 0)]
        self._room -= len(kept)
        running.text += kept
        running.more = more


def _finish(found: _Found, t: int) -> None:
    if found.end is None:
        found.end = t
