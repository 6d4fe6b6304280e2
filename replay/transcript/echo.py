"""Which of the keys that were typed came back on the screen: those that did not (a password) are masked.

It decides by the order of what crossed alone, and masks when in doubt.
"""

import codecs
import re
from collections import deque
from typing import NamedTuple

MASK = "•"
_WAIT_US = 1_000_000
_WAITING = 4096  # characters
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]?|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[()][0-9A-Za-z]|.?)", re.DOTALL)


class Typed(NamedTuple):
    """Input of one moment: `text` with a mask for every character that was not echoed."""

    t: int
    text: str


class Echo:
    """One channel's input, held until the output after it shows whether it was echoed, a second at most."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._output = codecs.getincrementaldecoder("utf-8")("replace")
        self._waiting: deque[tuple[int, str]] = deque()  # single characters
        self._known: list[tuple[int, str]] = []

    def typed(self, t: int, data: bytes) -> list[Typed]:
        """Takes input of the moment `t` (µs); gives what is decided by now."""
        self._expire(t)
        for character in self._decoder.decode(data):
            self._waiting.append((t, character))
        while len(self._waiting) > _WAITING:
            self._hide()
        return self._decided()

    def shown(self, t: int, data: bytes) -> list[Typed]:
        """Takes output of the moment `t` (µs); gives the input before it that is decided by now."""
        self._expire(t)
        if not self._waiting:
            self._output.decode(data)
            return self._decided()
        for character in _ESCAPES.sub("", self._output.decode(data)):
            if not self._waiting:
                break
            self._match(character)
        return self._decided()

    def finish(self) -> list[Typed]:
        """The channel ended: what is left was not echoed."""
        while self._waiting:
            self._hide()
        return self._decided()

    def _match(self, shown: str) -> None:
        if shown in "\r\n":
            # A line ends: what was typed before the key that ended it, and not seen by now, was not echoed.
            if any(_is_end(character) for _, character in self._waiting):
                while not _is_end(self._waiting[0][1]):
                    self._hide()
                self._known.append(self._waiting.popleft())
            return
        if not shown.isprintable():
            return
        while self._waiting and not self._waiting[0][1].isprintable():
            self._known.append(self._waiting.popleft())  # a control key shows nothing, and hides nothing
        if self._waiting and self._waiting[0][1] == shown:
            self._known.append(self._waiting.popleft())
        elif self._waiting:
            self._hide()

    def _expire(self, t: int) -> None:
        while self._waiting and t - self._waiting[0][0] > _WAIT_US:
            self._hide()

    def _hide(self) -> None:
        t, character = self._waiting.popleft()
        self._known.append((t, MASK if character.isprintable() else character))

    def _decided(self) -> list[Typed]:
        found: list[Typed] = []
        for t, character in self._known:
            if found and found[-1].t == t:
                found[-1] = Typed(t, found[-1].text + character)
            else:
                found.append(Typed(t, character))
        self._known.clear()
        return found


def _is_end(character: str) -> bool:
    return character in "\r\n"
