"""A terminal's screen as strips at its recorded size: rows, cursor, and whether something on it is hidden."""

from typing import NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from replay.terminal import Screen
from replay.tui.cells import is_hidden, strip_of


class TerminalPage(NamedTuple):
    """The rows of a screen, each `columns` cells wide; `hides` says that a person at the terminal saw less."""

    rows: list[Strip]
    columns: int
    hides: bool


def terminal_page(screen: Screen) -> TerminalPage:
    """Draws all of a screen, with its cursor unless a program hid it."""
    columns = screen.columns
    runs = [screen.styled_row(row) for row in range(screen.rows)]
    rows = [strip_of(row, columns) for row in runs]
    if not screen.cursor_hidden:
        row, column = screen.cursor
        rows[row] = _with_cursor(rows[row], column)
    return TerminalPage(rows, columns, any(is_hidden(text, style) for row in runs for text, style in row))


def _with_cursor(strip: Strip, column: int) -> Strip:
    if column and _is_wide(strip.crop(column - 1, column + 1)):
        column -= 1
    end = column + (2 if _is_wide(strip.crop(column, column + 2)) else 1)
    cell = strip.crop(column, end)
    turned = [
        Segment(segment.text, (segment.style or Style()) + Style(reverse=not (segment.style and segment.style.reverse)))
        for segment in cell
    ]
    return Strip.join([strip.crop(0, column), Strip(turned), strip.crop(end, strip.cell_length)])


def _is_wide(strip: Strip) -> bool:
    return len(strip.text) == 1 and strip.cell_length == 2
