"""The whole session on a few lines: what crossed when, marks, folded idle time, and where the player is.

Says where a person clicked or dragged (`TimelineBar.Seek`); moves nothing itself.
"""

from collections.abc import Sequence

from textual import events
from textual.message import Message
from textual.strip import Strip

from replay.timeline import Activity, Folding, MarkKind, Timeline
from replay.tui import words
from replay.tui.lines import Lines, Piece

_LEVELS = " ▁▂▃▄▅▆▇█"
_LABEL = 5
# The more important comes first: of several marks in one column that one is shown.
_SIGNS = {
    MarkKind.DENIED: ("◆", "denied"),
    MarkKind.ERROR: ("✗", "error"),
    MarkKind.MISSING: ("▲", "denied"),
    MarkKind.RECOVERED: ("~", "denied"),
    MarkKind.VERDICT: ("◇", "denied"),
    MarkKind.REFUSED: ("!", "error"),
    MarkKind.COMMAND: ("▸", "command"),
    MarkKind.RESIZE: ("□", "dim"),
}
_RANK = {kind: rank for rank, kind in enumerate(_SIGNS)}
_LOOKS = ("dim", "in", "out", "head", "done", "denied", "error", "command")
_Cell = tuple[str, str]  # a character, and the name of its look


class TimelineBar(Lines):
    """With four lines: in, out, marks and the track; with two: all bytes, and marks on the track; else the latter."""

    class Seek(Message):
        """A person wants to go to this play time (µs)."""

        def __init__(self, played: int) -> None:
            super().__init__()
            self.played = played

    COMPONENT_CLASSES = {  # noqa: RUF012 - Textual's way
        *(f"timeline-bar--{name}" for name in _LOOKS)
    }
    DEFAULT_CSS = """
    TimelineBar {
        height: 4; background: $panel; color: $foreground; padding: 0 1;
        .timeline-bar--dim { color: $muted; }
        .timeline-bar--in { color: $secondary; }
        .timeline-bar--out { color: $primary; }
        .timeline-bar--done { color: $accent; }
        .timeline-bar--head { color: $accent; text-style: bold; }
        .timeline-bar--denied { color: $warning; text-style: bold; }
        .timeline-bar--error { color: $error; text-style: bold; }
        .timeline-bar--command { color: $muted; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._timeline: Timeline | None = None
        self._folding: Folding | None = None
        self._played = 0
        self._laid_out: tuple[int, int] | None = None
        self._activity: dict[str, str] = {}
        self._marks: list[_Cell] = []
        self._folds: list[str] = []
        self._dragging = False

    def survey(self, timeline: Timeline, folding: Folding) -> None:
        """Draws another state of the timeline, or another folding."""
        self._timeline, self._folding = timeline, folding
        self._laid_out = None
        self.redraw()

    def show(self, played: int) -> None:
        """Moves the head to a play time in µs."""
        self._played = played
        self.redraw()

    # Layout: what only a new timeline or another size changes

    def _lay_out(self, timeline: Timeline, folding: Folding, columns: int, height: int) -> None:
        if self._laid_out == (columns, height):
            return
        self._laid_out = columns, height
        edges = [folding.session(at * folding.duration // columns) for at in range(columns + 1)]
        edges[-1] = folding.session_duration + 1
        if height >= 3:
            self._activity = {"in": _spark([timeline.sent], edges), "out": _spark([timeline.received], edges)}
        else:
            self._activity = {"io": _spark([timeline.sent, timeline.received], edges)}
        self._marks = [(" ", "dim")] * columns
        ranks = [len(_RANK)] * columns
        for mark in timeline.marks:
            if mark.kind in _RANK:
                at = self._column(folding.folded(mark.t), columns)
                if _RANK[mark.kind] < ranks[at]:
                    ranks[at] = _RANK[mark.kind]
                    self._marks[at] = _SIGNS[mark.kind]
        self._folds = self._fold_labels(folding, columns)

    def _fold_labels(self, folding: Folding, columns: int) -> list[str]:
        """Each fold as `┊`, the longest with their lengths where there is room."""
        cells = [""] * columns
        for fold in folding.folds:
            cells[self._column(fold.at + folding.limit // 2, columns)] = "┊"
        for fold in sorted(folding.folds, key=lambda fold: -fold.length)[:columns]:
            label = f"┊{words.length(fold.length).replace(' ', '')}┊"
            start = self._column(fold.at + folding.limit // 2, columns) - len(label) // 2
            start = min(max(start, 0), columns - len(label))
            taken = cells[max(start - 1, 0) : start + len(label) + 1]
            if start >= 0 and all(cell in ("", "┊") for cell in taken) and taken.count("┊") == 1:
                cells[start : start + len(label)] = list(label)
        return cells

    def _column(self, played: int, columns: int) -> int:
        duration = self._folding.duration if self._folding is not None else 0
        return min(max(played, 0) * columns // (duration + 1), columns - 1) if duration else 0

    # Drawing

    def lines(self, width: int, height: int) -> Sequence[Strip]:
        timeline, folding, columns = self._timeline, self._folding, width - _LABEL
        if timeline is None or folding is None or columns < 5:
            return []
        self._lay_out(timeline, folding, columns, height)
        head = self._column(self._played, columns)
        lines = [
            self._row(f"{name:<{_LABEL}}", [(char, name if name != "io" else "out") for char in chars], head, width)
            for name, chars in self._activity.items()
            if height >= 2
        ]
        track = self._track(head, columns)
        if height >= 3:
            lines.append(self._row(" " * _LABEL, self._marks, head, width))
        else:
            track = [
                mark if mark[0] != " " and at != head else cell
                for at, (cell, mark) in enumerate(zip(track, self._marks, strict=True))
            ]
        lines.append(self._row(" " * _LABEL, track, head, width))
        return lines[-height:]

    def _track(self, head: int, columns: int) -> list[_Cell]:
        cells: list[_Cell] = []
        for at in range(columns):
            if at == head:
                cells.append(("●", "head"))
            elif fold := self._folds[at]:
                cells.append((fold, "dim"))
            else:
                cells.append(("━", "done") if at < head else ("─", "dim"))
        return cells

    def _row(self, label: str, cells: Sequence[_Cell], head: int, width: int) -> Strip:
        looks = {name: self.look(f"timeline-bar--{name}") for name in _LOOKS}
        pieces: list[Piece] = [(label, self.look("timeline-bar--dim"))]
        for at, (character, name) in enumerate(cells):
            name = "head" if at == head else name
            if len(pieces) > 1 and pieces[-1][1] is looks[name]:
                pieces[-1] = (pieces[-1][0] + character, looks[name])
            else:
                pieces.append((character, looks[name]))
        return self.line(pieces, width)

    # The mouse

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """A button went down (Textual)."""
        self._dragging = True
        self.capture_mouse()
        self._point(event)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """The mouse moved (Textual)."""
        if self._dragging:
            self._point(event)

    def on_mouse_up(self, _event: events.MouseUp) -> None:
        """The button came up (Textual)."""
        self._dragging = False
        self.release_mouse()

    def _point(self, event: events.MouseEvent) -> None:
        columns = self.size.width - _LABEL
        offset = event.get_content_offset_capture(self)
        if self._folding is None or columns < 5:
            return
        at = min(max(offset.x - _LABEL, 0), columns - 1)
        played = self._folding.duration if at == columns - 1 else at * (self._folding.duration + 1) // columns
        self.post_message(self.Seek(played))


def _spark(activities: Sequence[Activity], edges: Sequence[int]) -> str:
    values = [sum(column) for column in zip(*(activity.between(edges) for activity in activities), strict=True)]
    most = max(values, default=0.0)
    if most < 1:
        return " " * len(values)
    # Terminal traffic spans five powers of ten: by a root, a typed key still shows beside a screenful.
    top = len(_LEVELS) - 1
    return "".join(_LEVELS[max(round(top * (value / most) ** 0.4), 1) if value >= 0.5 else 0] for value in values)
