"""The whole terminal: what a canvas has, with cursor movement, modes, the alternate screen and resizing.

It answers no report and rings no bell: what a program asks of the terminal gets no reply from a recording.
"""

from dataclasses import replace

from pyte import modes
from pyte.screens import Margins

from .canvas import Canvas
from .characters import SPECIAL_GRAPHICS, UNITED_KINGDOM, US_ASCII, legible
from .page import Page, SavedCursor
from .row import Row

MAXIMUM_TITLE = 1_024
"""Characters of a title."""

_CHARSETS = {"0": SPECIAL_GRAPHICS, "A": UNITED_KINGDOM, "B": US_ASCII}
_ANSI_MODES = frozenset({modes.IRM, modes.LNM})


class Emulator(Canvas):
    """A terminal of `columns` by `lines`."""

    @property
    def alternate(self) -> bool:
        """Whether the alternate screen is shown."""
        return self.page is not self.main

    # Cursor movement. CUF, CUB, CNL, CPL, CHA, BS and CR are inherited.

    def cursor_up(self, count: int | None = None) -> None:
        self.ensure_hbounds()
        top = self.region.top
        self.cursor.y = max(self.cursor.y - (count or 1), top if self.cursor.y >= top else 0)

    def cursor_down(self, count: int | None = None) -> None:
        self.ensure_hbounds()
        bottom = self.region.bottom
        self.cursor.y = min(self.cursor.y + (count or 1), bottom if self.cursor.y <= bottom else self.lines - 1)

    def cursor_position(self, line: int | None = None, column: int | None = None) -> None:
        self.cursor.x = min(column or 1, self.columns) - 1
        self.cursor_to_line(line)

    def cursor_to_line(self, line: int | None = None) -> None:
        cursor = self.cursor
        if cursor.x == self.columns:
            cursor.x -= 1
        if modes.DECOM in self.mode:
            top, bottom = self.region
            cursor.y = min(top + (line or 1) - 1, bottom)
        else:
            cursor.y = min(line or 1, self.lines) - 1

    def cursor_down_unbounded(self, count: int) -> None:
        """VPR: unlike CUD it does not stop at the scrolling region."""
        self.ensure_hbounds()
        self.cursor.y += count or 1
        self.ensure_vbounds()

    def tab(self) -> None:
        if self.cursor.x == self.columns:
            return
        column = self.cursor.x + 1
        while column < self.columns and column not in self.tabstops:
            column += 1
        self.cursor.x = min(column, self.columns - 1)

    def tab_back(self) -> None:
        """Move to the tab stop before the cursor; like HT, not while a wrap is due."""
        if self.cursor.x == self.columns:
            return
        column = self.cursor.x - 1
        while column > 0 and column not in self.tabstops:
            column -= 1
        self.cursor.x = max(column, 0)

    def tabs(self, count: int) -> None:
        """CHT."""
        for _ in range(min(count or 1, self.columns)):
            self.tab()

    def tabs_back(self, count: int) -> None:
        """CBT."""
        for _ in range(min(count or 1, self.columns)):
            self.tab_back()

    def save_cursor(self) -> None:
        self.page.saved_cursor = SavedCursor(
            row=self.cursor.y,
            column=self.cursor.x,
            pen=self.pen,
            g0_charset=self.g0_charset,
            g1_charset=self.g1_charset,
            charset=self.charset,
            origin=modes.DECOM in self.mode,
            autowrap=modes.DECAWM in self.mode,
        )

    def restore_cursor(self) -> None:
        saved = self.page.saved_cursor
        self.cursor.y, self.cursor.x = saved.row, saved.column
        self.pen = saved.pen
        self.g0_charset, self.g1_charset, self.charset = saved.g0_charset, saved.g1_charset, saved.charset
        self._switch(modes.DECOM, saved.origin)
        self._switch(modes.DECAWM, saved.autowrap)
        self.ensure_hbounds()
        self.ensure_vbounds()

    def set_margins(self, top: int | None = None, bottom: int | None = None) -> None:
        first = top or 1
        last = min(bottom or self.lines, self.lines)
        if first < last:
            self.margins = Margins(first - 1, last - 1)
            self.cursor_position()

    def define_charset(self, code: str, mode: str) -> None:
        charset = _CHARSETS.get(code)
        if charset is not None and mode == "(":
            self.g0_charset = charset
        elif charset is not None and mode == ")":
            self.g1_charset = charset

    def set_title(self, param: str) -> None:
        self.title = legible(param[:MAXIMUM_TITLE])

    # Modes

    def ansi_mode(self, mode: int, on: bool) -> None:
        """SM and RM."""
        if mode in _ANSI_MODES:
            self._switch(mode, on)

    def private_mode(self, mode: int, on: bool) -> None:
        """DECSET and DECRST. Modes that do not change the screen are ignored: keys, mouse, paste, 2026, colours."""
        match mode:
            case 6:
                self._switch(modes.DECOM, on)
                self.cursor_position()
            case 7:
                self._switch(modes.DECAWM, on)
            case 25:
                self._switch(modes.DECTCEM, on)
                self.cursor.hidden = not on
            case 47 | 1047:
                self._show_alternate(on)
            case 1048 if on:
                self.save_cursor()
            case 1048:
                self.restore_cursor()
            case 1049 if on:
                self.save_cursor()
                self._show_alternate(on)
            case 1049:
                self._show_alternate(on)
                self.restore_cursor()

    def _switch(self, mode: int, on: bool) -> None:
        if on:
            self.mode.add(mode)
        else:
            self.mode.discard(mode)

    def _show_alternate(self, on: bool) -> None:
        if on == self.alternate:
            return
        self.page.margins = self.margins
        if on:
            self.page = Page(self.columns, self.lines)
            for row in self.page.rows:
                row.fill(self.blank)
        else:
            self.page = self.main
        self.margins = self.page.margins

    # Size

    def resize(self, lines: int | None = None, columns: int | None = None) -> None:
        """Rows are cut or padded at the right and never wrapped anew.

        A lower screen loses the rows below the cursor, then rows off its top; a higher one whose cursor stands in the
        last row takes rows back from the scrollback.
        """
        lines, columns = lines or self.lines, columns or self.columns
        self.tabstops.update(range(-(-self.columns // 8) * 8, columns, 8))
        shown = self._fit(self.page, lines, self.cursor.y)
        if self.alternate:
            # The cursor that returns to the main screen is the one that was saved there.
            self._fit(self.main, lines, self.main.saved_cursor.row)
        for page in (self.main, self.page):
            page.margins = None
            for row in page.rows:
                row.resize(columns)
        self.margins = None
        self.lines, self.columns = lines, columns
        self.cursor.y += shown
        self.ensure_hbounds()
        self.ensure_vbounds()

    def _fit(self, page: Page, lines: int, cursor: int) -> int:
        """Give a page this number of rows; how far its cursor moved down."""
        rows = page.rows
        before = len(rows)
        del rows[max(lines, cursor + 1) :]
        moved = lines - len(rows) if len(rows) > lines else 0
        for row in rows[:-lines]:
            if page is self.main:
                self.scrollback.append(row)
        del rows[:-lines]
        if page is self.main and cursor == before - 1:
            while len(rows) < lines and self.scrollback.rows and self.scrollback.recallable:
                rows.insert(0, self.scrollback.pop())
                moved += 1
        rows += [Row(self.columns, 0) for _ in range(lines - len(rows))]
        saved = page.saved_cursor
        page.saved_cursor = replace(saved, row=max(saved.row + moved, 0))
        return moved
