"""A session's row rebuilt from its tape, for tapes that no catalogue knows. Types are checked, nothing is trusted."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Protocol

from recorder.format.frame import Frame, Kind
from recorder.model import Attribution, Session, Source, State

_ASSERTED = ("run", "request", "on_behalf_of")
_SEARCHED_US = 600_000_000
"""What an agent asserts of itself is looked for in the first ten minutes: the whole tape may be very long."""
_SEARCHED_FRAMES = 100_000


class Tape(Protocol):
    """What is needed of a recording."""

    @property
    def id(self) -> str: ...
    @property
    def start(self) -> int: ...
    def close_frame(self) -> Frame | None: ...
    def frames(self, start: int = 0, end: int | None = None) -> Iterator[Frame]: ...


class Rebuilt:
    """What the tape of one session tells of it; of a tape that grows, each part is read once."""

    def __init__(self) -> None:
        self._opened: Mapping[str, object] = {}
        self._asserted: dict[str, str] = {}
        self._gaps = 0
        self._seen = 0
        self._t = 0
        self._number = -1

    def read(self, tape: Tape) -> Session:
        """The row as far as the tape tells it; `state`, `size` and `segments` are left to the caller."""
        if self._seen < _SEARCHED_FRAMES:
            for frame in tape.frames(self._t, _SEARCHED_US):
                if frame.number > self._number:
                    self._take(frame)
                if self._seen == _SEARCHED_FRAMES:
                    break
        opened = self._opened
        session = Session(
            id=tape.id,
            protocol=text(opened, "protocol"),
            attribution=_attribution(opened, self._asserted),
            target=text(opened, "target"),
            login=text(opened, "login"),
            started=tape.start,
            ended=None,
            state=State.UNCLOSED,
            gaps=self._gaps,
        )
        return ended(session, tape)

    def _take(self, frame: Frame) -> None:
        self._t, self._number = frame.t, frame.number
        self._seen += 1
        if frame.kind == Kind.OPEN and not self._opened:
            self._opened = frame.facts()
        elif frame.kind == Kind.NOTE and frame.facts().get("name") == "asserted":
            for name in _ASSERTED:
                if value := text(frame.facts(), name):
                    self._asserted.setdefault(name, value)
        self._gaps += frame.kind == Kind.GAP


def ended(session: Session, tape: Tape) -> Session:
    """The row with what the close frame says; as it is when there is none."""
    closed = tape.close_frame()
    if closed is None:
        return session
    totals = closed.facts()
    return replace(
        session,
        ended=tape.start + closed.t * 1000,
        bytes_in=number(totals, "bytes_in"),
        bytes_out=number(totals, "bytes_out"),
        verdicts=_counts(totals.get("verdicts")),
        reason=text(totals, "reason"),
    )


def _attribution(opened: Mapping[str, object], asserted: Mapping[str, str]) -> Attribution:
    found = opened.get("sources")
    known = {source.value: source for source in Source}
    sources = {
        name: known[source]
        for name, source in (found.items() if isinstance(found, dict) else ())
        if isinstance(name, str) and isinstance(source, str) and source in known
    }
    fresh = {
        name: value for name, value in asserted.items() if sources.get(name) not in (Source.ASSERTED, Source.VERIFIED)
    }
    return Attribution(
        agent=text(opened, "agent"),
        run=fresh.get("run") or text(opened, "run"),
        request=fresh.get("request") or text(opened, "request") or None,
        on_behalf_of=fresh.get("on_behalf_of") or text(opened, "on_behalf_of") or None,
        credential=text(opened, "credential") or None,
        client=text(opened, "client") or None,
        sources=sources | dict.fromkeys(fresh, Source.ASSERTED),
        unattributed=opened.get("unattributed") is not False,
    )


def _counts(value: object) -> dict[str, int]:
    if not isinstance(value, dict):
        return {}
    return {name: count for name, count in value.items() if isinstance(name, str) and type(count) is int}


def text(facts: Mapping[str, object], key: str) -> str:
    """The string under `key`; empty when there is none, bytes read as UTF-8."""
    value = facts.get(key)
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return value if isinstance(value, str) else ""


def number(facts: Mapping[str, object], key: str) -> int:
    """The whole number under `key`; 0 when there is none."""
    value = facts.get(key)
    return value if type(value) is int else 0


def size(facts: Mapping[str, object]) -> tuple[int, int] | None:
    """Columns and rows of a terminal, 1,000 at most; None when one of them is 0 and so says nothing (RFC 4254 6.2)."""
    columns, rows = (min(number(facts, name), 1000) for name in ("columns", "rows"))
    return (columns, rows) if columns > 0 and rows > 0 else None


UNKNOWN_SIZE = (80, 24)
"""Columns and rows of a terminal that did not say."""
