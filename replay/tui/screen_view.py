"""The screen of one stream at the moment shown, at the size at which it was recorded; cropped and said so in less room.

Draws a `View` that it is given; what was recorded is cells here and cannot act.
"""

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual.events import MouseScrollDown, MouseScrollLeft, MouseScrollRight, MouseScrollUp, Resize
from textual.strip import Strip

from recorder.safe import printable
from replay.timeline import View
from replay.tui.lines import Lines, Piece
from replay.tui.plain_page import PlainPage, hides
from replay.tui.terminal_page import TerminalPage, terminal_page


class ScreenView(Lines):
    """A caption, and below it the screen in a border, or the text of a stream without a terminal."""

    COMPONENT_CLASSES = {"screen-view--dim", "screen-view--warn", "screen-view--border"}  # noqa: RUF012
    DEFAULT_CSS = """
    ScreenView {
        width: 1fr; height: 1fr; background: $background; color: $foreground;
        .screen-view--dim { color: $muted; }
        .screen-view--warn { color: $warning; text-style: bold; }
        .screen-view--border { color: $primary; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._view: View | None = None
        self._busy = False
        self._pinned = False
        self._plain = PlainPage(0, 0)
        self._top = 0
        self._left = 0
        self._scrolled = False

    def show(self, view: View | None, *, pinned: bool, busy: bool) -> None:
        """Draws a view; `busy` says that it is still on its way to the moment asked for."""
        if view is None or self._view is None or view.stream != self._view.stream:
            self.release()
        self._view, self._pinned, self._busy = view, pinned, busy
        self.redraw()

    def release(self) -> None:
        """Follows the cursor, or the end of the text, again."""
        self._scrolled = False

    def scroll_by(self, columns: int, rows: int) -> None:
        """Moves over a screen that is larger than the room for it; the cursor is not followed any more."""
        self._scrolled = True
        self._top += rows
        self._left += columns
        self.redraw()

    def lines(self, width: int, height: int) -> Sequence[Strip]:
        view = self._view
        if view is None:
            return [self.line([("nothing was recorded in this session", self.look("screen-view--dim"))], width)]
        caption = height > 3
        room = height - caption
        if view.terminal:
            page = terminal_page(view.screen)
            body = self._terminal(page, view, width, room)
            hidden = page.hides
            left_out = self._left_out(len(page.rows), room, page.columns, width)
        else:
            page_lines = self._plain_lines(view, width)
            self._follow(None, len(page_lines), room)
            body = page_lines[self._top : self._top + room]
            hidden = hides(view)
            left_out = self._left_out(len(page_lines), room, 0, width)
        if not caption:
            return body
        return [self._caption(view, width, left_out, hidden=hidden), *body]

    # The caption

    def _caption(self, view: View, width: int, left_out: str, *, hidden: bool) -> Strip:
        dim, warn = self.look("screen-view--dim"), self.look("screen-view--warn")
        pieces: list[Piece] = [(f"channel {view.stream}", dim)]
        if self._pinned:
            pieces.append((" held", warn))
        if view.terminal:
            screen = view.screen
            pieces.append((f" · {screen.columns}×{screen.rows} {printable(view.term, limit=24)}", dim))
        else:
            pieces.append((" · no terminal", dim))
        if view.terminal and view.kind:
            pieces.append((f" · {view.kind} {printable(view.command, limit=200)}", dim))
        right: list[Piece] = []
        if self._busy:
            right.append((" seeking …", warn))
        if hidden:
            right.append((" ▲ hidden text underlined", warn))
        if view.terminal and (view.status or view.signal):
            right.append((f" ✗ {printable(view.signal, limit=12) or f'exit {view.status}'}", warn))
        if left_out:
            right.append((f" {left_out}", warn))
        taken = min(sum(len(text) for text, _ in right), width)
        return Strip.join([self.line(pieces, width - taken), self.line(right, taken)])

    def _left_out(self, rows: int, height: int, columns: int, width: int) -> str:
        cut = (
            ("↑", self._top),
            ("↓", rows - height - self._top),
            ("←", self._left if columns else 0),
            ("→", columns - width - self._left),
        )
        told = " ".join(f"{sign}{count}" for sign, count in cut if count > 0)
        return f"cropped {told}" if told and columns else told

    # The screen

    def _terminal(self, page: TerminalPage, view: View, width: int, height: int) -> list[Strip]:
        rows, columns = len(page.rows), page.columns
        cursor = None if view.screen.cursor_hidden else view.screen.cursor
        self._follow(cursor, rows, height)
        self._follow_column(cursor, columns, width)
        sides = width >= columns + 2
        shown = page.rows[self._top : self._top + height]
        if not sides:
            shown = [row.crop(self._left, self._left + width) for row in shown]
        border = self.look("screen-view--border")
        box = shown
        if sides:
            edge = Strip([Segment("│", border)])
            box = [Strip.join([edge, row, edge]) for row in shown]
        if height >= rows + 2:
            corners = ("╭", "╮", "╰", "╯") if sides else ("", "", "", "")
            line = _top_line(printable(view.screen.title), columns)
            top = Strip([Segment(f"{corners[0]}{line}{corners[1]}", border)])
            bottom = Strip([Segment(corners[2] + "─" * columns + corners[3], border)])
            box = [top, *box, bottom]
        return self._centred(box, width, height)

    def _centred(self, box: list[Strip], width: int, height: int) -> list[Strip]:
        taken = box[0].cell_length if box else 0
        margin = self.line((), max(width - taken, 0) // 2)
        above = [self.line((), width)] * (max(height - len(box), 0) // 2)
        return [*above, *(Strip.join([margin, row]) if margin.cell_length else row for row in box)]

    def _plain_lines(self, view: View, width: int) -> list[Strip]:
        if (self._plain.stream, self._plain.width) != (view.stream, width):
            self._plain = PlainPage(view.stream, width)
        return self._plain.lines(view)

    def _follow(self, cursor: tuple[int, int] | None, rows: int, height: int) -> None:
        """Keeps the cursor's row in sight; without a terminal, the last row."""
        most = max(rows - height, 0)
        if not self._scrolled:
            if self._view is not None and not self._view.terminal:
                self._top = most
            elif cursor is not None:
                self._top = min(max(self._top, cursor[0] - height + 1), cursor[0])
        self._top = min(max(self._top, 0), most)

    def _follow_column(self, cursor: tuple[int, int] | None, columns: int, width: int) -> None:
        if not self._scrolled and cursor is not None:
            self._left = 0 if cursor[1] < width else cursor[1] - width + 1
        self._left = min(max(self._left, 0), max(columns - width, 0))

    def on_resize(self, event: Resize) -> None:
        """The room changed (Textual)."""
        self.release()
        super().on_resize(event)

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """The wheel turned (Textual)."""
        event.stop()
        self.scroll_by(8 if event.shift else 0, 0 if event.shift else 3)

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """The wheel turned (Textual)."""
        event.stop()
        self.scroll_by(-8 if event.shift else 0, 0 if event.shift else -3)

    def on_mouse_scroll_left(self, event: MouseScrollLeft) -> None:
        """The wheel was tilted (Textual)."""
        event.stop()
        self.scroll_by(-8, 0)

    def on_mouse_scroll_right(self, event: MouseScrollRight) -> None:
        """The wheel was tilted (Textual)."""
        event.stop()
        self.scroll_by(8, 0)


def _top_line(title: str, columns: int) -> str:
    """The upper edge with the title that the recorded program gave its window."""
    room = columns - 6
    if not title or room < 8:
        return "─" * columns
    title = title if cell_len(title) <= room else set_cell_size(title, room - 1) + "…"
    return f"── {title} " + "─" * (columns - 4 - cell_len(title))
