"""Printing, scrolling, editing and erasing: `pyte.Screen`, on pages of our own rows.

It knows nothing of bytes (parser.py), of the sequence that calls a function (sequences.py) or of a second page.
"""

from collections.abc import Sequence

import pyte
from pyte import modes
from pyte.screens import Cursor, Margins

from .characters import NARROW, REPLACEMENT, RUNS, US_ASCII, WIDE, glyph
from .page import Page, SavedCursor, Scrollback
from .row import Row
from .style import BACKGROUND

MAXIMUM_REPEAT = 1_000
"""Copies that one REP prints: programs ask for no more than a line of them."""


class Canvas(pyte.Screen):
    """A screen of `columns` by `lines`. The inherited `buffer`, `display` and `dirty` are not used: see `page`.

    A cursor whose `x` is `columns` has filled the last column, and wraps with the next graphic character.
    """

    def __init__(self, columns: int, lines: int) -> None:
        self.scrollback = Scrollback()
        self.lost_marks = 0
        super().__init__(columns, lines)

    def reset(self) -> None:
        """RIS. The scrollback stays, as evidence."""
        self.scrollback.clear()
        self.main = Page(self.columns, self.lines)
        self.page = self.main
        self.cursor = Cursor(0, 0)
        self.tabstops = set(range(8, self.columns, 8))
        self.title = self.icon_name = ""
        self.soft_reset()

    def soft_reset(self) -> None:
        """DECSTR."""
        self.mode = {modes.DECAWM, modes.DECTCEM}
        self.margins = None
        self.cursor.hidden = False
        self.pen = 0
        self.g0_charset = self.g1_charset = US_ASCII
        self.charset = 0
        self.page.saved_cursor = SavedCursor()
        self.repeatable = ""

    @property
    def row(self) -> Row:
        """The row of the cursor."""
        return self.page.rows[self.cursor.y]

    @property
    def region(self) -> Margins:
        """The scrolling region, the whole screen unless DECSTBM has set one."""
        return self.margins or Margins(0, self.lines - 1)

    @property
    def blank(self) -> int:
        """The pen of erased cells: the background of the current one."""
        return self.pen & BACKGROUND

    # Printing

    def draw(self, data: str) -> None:
        charset = self.g1_charset if self.charset else self.g0_charset
        if charset:
            data = data.translate(charset)
        if data.isascii():
            self._print(data, 1)
            self.repeatable = data[-1]
            return
        for run in RUNS.finditer(data):
            text = run[0]
            if run.lastindex == NARROW:
                self._print(text, 1)
            elif run.lastindex == WIDE:
                self._print_wide(text)
            else:
                character, width = glyph(text)
                if width == 0:
                    self._mark(character)
                    continue
                if width == 1:
                    self._print(character, 1)
                else:
                    self._print_wide(character)
            self.repeatable = text[-1]

    def repeat(self, character: str, count: int) -> None:
        """REP: print the graphic character just before the sequence, if there was one, again."""
        if character:
            self.draw(character * min(count or 1, MAXIMUM_REPEAT))
            self.repeatable = ""

    def _print_wide(self, text: str) -> None:
        if self.columns == 1:
            self._print(REPLACEMENT * len(text), 1)
            return
        cells = [""] * (2 * len(text))
        cells[::2] = text
        self._print(cells, 2)

    def _print(self, cells: Sequence[str], width: int) -> None:
        """Print characters that all take `width` cells."""
        cursor, columns = self.cursor, self.columns
        insert = modes.IRM in self.mode
        end = cursor.x + len(cells)
        if end <= columns and not insert:
            self.page.rows[cursor.y].put(cursor.x, cells, self.pen)
            cursor.x = end
            return
        autowrap = modes.DECAWM in self.mode
        at, total = 0, len(cells)
        while at < total:
            if cursor.x + width > columns:
                if autowrap:
                    # A wide character that does not fit leaves a blank behind.
                    self.row.erase(cursor.x, columns, self.pen)
                    cursor.x = 0
                    self._next_row()
                else:
                    cursor.x = columns - width
            room = (columns - cursor.x) // width * width
            if autowrap or total - at <= room:
                piece = cells[at : at + room]
                at += room
            else:
                # Without autowrap all further characters overwrite the last one.
                piece = cells[at : at + room - width]
                at = total - width
            row = self.page.rows[cursor.y]
            if insert:
                row.insert(cursor.x, len(piece), self.blank)
            row.put(cursor.x, piece, self.pen)
            cursor.x += len(piece)

    def _mark(self, character: str) -> None:
        # With nothing before it on the row, a mark goes to the first cell: it is not carried to the row above.
        if not self.row.mark(max(self.cursor.x - 1, 0), character):
            self.lost_marks += 1
        elif self.repeatable:
            self.repeatable += character

    # Scrolling

    def _next_row(self) -> None:
        cursor, margins = self.cursor, self.margins
        if cursor.y != (margins.bottom if margins else self.lines - 1):
            cursor.y = min(cursor.y + 1, self.lines - 1)
            return
        rows = self.page.rows
        top = margins.top if margins else 0
        gone = rows.pop(top)
        rows.insert(cursor.y, Row(self.columns, self.pen & BACKGROUND))
        if top == 0 and self.page is self.main:
            self.scrollback.append(gone)

    def _scroll_up(self, top: int, bottom: int, count: int) -> None:
        gone = self.page.scroll_up(top, bottom, count, self.blank)
        if top == 0 and self.page is self.main:
            for row in gone:
                self.scrollback.append(row)

    def scroll_up(self, count: int) -> None:
        """SU."""
        self._scroll_up(*self.region, count or 1)

    def scroll_down(self, count: int) -> None:
        """SD. Unlike the other functions it brings in rows of the default style, as in xterm.js."""
        self.page.scroll_down(*self.region, count or 1, 0)

    def index(self) -> None:
        self._next_row()
        if self.cursor.x == self.columns:
            self.cursor.x -= 1

    def linefeed(self) -> None:
        self.index()
        if modes.LNM in self.mode:
            self.carriage_return()

    def reverse_index(self) -> None:
        self.ensure_hbounds()
        if self.cursor.y == self.region.top:
            self.page.scroll_down(*self.region, 1, self.blank)
        elif self.cursor.y:
            self.cursor.y -= 1

    def insert_lines(self, count: int | None = None) -> None:
        top, bottom = self.region
        if top <= self.cursor.y <= bottom:
            self.page.scroll_down(self.cursor.y, bottom, count or 1, self.blank)
            self.carriage_return()

    def delete_lines(self, count: int | None = None) -> None:
        top, bottom = self.region
        if top <= self.cursor.y <= bottom:
            self.page.scroll_up(self.cursor.y, bottom, count or 1, self.blank)
            self.carriage_return()

    # Editing and erasing

    def insert_characters(self, count: int | None = None) -> None:
        self.ensure_hbounds()
        self.row.insert(self.cursor.x, count or 1, self.blank)

    def delete_characters(self, count: int | None = None) -> None:
        self.ensure_hbounds()
        self.row.delete(self.cursor.x, count or 1, self.blank)

    def erase_characters(self, count: int | None = None) -> None:
        self.ensure_hbounds()
        self.row.erase(self.cursor.x, self.cursor.x + (count or 1), self.blank)

    def erase_in_line(self, how: int = 0, private: bool = False) -> None:
        if how == 0:
            self.row.erase(self.cursor.x, self.columns, self.blank)
        elif how == 1:
            self.row.erase(0, self.cursor.x + 1, self.blank)
        elif how == 2:
            self.row.fill(self.blank)

    def erase_in_display(self, how: int = 0, *_arguments: object, **_options: object) -> None:
        if how in (0, 1):
            self.erase_in_line(how)
        elif how == 3:
            self.scrollback.clear()
        rows = self.page.rows
        erased = {0: rows[self.cursor.y + 1 :], 1: rows[: self.cursor.y], 2: rows}.get(how, [])
        for row in erased:
            row.fill(self.blank)

    def alignment_display(self) -> None:
        for row in self.page.rows:
            row.fill(self.pen, "E")
        self.cursor_position()
