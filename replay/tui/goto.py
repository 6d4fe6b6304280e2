"""Asks for a moment to go to; the text is given back as it was typed."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import Input


class GoTo(ModalScreen[str | None]):
    """One line to type in; None when the person thought better of it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "close", show=False)]
    DEFAULT_CSS = """
    GoTo { align: center bottom; background: $background 0%; }
    GoTo Input { width: 100%; background: $panel; padding: 0 1; }
    """

    def compose(self) -> ComposeResult:
        yield Input(placeholder="go to: 1:23  83.4  +5  -5  @cmd:12  @frame:4711", compact=True)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter was pressed (Textual)."""
        self.dismiss(event.value)
