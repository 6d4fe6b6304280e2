"""A picture of the player at a moment, as SVG without references to anything outside of it."""

import re

from replay.recording import Recording
from replay.tui.app import PlayerApp

_OUTSIDE = re.compile(r"@font-face \{.*?\}\s*|<!--.*?-->\s*", re.DOTALL)


async def picture(recording: Recording, at: int, size: tuple[int, int]) -> str:
    """The player, paused at `at` (µs), in a terminal of `size` (columns, rows)."""
    app = PlayerApp(recording, at, playing=False, clock=lambda: 0.0)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        svg = app.export_screenshot(title="tacho play")
    return _OUTSIDE.sub("", svg).replace("Fira Code", "ui-monospace, DejaVu Sans Mono")
