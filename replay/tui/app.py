"""The terminal application around the player: theme and command palette. Owns nothing that is recorded."""

import os
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import ClassVar

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.theme import Theme

from replay.recording import Recording
from replay.tui.deck import Deck
from replay.tui.keys import GROUPS
from replay.tui.player import Player

THEME = Theme(
    name="tachograph",
    primary="#6fa8dc",
    secondary="#8fbf7f",
    accent="#e0b15e",
    foreground="#d3d9e0",
    background="#0d1116",
    surface="#12171e",
    panel="#171d26",
    success="#8fbf7f",
    warning="#ffc454",
    error="#f28b92",
    dark=True,
)


class PlayerApp(App[None]):
    """Plays one recording, which stays the caller's to close. `clock` gives seconds that never run backwards."""

    TITLE = "tacho play"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [Binding("q", "quit", "quit", show=False)]

    def __init__(
        self,
        recording: Recording,
        at: int = 0,
        speed: float = 1.0,
        idle: float = 2.0,
        *,
        playing: bool = True,
        follow: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`at` in µs; `idle` in seconds, 0 folds nothing; `follow` begins at the end and goes on with the session."""
        # Textual's own answer to NO_COLOR is shades of grey, unless the terminal's own colours are used.
        super().__init__(ansi_color=True if "NO_COLOR" in os.environ else None)
        self.player = Player(Deck(recording, clock, speed, round(idle * 1_000_000)), at, playing=playing, follow=follow)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Colours of this application's own (Textual)."""
        return {"muted": "#8592a0"}

    def on_mount(self) -> None:
        """Shows the player (Textual)."""
        self.register_theme(THEME)
        self.theme = THEME.name
        self.push_screen(self.player)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The palette offers what the keys do."""
        if not isinstance(screen, Player):
            return
        for group in GROUPS:
            for key in group.keys:
                if not key.action.startswith("tenth"):
                    yield SystemCommand(
                        f"{key.text[0].upper()}{key.text[1:]}",
                        f"{group.title}: {key.written}",
                        partial(screen.run_action, "app.quit" if key.action == "quit" else key.action),
                    )
