"""A page of rows, with the scrolling region and the cursor saved on it; and the rows that left the top of one.

The main and the alternate screen are a page each. Nothing here knows of control functions.
"""

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .row import Row

if TYPE_CHECKING:
    from pyte.screens import Margins

MAXIMUM_SCROLLBACK = 5_000
"""Rows of scrollback."""
MAXIMUM_SCROLLBACK_WEIGHT = 1 << 20
"""Cells and marks of scrollback: what 5,000 rows of 200 cells take, and fewer that are wider."""


@dataclass(frozen=True, slots=True)
class SavedCursor:
    """What DECSC saves (VT510 reference, DECSC)."""

    row: int = 0
    column: int = 0
    pen: int = 0
    g0_charset: str = ""
    g1_charset: str = ""
    charset: int = 0
    origin: bool = False
    autowrap: bool = True


class Page:
    """The rows of one screen, from top to bottom."""

    __slots__ = ("margins", "rows", "saved_cursor")

    def __init__(self, columns: int, lines: int) -> None:
        self.rows = [Row(columns, 0) for _ in range(lines)]
        self.margins: Margins | None = None
        self.saved_cursor = SavedCursor()

    def scroll_up(self, top: int, bottom: int, count: int, pen: int) -> list[Row]:
        """Move the rows `top` to `bottom` up by `count`; the rows that left."""
        rows = self.rows
        count = min(count, bottom - top + 1)
        columns = len(rows[top])
        gone = rows[top : top + count]
        rows[bottom + 1 : bottom + 1] = [Row(columns, pen) for _ in gone]
        del rows[top : top + count]
        return gone

    def scroll_down(self, top: int, bottom: int, count: int, pen: int) -> None:
        """Move the rows `top` to `bottom` down by `count`."""
        rows = self.rows
        count = min(count, bottom - top + 1)
        columns = len(rows[top])
        del rows[bottom + 1 - count : bottom + 1]
        rows[top:top] = [Row(columns, pen) for _ in range(count)]


class Scrollback:
    """The rows that scrolled off the top, oldest first, cut to bounds. `total` counts those no longer kept as well.

    What a program clears stays, as evidence, but never comes back to the screen: `recallable` rows do.
    """

    __slots__ = ("_weight", "recallable", "rows", "total")

    def __init__(self) -> None:
        self.rows: deque[Row] = deque()
        self.total = 0
        self.recallable = 0
        self._weight = 0

    def append(self, row: Row) -> None:
        """Add the newest row; nothing changes it from now on."""
        self.rows.append(row)
        self.total += 1
        self.recallable += 1
        self._weight += _weight(row)
        while len(self.rows) > MAXIMUM_SCROLLBACK or self._weight > MAXIMUM_SCROLLBACK_WEIGHT:
            self._weight -= _weight(self.rows.popleft())

    def clear(self) -> None:
        """ED 3: a program took the rows out of its own terminal's scrollback."""
        self.recallable = 0

    def pop(self) -> Row:
        """Take the newest row back, as a screen that becomes higher does."""
        row = self.rows.pop()
        self.total -= 1
        self.recallable -= 1
        self._weight -= _weight(row)
        return row


def _weight(row: Row) -> int:
    return len(row) + row.marks
