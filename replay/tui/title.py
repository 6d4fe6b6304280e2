"""The first line: who worked on what, and in which state the tape is. Given a session, it asks for nothing."""

from collections.abc import Sequence

from textual.strip import Strip

from recorder.model import Session, State
from recorder.safe import printable
from replay.tui.lines import Lines, Piece

_LIMIT = 80
SIGNS = {
    State.LIVE: "● LIVE",
    State.CLOSED: "✓ closed",
    State.RECOVERED: "~ recovered",
    State.UNCLOSED: "▲ not closed",
    State.DELETED: "✗ deleted",
}
"""Each state as a sign and a word."""
TOLD = {
    State.LIVE: "the session goes on",
    State.CLOSED: "the session ended",
    State.RECOVERED: "the gateway was gone, and a later start closed the session",
    State.UNCLOSED: "nobody writes this session any more, and it was not closed",
    State.DELETED: "the session was deleted",
}
"""What is told when a session comes into a state while one looks."""


class Title(Lines):
    """`agent for person → login@target`, and the state at the right."""

    COMPONENT_CLASSES = {"title--dim", "title--live", "title--warn"}  # noqa: RUF012 - Textual's way
    DEFAULT_CSS = """
    Title {
        height: 1; background: $panel; color: $foreground; padding: 0 1; text-style: bold;
        .title--dim { color: $muted; text-style: not bold; }
        .title--live { color: $success; text-style: bold; }
        .title--warn { color: $warning; text-style: bold; }
    }
    """

    def __init__(self, session: Session, started: str) -> None:
        super().__init__()
        self._session = session
        self._started = started

    def show(self, session: Session) -> None:
        """Draws another state of the session."""
        self._session = session
        self.redraw()

    def lines(self, width: int, height: int) -> Sequence[Strip]:
        session, who = self._session, self._session.attribution
        dim, plain = self.look("title--dim"), self.look()
        pieces: list[Piece] = [(_said(who.agent) or "unknown agent", plain)]
        if who.on_behalf_of:
            pieces += [(" for ", dim), (_said(who.on_behalf_of), plain)]
        pieces += [(" → ", dim), (f"{_said(session.login)}@{_said(session.target)}", plain)]
        pieces += [(f"  {_said(session.protocol)} · {self._started} · {printable(session.id[-8:])}", dim)]
        sign = SIGNS[session.state]
        name = {State.LIVE: "title--live", State.CLOSED: "title--dim"}.get(session.state, "title--warn")
        room = max(width - len(sign) - 1, 0)
        return [Strip.join([self.line(pieces, room), self.line([(" " + sign, self.look(name))], width - room)])]


def _said(text: str) -> str:
    return printable(text, limit=_LIMIT)
