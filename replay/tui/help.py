"""The keys, as the table of bindings has them."""

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from replay.tui.keys import help_lines

_SIGNS = "Signs: ✓ well  ✗ failed  ◆ denied  ▸ running  ▲ missing  ! refused, or standard error  ┊ idle, folded"


class Help(ModalScreen[None]):
    """Closes by any of the keys that a person would try."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark", "dismiss", "close", show=False)]
    DEFAULT_CSS = """
    Help { align: center middle; }
    Help > VerticalScroll {
        width: 64; max-width: 100%; height: auto; max-height: 100%; padding: 0 2;
        background: $panel; border: round $primary; scrollbar-size-vertical: 1;
    }
    Help Static { height: auto; }
    """

    def compose(self) -> ComposeResult:
        text = Text()
        for title, keys in help_lines():
            text.append(f"{title}\n", "bold")
            for written, what in keys:
                text.append(f"  {written:<12}", "bold cyan")
                text.append(f"{what}\n")
        text.append(_SIGNS, "dim")
        with VerticalScroll():
            yield Static(text, markup=False)
