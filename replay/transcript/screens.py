"""What was seen on a channel's terminal, as lines to read: those that scrolled off, and screens before they vanish.

A full-screen program leaves the screen that it showed last; colours and cursor are the player's business.
"""

import re
from collections.abc import Iterator

from replay.terminal import Screen

_SLICE = 4096  # bytes fed at once: fewer rows scroll off meanwhile than the screen remembers
# Entering and leaving the alternate screen, clearing the screen, resetting the terminal.
_VANISHING = re.compile(
    rb"\x1b\[\?[0-9;]{0,16}(?:1049|1047|47)(?:;[0-9;]{0,16})?[hl]|\x1b\[[23]J|\x1bc|\x1b\[(?:1;1)?H\x1b\[0?J"
)
_BEGUN = re.compile(rb"\x1b(?:\[(?:[23]?|\?[0-9;]{0,32})|\[(?:1|1;|1;1)|\[(?:1;1)?H(?:\x1b(?:\[0?)?)?)?$")
_BEGUN_LIMIT = 40


class Screens:
    """The screens of one channel. Every method yields lists of lines as they become final, not made printable."""

    def __init__(self, columns: int, rows: int) -> None:
        self._screen = Screen(columns, rows)
        self._told: dict[int, str] = {}  # lines of the main screen that were given out already, by their number
        self._done = 0
        self._rest = b""

    def resize(self, columns: int, rows: int) -> Iterator[list[str]]:
        """The size changed."""
        yield from self._feed(self._take_rest())
        self._screen.resize(columns, rows)
        yield from self._scrolled()

    def feed(self, data: bytes) -> Iterator[list[str]]:
        """Takes the next bytes of output."""
        data = self._take_rest() + data
        begun = _BEGUN.search(data, max(len(data) - _BEGUN_LIMIT, 0))
        if begun is not None:
            self._rest = data[begun.start() :]
            data = data[: begun.start()]
        start = 0
        for match in _VANISHING.finditer(data):
            yield from self._feed(data[start : match.start()])
            yield from self._before(match[0])
            start = match.start()
        yield from self._feed(data[start:])

    def above(self) -> Iterator[list[str]]:
        """The lines above the cursor of the main screen; one that still changes is given out again later."""
        if not self._screen.alternate:
            yield from self._shown(self._screen.cursor[0])

    def finish(self) -> Iterator[list[str]]:
        """The channel ended: what is on the screen."""
        yield from self._feed(self._take_rest())
        yield from self._shown()

    def _take_rest(self) -> bytes:
        rest, self._rest = self._rest, b""
        return rest

    def _feed(self, data: bytes) -> Iterator[list[str]]:
        for offset in range(0, len(data), _SLICE):
            self._screen.feed(data[offset : offset + _SLICE])
            yield from self._scrolled()

    def _before(self, sequence: bytes) -> Iterator[list[str]]:
        if not self._screen.alternate or sequence.endswith(b"l") or sequence == b"\x1bc":
            yield from self._shown()

    def _scrolled(self) -> Iterator[list[str]]:
        """The lines that left the top of the main screen since."""
        total = self._screen.scrolled_total
        if total < self._done and not self._screen.alternate:  # a higher screen took lines back
            recalled = self._screen.lines()[: self._done - total]
            self._told.update(enumerate(recalled, total))
            self._done = total
        if total <= self._done:
            return
        kept = self._screen.scrollback
        known = min(total - self._done, len(kept))
        lines = [f"… {total - self._done - known:,} lines scrolled past"] if total - self._done > known else []
        for number in range(total - known, total):
            line = str(kept[number - total])
            if self._told.pop(number, None) != line:
                lines.append(line)
        self._done = total
        self._told = {number: line for number, line in self._told.items() if number >= total}
        if lines:
            yield lines

    def _shown(self, most: int | None = None) -> Iterator[list[str]]:
        """What is on the screen, of its first `most` rows, without what was given out already."""
        rows = self._screen.lines()[:most]
        while rows and not rows[-1]:
            rows.pop()
        if self._screen.alternate:
            if rows:
                yield rows
            return
        total = self._screen.scrolled_total
        lines = []
        for number, row in enumerate(rows, total):
            if self._told.get(number) != row and (row or number not in self._told):
                lines.append(row)
                self._told[number] = row
        if any(lines):
            yield lines
