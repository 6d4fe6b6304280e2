"""Who did this, and how each of that is known; the state of the tape and its damage. Draws a session, asks nothing."""

from collections.abc import Sequence

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from recorder.format.blocks import Damage
from recorder.model import Session, Source
from recorder.safe import printable
from replay.tui import words
from replay.tui.title import SIGNS

_SOURCES = {Source.VERIFIED: "✓ verified", Source.ASSERTED: "~ asserted", Source.OBSERVED: "○ observed"}
_WARN, _GOOD = "#ffc454", "#8fbf7f"
_LIMIT = 300
_SHOWN_DAMAGE = 5


class Who(VerticalScroll, can_focus=False):
    """The attribution tuple, field by field."""

    DEFAULT_CSS = """
    Who { width: 34; background: $surface; color: $foreground; padding: 0 1; scrollbar-size-vertical: 1; }
    Who > Static { width: 100%; height: auto; }
    """

    def compose(self) -> ComposeResult:
        yield Static(markup=False)

    def show(self, session: Session, damage: Sequence[Damage], recoveries: Sequence[str] = ()) -> None:
        """Draws the session as it is known now; `recoveries` are safe to print."""
        self.query_one(Static).update(_told(session, damage, recoveries))


def _told(session: Session, damage: Sequence[Damage], recoveries: Sequence[str]) -> Text:
    who = session.attribution
    fields = (
        ("agent", "agent", who.agent),
        ("for", "on_behalf_of", who.on_behalf_of),
        ("run", "run", who.run),
        ("request", "request", who.request),
        ("target", "target", session.target),
        ("login", "login", session.login),
        ("client", "client", who.client),
        ("credential", "credential", who.credential),
    )
    text = Text(overflow="fold")
    if who.unattributed:
        text.append("▲ unattributed\n", f"bold {_WARN}")
        text.append("nothing verified says for whom or why\n\n", "dim")
    for label, name, value in fields:
        _field(text, label, value, who.sources.get(name) or (Source.OBSERVED if name in ("target", "login") else None))
    text.append("\ntape       ", "dim")
    text.append(SIGNS[session.state])
    if session.ended is not None:  # it is counted at the end
        text.append(f"\n           {words.size(session.bytes_in)} in, {words.size(session.bytes_out)} out", "dim")
    text.append("\n")
    for name, count in sorted(session.verdicts.items()):
        text.append(f"{'◆ ' if name == 'denied' else ''}{printable(name, limit=20)} {count}\n")
    if session.reason:
        text.append(f"{printable(session.reason, limit=_LIMIT)}\n", "dim")
    for told in recoveries:
        text.append(f"~ {told}\n", _WARN)
    _damage(text, session, damage)
    return text


def _field(text: Text, label: str, value: str | None, source: Source | None) -> None:
    text.append(f"{label:<11}", "dim")
    if not value:
        text.append("–\n", "dim")
        return
    text.append(f"{_SOURCES[source] if source else '? unknown'}\n", _GOOD if source is Source.VERIFIED else "dim")
    text.append(f"  {printable(value, limit=_LIMIT)}\n", "bold")


def _damage(text: Text, session: Session, damage: Sequence[Damage]) -> None:
    if session.gaps:
        text.append(f"▲ {session.gaps} gaps: bytes are missing\n", f"bold {_WARN}")
    for what in session.not_captured[:_SHOWN_DAMAGE]:
        text.append(f"▲ not captured: {printable(what, limit=_LIMIT)}\n", _WARN)
    if not damage:
        text.append("no damage found so far\n", "dim")
        return
    text.append(f"▲ {len(damage)} damaged parts\n", f"bold {_WARN}")
    for each in damage[:_SHOWN_DAMAGE]:
        text.append(f"  {printable(each.reason, limit=_LIMIT)}\n")
