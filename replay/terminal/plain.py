"""Recorded output as readable text, for transcripts of commands that ran without a screen to look at.

What a progress bar overwrote is gone, escape sequences are gone, and every other printable character is kept.
"""

import re
from collections.abc import Sequence

from .characters import NARROW, RUNS, SPECIAL_GRAPHICS, US_ASCII, WIDE, glyph
from .parser import Parser, parameters
from .row import MAXIMUM_MARKS

MAXIMUM_REACH = 500
"""Rows above the last one that cursor movement comes to."""
MAXIMUM_STRING = 1 << 16
"""Characters after which an unterminated control string is text."""
MAXIMUM_PADDING = 1_000
"""Blanks put at once before text that stands to the right of its row's end."""

_CELL_OR_CONTROL = re.compile(r"[^\x00-\x1f\x7f]+|[\x00-\x1f\x7f]")


def plain_text(data: bytes, columns: int = 0) -> str:
    """The text of output, as a terminal of unlimited size shows it; rows wrap at `columns` if that is not 0.

    Lines end with a line feed, without blanks before it; a tab is kept; wrapped rows are joined again. Erasing what
    is above, and moving to an absolute row, begin a new line, so that a cleared screen stays readable. An unterminated
    control string is shown as text. U+FFFD stands for invalid UTF-8, C1, and format characters that hide text.
    """
    transcript = _Transcript(columns, padding=len(data) + (1 << 16))
    parser = Parser(transcript, maximum_string=MAXIMUM_STRING, maximum_payload=MAXIMUM_STRING)
    parser.feed(data)
    parser.close()
    return transcript.text()


class _Line:
    __slots__ = ("cells", "wrapped")

    def __init__(self) -> None:
        self.cells: list[str] = []
        self.wrapped = False


