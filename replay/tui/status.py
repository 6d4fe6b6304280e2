"""The last line: playing or not, where, how fast, how idle time is treated, and what stands at this moment."""

from collections.abc import Sequence

from textual.strip import Strip

from replay.tui import words
from replay.tui.lines import Lines, Piece
from replay.tui.standing import Standing


class Status(Lines):
    """`▶ 00:31 / 04:12  ×1  idle≤2 s`, and what fits beside it."""

    COMPONENT_CLASSES = {"status--dim", "status--live", "status--note"}  # noqa: RUF012 - Textual's way
    DEFAULT_CSS = """
    Status {
        height: 1; background: $panel; color: $foreground; padding: 0 1;
        .status--dim { color: $muted; }
        .status--live { color: $success; text-style: bold; }
        .status--note { color: $accent; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._standing = Standing(playing=False, t=0, duration=0, speed=1.0, idle=0)

    def show(self, standing: Standing) -> None:
        """Draws another standing."""
        self._standing = standing
        self.redraw()

    def lines(self, width: int, height: int) -> Sequence[Strip]:
        now, dim, plain, note = self._standing, self.look("status--dim"), self.look(), self.look("status--note")
        digits = int(now.duration < 60_000_000)
        place = words.clock(now.t, digits), words.clock(now.duration, digits)
        pieces: list[Piece] = [
            ("▶ " if now.playing else "‖ ", note),
            (place[0], plain),
            (f" / {place[1]}", dim),
            (f"  {words.speed(now.speed)}", plain),
            (f"  idle≤{now.idle / 1e6:g} s" if now.idle else "  idle played", dim),
        ]
        if now.live:
            pieces.append(("  ● LIVE" + (" following" if now.following else ""), self.look("status--live")))
        if now.read < 1:
            pieces.append((f"  reading {now.read:.0%}", note))
        if now.told:
            pieces.append((f"  {now.told}", note))
        if now.fold is not None:
            pieces.append((f"  ┊ idle {words.length(now.fold.length)}, folded", note))
        hint = "? help  q quit"
        if width < 50:
            return [self.line(pieces, width)]
        room = width - len(hint) - 1
        return [Strip.join([self.line(pieces, room), self.line([(f" {hint}", dim)], width - room)])]
