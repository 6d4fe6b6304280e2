"""Output that came without a terminal, as wrapped lines with a gutter: what the player says can be told from what came.

The gutter is `$` for the command, `!` for standard error, `·` for how it ended, and blank for standard output.
"""

from collections.abc import Iterator
from itertools import islice

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.strip import Strip

from recorder.safe import printable
from replay.terminal import Run
from replay.timeline import View
from replay.tui import words
from replay.tui.cells import DEFAULT, is_hidden, strip_of

GUTTER = 2
KEPT_LINES = 1_000
"""Lines above the last ones that can be scrolled to."""
_COMMAND_LINES = 8
_OWN = DEFAULT + RichStyle(bold=True)
_SAID = DEFAULT + RichStyle(dim=True)
_ERROR = DEFAULT + RichStyle(color="#f28b92", bold=True)


class PlainPage:
    """The page of one stream at one width. Lines that scrolled off never change, and are laid out once."""

    def __init__(self, stream: int, width: int) -> None:
        self.stream = stream
        self.width = max(width, GUTTER + 1)
        self._done: dict[int, list[Strip]] = {}

    def lines(self, view: View) -> list[Strip]:
        """All lines of the page, each `width` cells wide."""
        sign, style = ("$", _OWN) if view.kind == "exec" else ("·", _SAID)
        lines = list(self._said(sign, _heading(view), style))
        screen = view.screen
        first = screen.scrolled_total - len(screen.scrollback)
        skipped = max(len(screen.scrollback) - KEPT_LINES, 0)
        if first + skipped:
            lines += self._said("·", f"{first + skipped:,} lines before these are not shown here", _SAID)
        self._forget(first + skipped, screen.scrolled_total)
        for number, row in enumerate(islice(screen.scrollback, skipped, None), first + skipped):
            if number not in self._done:
                self._done[number] = self._wrapped(row.runs(), error=view.from_error(number))
            lines += self._done[number]
        for at in range(self._used(view)):
            lines += self._wrapped(screen.styled_row(at), error=view.from_error(screen.scrolled_total + at))
        if ending := _ending(view):
            lines += self._said("·", ending, _SAID)
        return lines

    def _forget(self, first: int, total: int) -> None:
        if len(self._done) > 2 * KEPT_LINES:
            self._done = {number: lines for number, lines in self._done.items() if first <= number < total}

    def _used(self, view: View) -> int:
        texts = view.screen.lines()
        return max((row for row, text in enumerate(texts, 1) if text), default=0)

    def _said(self, sign: str, text: str, style: RichStyle) -> Iterator[Strip]:
        room = self.width - GUTTER
        body = Strip([Segment(text, style)])
        for number, at in enumerate(range(0, max(body.cell_length, 1), room)):
            if number == _COMMAND_LINES:
                yield self._line(" ", _SAID, Strip([Segment("…", style)]))
                return
            yield self._line(sign if not number else " ", style, body.crop(at, at + room))

    def _wrapped(self, runs: tuple[Run, ...], *, error: bool) -> list[Strip]:
        length = _length(runs)
        strip = strip_of(runs, length)
        room = self.width - GUTTER
        sign, style = ("!", _ERROR) if error else (" ", DEFAULT)
        return [self._line(sign, style, strip.crop(at, at + room)) for at in range(0, max(length, 1), room)]

    def _line(self, sign: str, style: RichStyle, body: Strip) -> Strip:
        gutter = Strip([Segment(f"{sign} ", style)])
        return Strip.join([gutter, body]).adjust_cell_length(self.width, DEFAULT)


def hides(view: View) -> bool:
    """Whether text on the last lines is invisible in a terminal."""
    screen = view.screen
    return any(is_hidden(text, style) for row in range(screen.rows) for text, style in screen.styled_row(row))


def _length(runs: tuple[Run, ...]) -> int:
    """Cells up to the last one that is not blank in the default look."""
    strip = strip_of(runs, sum(len(text) for text, _ in runs) * 2)
    kept = list(strip)
    while kept and not kept[-1].text.strip() and kept[-1].style in (DEFAULT, None):
        kept.pop()
    if kept and kept[-1].style == DEFAULT:
        kept[-1] = Segment(kept[-1].text.rstrip(), DEFAULT)
    return Strip(kept).cell_length


def _heading(view: View) -> str:
    command = printable(view.command, limit=20_000)
    if view.kind == "exec":
        return command
    if view.kind == "subsystem":
        return f"subsystem {command}"
    return "shell without a terminal" if view.kind == "shell" else "nothing asked for yet"


def _ending(view: View) -> str:
    if view.denied:
        return f"◆ denied: {printable(view.denied, limit=300)}"
    told = []
    if view.binary:
        told.append(f"binary: {words.size(view.bytes_in)} in, {words.size(view.bytes_out)} out so far")
    if view.signal:
        told.append(f"✗ ended by {printable(view.signal, limit=20)}")
    elif view.status is not None:
        told.append(f"✗ exit {view.status}" if view.status else "✓ exit 0")
    elif view.closed:
        told.append("closed without an exit status")
    return ", ".join(told)
