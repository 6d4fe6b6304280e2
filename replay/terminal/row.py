"""One row of cells: the character and the pen of each. A wide character is kept in its left cell, "" in its right.

No operation leaves half of a wide character: the half that remains becomes a blank.
"""

from collections.abc import Sequence
from itertools import groupby

from .style import Style, style

MAXIMUM_MARKS = 16
"""Combining and other zero-width characters that one cell holds."""

Run = tuple[str, Style]


class Row:
    """`columns` cells, at first all with the same character and pen."""

    # A uniform row has no cells yet: three recorded bytes erase a screen of 500,000 cells, and must cost little.
    __slots__ = ("_characters", "_columns", "_fill", "_pen", "_pens", "marks")

    def __init__(self, columns: int, pen: int) -> None:
        self._columns = columns
        self._characters: list[str] = []
        self._pens: list[int] = []
        self._pen = pen
        self._fill = " "
        self.marks = 0
        """Zero-width characters that were attached since the row was last uniform."""

    def __len__(self) -> int:
        """The cells of this row."""
        return self._columns

    def __str__(self) -> str:
        if self._fill:
            return (self._fill * self._columns).rstrip()
        return "".join(self._characters).rstrip()

    def runs(self) -> tuple[Run, ...]:
        """The whole row, in runs of one style."""
        self._own_cells()
        runs = []
        at = 0
        for pen, cells in groupby(self._pens):
            end = at + sum(1 for _ in cells)
            runs.append(("".join(self._characters[at:end]), style(pen)))
            at = end
        return tuple(runs)

    def fill(self, pen: int, fill: str = " ") -> None:
        """Give all cells this character and pen."""
        self._fill = fill
        self._pen = pen
        self.marks = 0

    def put(self, at: int, cells: Sequence[str], pen: int) -> None:
        """Overwrite from `at` on; the cells fit in the row and begin and end with whole characters."""
        if self._fill:
            self._own_cells()
        characters = self._characters
        count = len(cells)
        end = at + count
        if not characters[at]:
            self._part(at, pen)
        if end < self._columns and not characters[end]:
            self._part(end, pen)
        characters[at:end] = cells
        self._pens[at:end] = [pen] * count

    def mark(self, at: int, character: str) -> bool:
        """Attach a zero-width character to the cell at or, in a wide one, around `at`. False when the cell is full."""
        self._own_cells()
        if not self._characters[at]:
            at -= 1
        if len(self._characters[at]) > MAXIMUM_MARKS:
            return False
        self._characters[at] += character
        self.marks += 1
        return True

    def erase(self, start: int, end: int, pen: int) -> None:
        """Blank the cells from `start` up to, not including, `end`."""
        end = min(end, self._columns)
        if start == 0 and end == self._columns:
            self.fill(pen)
        elif start < end:
            self.put(start, " " * (end - start), pen)

    def insert(self, at: int, count: int, pen: int) -> None:
        """Insert blanks at `at`; what is pushed over the right edge is lost."""
        self._own_cells()
        kept = max(at, self._columns - count)
        count = self._columns - kept
        self._part(at, pen)
        self._part(kept, pen)
        self._characters[at:] = [" "] * count + self._characters[at:kept]
        self._pens[at:] = [pen] * count + self._pens[at:kept]

    def delete(self, at: int, count: int, pen: int) -> None:
        """Delete cells from `at` on; blanks come in from the right edge."""
        self._own_cells()
        kept = min(at + count, self._columns)
        self._part(at, pen)
        self._part(kept, pen)
        self._characters[at:] = self._characters[kept:] + [" "] * (kept - at)
        self._pens[at:] = self._pens[kept:] + [pen] * (kept - at)

    def resize(self, columns: int) -> None:
        """Cut, or pad with blanks of the default style."""
        self._own_cells()
        self._part(columns, 0)
        missing = max(columns - self._columns, 0)
        self._characters[columns:] = [" "] * missing
        self._pens[columns:] = [0] * missing
        self._columns = columns

    def _own_cells(self) -> None:
        if self._fill:
            self._characters = [self._fill] * self._columns
            self._pens = [self._pen] * self._columns
            self._fill = ""

    def _part(self, at: int, pen: int) -> None:
        """Make `at` a boundary between characters: a wide one across it becomes two blanks."""
        if at < self._columns and not self._characters[at]:
            self._characters[at - 1 : at + 1] = "  "
            self._pens[at - 1 : at + 1] = [pen] * 2
