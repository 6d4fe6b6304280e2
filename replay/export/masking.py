"""Frames in order, with terminal input that was not echoed masked; frames wait until that is known.

It decides for whole frames: one whose every character was echoed is given as it is.
"""

import codecs
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from replay.recording import Frame, Kind
from replay.transcript.echo import MASK, Echo, Typed

_FRAMES = 4096  # that wait for what was typed before them to be echoed …
_BYTES = 8 << 20  # … or their bytes: if more come, it was not


@dataclass(slots=True)
class _Held:
    """A frame, and what stands for its bytes if they must not be shown."""

    frame: Frame
    decided: bool = True
    masked: str | None = None


class Masking:
    """All streams of a recording. What it gives out are frames, each with the text to show instead, or None."""

    def __init__(self) -> None:
        self._held: deque[_Held] = deque()
        self._bytes = 0
        self._terminals: dict[int, _Terminal] = {}

    def take(self, frame: Frame) -> Iterator[tuple[Frame, str | None]]:
        """Takes the next frame; gives those that are decided by now."""
        held = _Held(frame)
        self._held.append(held)
        self._bytes += len(frame.data())
        terminal = self._terminals.get(frame.stream)
        name = frame.facts().get("name") if frame.kind == Kind.NOTE else None
        if terminal is None:
            if name == "pty":
                self._terminals[frame.stream] = _Terminal()
        elif frame.kind == Kind.IN:
            terminal.typed(held)
        elif frame.kind in (Kind.OUT, Kind.ERR):
            terminal.shown(frame)
        elif frame.kind == Kind.HELD:
            held.masked = MASK * len(frame.data().decode("utf-8", "replace"))  # it never got to where echoes come from
        elif name == "close":
            self._terminals.pop(frame.stream).finish()
        if len(self._held) > _FRAMES or self._bytes > _BYTES:
            self._give_up()
        yield from self._ready()

    def finish(self) -> Iterator[tuple[Frame, str | None]]:
        """The recording ends: the rest."""
        self._give_up()
        yield from self._ready()

    def _give_up(self) -> None:
        for terminal in self._terminals.values():
            terminal.finish()

    def _ready(self) -> Iterator[tuple[Frame, str | None]]:
        while self._held and self._held[0].decided:
            held = self._held.popleft()
            self._bytes -= len(held.frame.data())
            yield held.frame, held.masked


class _Terminal:
    """What is typed on one terminal.

    A group is frames that share characters: each but the last ends inside of one, and the last group may be `_open`.
    """

    def __init__(self) -> None:
        self._echo = Echo()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")  # gives as many characters as the echo's own
        self._groups: deque[list[tuple[_Held, str]]] = deque()
        self._open = False
        self._known = ""

    def typed(self, held: _Held) -> None:
        held.decided = False
        data = held.frame.data()
        if not self._open:
            self._groups.append([])
        self._groups[-1].append((held, self._decoder.decode(data)))
        self._open = bool(self._decoder.getstate()[0])
        self._learn(self._echo.typed(held.frame.t, data))

    def shown(self, frame: Frame) -> None:
        self._learn(self._echo.shown(frame.t, frame.data()))

    def finish(self) -> None:
        """What is not decided was not echoed."""
        torn = self._open
        self._open = False
        self._learn(self._echo.finish(), torn=torn)

    def _learn(self, found: list[Typed], *, torn: bool = False) -> None:
        self._known += "".join(typed.text for typed in found)
        while len(self._groups) > int(self._open):
            group = self._groups[0]
            typed = "".join(characters for _, characters in group)
            if len(self._known) < len(typed):
                return
            self._groups.popleft()
            echoed = self._known.startswith(typed) and not (torn and not self._groups)
            for held, characters in group:
                held.masked = None if echoed else self._known[: len(characters)]
                self._known = self._known[len(characters) :]
                held.decided = True
