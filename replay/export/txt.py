"""The transcript as plain text: who, what was asked, what came back.

Every line of recorded text is indented behind a mark, so that no output can pass for the transcript's own words.
"""

from collections.abc import Iterator
from typing import NamedTuple

from recorder.model import Session
from recorder.safe import printable
from replay.recording import Recording
from replay.recording.clock import clock, stamp
from replay.transcript import Entry, Mark, entries

_MARGINS = {Mark.OUTPUT: "    ", Mark.ERRORS: "  ! ", Mark.INPUT: "  < ", Mark.SCREEN: "  | "}
_LEADS = {
    Mark.COMMAND: "$ ",
    Mark.EXIT: "= ",
    Mark.REFUSED: "refused: ",
    Mark.GAP: "missing: ",
    Mark.DAMAGE: "damaged: ",
    Mark.END: "end: ",
}


class Line(NamedTuple):
    """One line of the transcript, without its line feed, and what it is."""

    mark: Mark
    text: str


def encode(recording: Recording, stream: int | None = None) -> Iterator[str]:
    """The whole transcript, line by line; of one stream and the session's own entries when `stream` is given."""
    for line in header(recording.session):
        yield f"{line}\n"
    yield "\n"
    for entry in entries(recording):
        if stream in (None, entry.stream) or entry.stream == 0:
            yield from (f"{line.text}\n" for line in lines(entry))


def lines(entry: Entry) -> Iterator[Line]:
    """An entry laid out in lines."""
    body = entry.text.split("\n")
    if body[-1] == "":
        body.pop()
    margin = _MARGINS.get(entry.mark)
    if margin is not None:
        for text in body:
            yield Line(entry.mark, f"{margin}{text}".rstrip(" "))
        return
    seconds = entry.t / 1_000_000
    channel = f"[{entry.stream}] " if entry.stream else ""
    lead = f"{clock(entry.t)}{f'{seconds % 1:.3f}'[1:]} {channel}{_LEADS.get(entry.mark, '')}"
    for text in body or [""]:
        yield Line(entry.mark, f"{lead}{text}")
        lead = "  > "


def header(session: Session) -> Iterator[str]:
    """Who did it, for whom, where and when; each line says how it is known."""
    who = session.attribution

    def known(field: str) -> str:
        source = who.sources.get(field)
        return f" ({source.value})" if source is not None else ""

    yield f"session {printable(session.id)}"
    yield f"agent {printable(who.agent)}{known('agent')}" + (", unattributed" if who.unattributed else "")
    if who.on_behalf_of:
        yield f"for {printable(who.on_behalf_of)}{known('on_behalf_of')}"
    if who.request:
        yield f"request {printable(who.request)}{known('request')}"
    yield f"run {printable(who.run)}{known('run')}"
    yield f"target {printable(session.login)}@{printable(session.target)} ({printable(session.protocol)})"
    ended = f" to {stamp(session.ended)}" if session.ended is not None else ""
    yield f"time {stamp(session.started)}{ended}, {session.state.value}"
