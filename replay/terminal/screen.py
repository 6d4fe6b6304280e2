"""`Screen`: recorded bytes in, the cells that a person saw out.

Never raises on any bytes and never grows without bound; nothing that it returns can act on the terminal it is shown on.
"""

from collections.abc import Sequence

from .emulator import Emulator
from .parser import Parser
from .row import Row, Run
from .sequences import Sequences

MAXIMUM_COLUMNS = 1_000
MAXIMUM_ROWS = 500


class Screen:
    """A terminal of 1-1,000 columns and 1-500 rows; a size outside of that is clamped."""

    def __init__(self, columns: int, rows: int) -> None:
        self._emulator = Emulator(_clamp(columns, MAXIMUM_COLUMNS), _clamp(rows, MAXIMUM_ROWS))
        self._parser = Parser(Sequences(self._emulator))

    def feed(self, data: bytes) -> None:
        """Take the next bytes of output, cut anywhere."""
        self._parser.feed(data)

    def resize(self, columns: int, rows: int) -> None:
        """Change the size. Rows are cut or padded, never wrapped anew; the cursor stays on the screen."""
        self._emulator.resize(_clamp(rows, MAXIMUM_ROWS), _clamp(columns, MAXIMUM_COLUMNS))

    def lines(self) -> list[str]:
        """The text of each row, without blanks at its end.

        U+FFFD stands for invalid UTF-8, for C1 and for format characters that hide or reorder text. Concealed text and
        text in the colour of its background are there.
        """
        return [str(row) for row in self._emulator.page.rows]

    def styled_row(self, row: int) -> tuple[Run, ...]:
        """A row, 0-based from the top, in runs of one style that fill its columns. A wide character stands once."""
        return self._emulator.page.rows[row].runs()

    @property
    def columns(self) -> int:
        """Cells of a row."""
        return self._emulator.columns

    @property
    def rows(self) -> int:
        """Rows of the screen."""
        return self._emulator.lines

    @property
    def cursor(self) -> tuple[int, int]:
        """Row and column, 0-based. A cursor that has filled the last column stands on it."""
        cursor = self._emulator.cursor
        return cursor.y, min(cursor.x, self._emulator.columns - 1)

    @property
    def cursor_hidden(self) -> bool:
        """Whether DECTCEM hid the cursor."""
        return self._emulator.cursor.hidden

    @property
    def alternate(self) -> bool:
        """Whether the alternate screen is shown."""
        return self._emulator.alternate

    @property
    def title(self) -> str:
        """The last title that OSC 0 or 2 set, of at most 1,024 characters."""
        return self._emulator.title

    @property
    def scrollback(self) -> Sequence[Row]:
        """The rows that scrolled off the top of the main screen, oldest first: at most 5,000, or 1 Mi cells.

        `str` of a row is its text, its `runs()` are as those of `styled_row`, of the width that the screen then had.
        Neither ED 3 nor RIS empties it.
        """
        return self._emulator.scrollback.rows

    @property
    def scrolled_total(self) -> int:
        """The rows that left the top of the main screen, with those that `scrollback` no longer holds.

        A resize that takes rows back lowers it, so `scrolled_total + row` numbers a line of the main screen for good.
        """
        return self._emulator.scrollback.total

    @property
    def lost_marks(self) -> int:
        """Zero-width characters that did not fit in their cell, which holds 16."""
        return self._emulator.lost_marks

    def history_lines(self) -> list[str]:
        """The text of each row of `scrollback`."""
        return [str(row) for row in self._emulator.scrollback.rows]


def _clamp(size: int, maximum: int) -> int:
    return min(max(size, 1), maximum)
