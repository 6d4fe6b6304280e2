"""The widget that the player's panes are made of: lines drawn from state, of which only the changed ones are repainted.

It draws strips and knows nothing of recordings.
"""

from collections.abc import Iterable, Sequence

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.events import Resize
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

Piece = tuple[str, Style]
"""Text that is safe to write, and how it looks."""


class Lines(Widget):
    """A pane of `lines`: subclasses say what they are, and call `redraw` when that changes."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, markup=False)
        self._drawn: Sequence[Strip] = ()
        self._looks: dict[tuple[str, ...], Style] = {}

    def lines(self, width: int, height: int) -> Sequence[Strip]:
        """What is shown in an area of `width` by `height` cells, one strip a line."""
        raise NotImplementedError

    def redraw(self) -> None:
        """Draws again; lines that stay the same are left alone."""
        width, height = self.size
        if not width or not height:
            return
        self._looks.clear()
        lines = list(self.lines(width, height))[:height]
        lines += [self.line((), width)] * (height - len(lines))
        before, self._drawn = self._drawn, lines
        if len(before) != len(lines):
            self.refresh()
            return
        changed = [Region(0, y, width, 1) for y in range(height) if before[y] != lines[y]]
        if changed:
            self.refresh(*changed)

    def render_line(self, y: int) -> Strip:
        """One line, as it was drawn last (Textual)."""
        width = self.size.width
        if y < len(self._drawn):
            return self._drawn[y].adjust_cell_length(width, self.look())
        return Strip.blank(width, self.look())

    def on_resize(self, _event: Resize) -> None:
        """The area changed (Textual)."""
        self._drawn = ()
        self.redraw()

    def notify_style_update(self) -> None:
        """The theme changed (Textual)."""
        super().notify_style_update()
        self._looks.clear()
        self._drawn = ()
        self.redraw()

    def look(self, *names: str) -> Style:
        """The pane's own style, or that of its component classes, one over the other."""
        known = self._looks.get(names)
        if known is None:
            known = self.rich_style
            for name in names:
                known += self.get_component_rich_style(name, partial=True)
            self._looks[names] = known
        return known

    def line(self, pieces: Iterable[Piece], width: int) -> Strip:
        """A strip of just `width` cells; text that does not fit is cut and ends in `…`."""
        base = self.look()
        segments, left = [], width
        for text, style in pieces:
            cells = cell_len(text)
            if cells > left:
                text = set_cell_size(text, left - 1) + "…" if left > 0 else ""
                cells = left
            segments.append(Segment(text, base + style))
            left -= cells
            if left <= 0:
                break
        return Strip(segments).adjust_cell_length(width, base)