class _Transcript:
    """The parser's actions on an unlimited page. A wide character is kept as in `row.Row`."""

    def __init__(self, columns: int, padding: int) -> None:
        self._columns = max(columns, 2) if columns > 0 else 0
        # Blanks that no byte of the input stands for: bounded, else ten bytes would make a thousand characters.
        self._padding = padding
        self._finished: list[str] = []
        self._lines = [_Line()]
        self._y = self._x = 0
        self._charsets = [US_ASCII, US_ASCII]
        self._charset = 0
        self._repeatable = ""

    def text(self) -> str:
        """Everything so far."""
        self._finish(len(self._lines))
        return "".join(self._finished).rstrip(" ")

    def draw(self, data: str) -> None:
        charset = self._charsets[self._charset]
        if charset:
            data = data.translate(charset)
        self._repeatable = data[-1]
        if data.isascii():
            self._put(data, 1)
            return
        for run in RUNS.finditer(data):
            text, width = run[0], 2 if run.lastindex == WIDE else 1
            if run.lastindex not in (NARROW, WIDE):
                text, width = glyph(text)
            if width == 0:
                self._mark(text)
            elif width == 1:
                self._put(text, 1)
            else:
                cells = [""] * (2 * len(text))
                cells[::2] = text
                self._put(cells, 2)

    def execute(self, control: str) -> None:
        match control:
            case "\n" | "\v" | "\f":
                self._new_line()
            case "\r":
                self._x = 0
            case "\b":
                self._x = max(self._x - 1, 0)
            case "\t":
                self._tab()
            case "\x0e" | "\x0f":
                self._charset = int(control == "\x0e")

    def escape(self, intermediates: str, final: str) -> None:
        if intermediates in ("(", ")"):
            self._charsets[intermediates == ")"] = SPECIAL_GRAPHICS if final == "0" else US_ASCII
        elif not intermediates and final in "DE":
            self._new_line()

    def control_sequence(self, prefix: str, raw: str, intermediates: str, final: str) -> None:
        if prefix or intermediates or final == "m":
            return
        value = parameters(raw)[0]
        count = value or 1
        match final:
            case "A" | "F":
                self._y = max(self._y - count, len(self._lines) - MAXIMUM_REACH, 0)
            case "B" | "E":
                self._y = min(self._y + count, len(self._lines) - 1)
            case "C" | "a":
                self._x += count
            case "D":
                self._x = max(self._x - count, 0)
            case "G" | "`":
                self._x = count - 1
            case "H" | "f":
                self._begin_below()
            case "J":
                self._erase_in_display(value)
            case "K":
                self._erase_in_line(value)
            case "X":
                cells = self._lines[self._y].cells
                self._blank(self._x, min(self._x + count, len(cells)))
            case "b" if self._repeatable:
                copies = min(count, MAXIMUM_PADDING, self._padding)
                self._padding -= copies
                self.draw(self._repeatable * max(copies, 1))
        if final in "EF":
            self._x = 0

    def operating_system_command(self, payload: str) -> None:
        """Titles and links are not text."""

    def string_abandoned(self, payload: str) -> None:
        for piece in _CELL_OR_CONTROL.findall(payload):
            if piece >= " " and piece != "\x7f":
                self.draw(piece)
            else:
                self.execute(piece)

    def _put(self, text: Sequence[str], width: int) -> None:
        if not self._columns:
            self._write(text)
            return
        at = 0
        while at < len(text):
            room = (self._columns - self._x) // width * width
            if room > 0:
                self._write(text[at : at + room])
                at += room
            else:
                self._lines[self._y].wrapped = True
                self._new_line()

    def _write(self, text: Sequence[str]) -> None:
        cells = self._lines[self._y].cells
        if self._x > len(cells):
            missing = min(self._x - len(cells), MAXIMUM_PADDING, self._padding)
            self._padding -= missing
            cells.extend(" " * missing)
            self._x = len(cells)
        end = self._x + len(text)
        self._part(cells, self._x)
        self._part(cells, end)
        cells[self._x : end] = text
        self._x = end

    def _mark(self, character: str) -> None:
        cells = self._lines[self._y].cells
        at = min(self._x, len(cells)) - 1
        if at < 0:
            self._write([" "])
            at = 0
        if not cells[at]:
            at -= 1
        if len(cells[at]) <= MAXIMUM_MARKS:
            cells[at] += character

    def _tab(self) -> None:
        length = len(self._lines[self._y].cells)
        if self._x >= length:
            self._put("\t", 1)
        else:
            self._x = min((self._x // 8 + 1) * 8, length)

    def _new_line(self) -> None:
        self._x = 0
        self._y += 1
        if self._y == len(self._lines):
            self._lines.append(_Line())
            if self._y == 2 * MAXIMUM_REACH:
                self._finish(MAXIMUM_REACH)

    def _begin_below(self) -> None:
        self._y = len(self._lines) - 1
        if self._lines[self._y].cells:
            self._new_line()
        self._x = 0

    def _erase_in_display(self, how: int) -> None:
        if how != 0:
            self._begin_below()
            return
        self._erase_in_line(0)
        del self._lines[self._y + 1 :]

    def _erase_in_line(self, how: int) -> None:
        cells = self._lines[self._y].cells
        if how == 0:
            self._part(cells, self._x)
            del cells[self._x :]
        elif how == 2:
            cells.clear()
        elif how == 1 and self._x < MAXIMUM_PADDING:
            # Further out it would cost more than the bytes that asked for it, and no progress bar is that long.
            self._blank(0, min(self._x + 1, len(cells)))

    def _blank(self, start: int, end: int) -> None:
        cells = self._lines[self._y].cells
        end = min(end, start + MAXIMUM_PADDING)
        if start < end:
            self._part(cells, start)
            self._part(cells, end)
            cells[start:end] = " " * (end - start)

    def _part(self, cells: list[str], at: int) -> None:
        if at < len(cells) and not cells[at]:
            cells[at - 1] = cells[at] = " "

    def _finish(self, count: int) -> None:
        """Turn the first lines, which nothing can reach any more, into text."""
        last = len(self._lines)
        for number, line in enumerate(self._lines[:count], start=1):
            text = "".join(line.cells)
            if line.wrapped:
                self._finished.append(text)
            else:
                self._finished.append(text.rstrip(" ") + ("\n" if number < last else ""))
        del self._lines[:count]
        self._y -= count
