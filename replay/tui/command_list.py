"""The list of commands: when each began, how it had gone by the moment shown, what it was.

Says which one a person chose (`CommandList.Chosen`); moves nothing itself.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from textual.binding import Binding, BindingType
from textual.events import Click, MouseScrollDown, MouseScrollUp
from textual.message import Message
from textual.strip import Strip

from replay.transcript import Command
from replay.tui import words
from replay.tui.lines import Lines, Piece

_LOOKS = {"◆": "denied", "✗": "failed", "✓": "well", "▸": "running", "·": "dim"}


class CommandList(Lines, can_focus=True):
    """Only the visible rows are drawn: a million commands cost no more than ten."""

    class Chosen(Message):
        """A person wants to go to this command."""

        def __init__(self, command: Command) -> None:
            super().__init__()
            self.command = command

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "list: up", show=False),
        Binding("down", "move(1)", "list: down", show=False),
        Binding("home", "move(-1000000)", "list: first", show=False),
        Binding("end", "move(1000000)", "list: last", show=False),
        Binding("enter", "choose", "list: go to the command", show=False),
    ]
    COMPONENT_CLASSES = {  # noqa: RUF012 - Textual's way
        *(f"command-list--{name}" for name in (*_LOOKS.values(), "heading", "current", "cursor"))
    }
    DEFAULT_CSS = """
    CommandList {
        width: 30; background: $surface; color: $foreground; padding: 0 1;
        .command-list--heading { color: $muted; }
        .command-list--dim { color: $muted; }
        .command-list--running { color: $accent; }
        .command-list--well { color: $success; }
        .command-list--failed { color: $error; text-style: bold; }
        .command-list--denied { color: $warning; text-style: bold; }
        .command-list--current { text-style: bold; }
        .command-list--cursor { background: #252f3c; }
    }
    CommandList:nocolor .command-list--cursor { text-style: reverse; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._commands: Sequence[Command] = ()
        self._starts: list[int] = []
        self._of_stream: dict[int, list[int]] = {}
        self._t = 0
        self._stream: int | None = None
        self._precise = False
        self._current = -1
        self._cursor = 0
        self._top = 0
        self._ready = False

    def list_commands(self, commands: Sequence[Command], *, precise: bool) -> None:
        """The commands, in the order of their starts; `precise` shows hundredths of seconds."""
        self._commands = commands
        self._starts = [command.start for command in commands]
        self._of_stream = {}
        for index, command in enumerate(commands):
            self._of_stream.setdefault(command.stream, []).append(index)
        self._precise = precise
        self._ready = True
        self._cursor = min(self._cursor, max(len(commands) - 1, 0))
        self.show(self._t, self._stream)

    def show(self, t: int, stream: int | None) -> None:
        """The outcomes by `t` (µs); the command that `stream` runs is the current one, and kept in sight."""
        self._t, self._stream = t, stream
        current = self._index_at(t, stream)
        if current != self._current:
            self._current = current
            self._cursor = max(current, 0)
            self._reveal(self._cursor)
        self.redraw()

    def _index_at(self, t: int, stream: int | None) -> int:
        own = self._of_stream.get(stream, []) if stream is not None else []
        begun = bisect_right(own, t, key=self._starts.__getitem__)
        return own[begun - 1] if begun else bisect_right(self._starts, t) - 1

    def lines(self, width: int, height: int) -> Sequence[Strip]:
        count = len(self._commands)
        begun = bisect_right(self._starts, self._t)
        heading = f"commands {begun}/{count}" if self._ready else "commands: reading …"
        if self._ready and not count:
            heading = "no commands"
        self._top = min(self._top, max(count - (height - 1), 0))
        shown = range(self._top, min(self._top + height - 1, count))
        return [
            self.line([(heading, self.look("command-list--heading"))], width),
            *(self._row(index, width) for index in shown),
        ]

    def _row(self, index: int, width: int) -> Strip:
        command = self._commands[index]
        sign = words.outcome(command, self._t)
        here = index == self._current
        text = self.look("command-list--current") if here else self.look()
        if command.start > self._t:
            text = self.look("command-list--dim")
        pieces: list[Piece] = [
            ("▶" if here else " ", self.look("command-list--running")),
            (words.clock(command.start, 2 * self._precise) + " ", self.look("command-list--dim")),
            (sign + " ", self.look(f"command-list--{_LOOKS[sign]}")),
        ]
        if sign in "◆✗" and (ending := words.ending(command)):
            pieces.append((f"{ending} ", self.look(f"command-list--{_LOOKS[sign]}")))
        pieces.append((words.label(command), text))
        row = self.line(pieces, width)
        if not (self.has_focus and index == self._cursor):
            return row
        cursor = self.get_component_rich_style("command-list--cursor", partial=True)
        return Strip([Segment(text, (style or cursor) + cursor) for text, style, _ in row])

    def _reveal(self, index: int) -> None:
        rows = max(self.size.height - 1, 1)
        if index < self._top:
            self._top = max(index, 0)
        elif index >= self._top + rows:
            self._top = index - rows + 1

    def _scroll(self, rows: int) -> None:
        self._top = max(self._top + rows, 0)
        self.redraw()

    def action_move(self, rows: int) -> None:
        """Moves the cursor (Textual)."""
        self._cursor = min(max(self._cursor + rows, 0), max(len(self._commands) - 1, 0))
        self._reveal(self._cursor)
        self.redraw()

    def action_choose(self) -> None:
        """Says that the command at the cursor was chosen (Textual)."""
        if 0 <= self._cursor < len(self._commands):
            self.post_message(self.Chosen(self._commands[self._cursor]))

    def on_click(self, event: Click) -> None:
        """A row was clicked (Textual)."""
        offset = event.get_content_offset(self)
        if offset is None or offset.y == 0:
            return
        index = self._top + offset.y - 1
        if index < len(self._commands):
            self._cursor = index
            self.action_choose()

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """The wheel turned (Textual)."""
        event.stop()
        self._scroll(3)

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """The wheel turned (Textual)."""
        event.stop()
        self._scroll(-3)

    def on_focus(self) -> None:
        """The cursor appears (Textual)."""
        self.redraw()

    def on_blur(self) -> None:
        """The cursor goes (Textual)."""
        self.redraw()
