"""How a session is written as a row of the catalogue and read from one, and what lists may be narrowed by. No I/O."""

import json
from collections.abc import Mapping

from recorder.model import Attribution, Session, Source, State

COLUMNS = (
    "id, run, request, on_behalf_of, protocol, agent, credential, client, sources, unattributed, target, login,"
    " started, ended, state, reason, bytes_in, bytes_out, verdicts, gaps, not_captured, segments, tags, size"
)
_FILTERS = {
    "agent": "agent GLOB ?",
    "on_behalf_of": "on_behalf_of GLOB ?",
    "target": "target GLOB ?",
    "protocol": "protocol GLOB ?",
    "request": "request = ?",
    "run": "id IN (SELECT session FROM run WHERE run = ?)",
    "since": "started >= ?",
    "until": "started < ?",
    "unattributed": "unattributed = 1",
    "state": "state = ?",
    "tag": "EXISTS (SELECT 1 FROM json_each(tags) WHERE value = ?)",
    "verdict": "EXISTS (SELECT 1 FROM json_each(verdicts) WHERE key = ? AND value > 0)",
}


def row_of(session: Session) -> tuple[object, ...]:
    """The values of COLUMNS."""
    who = session.attribution
    return (
        session.id,
        who.run,
        who.request,
        who.on_behalf_of,
        session.protocol,
        who.agent,
        who.credential,
        who.client,
        json.dumps(who.sources),
        who.unattributed,
        session.target,
        session.login,
        session.started,
        session.ended,
        session.state.value,
        session.reason,
        session.bytes_in,
        session.bytes_out,
        json.dumps(session.verdicts),
        session.gaps,
        json.dumps(session.not_captured),
        session.segments,
        json.dumps(session.tags),
        session.size,
    )


def session_of(row: tuple[object, ...]) -> Session:
    """The session in a row of COLUMNS; ValueError, TypeError or AttributeError when it is malformed."""
    value = dict(zip(COLUMNS.replace(" ", "").split(","), row, strict=True))
    who = Attribution(
        agent=str(value["agent"]),
        run=str(value["run"]),
        request=_text(value["request"]),
        on_behalf_of=_text(value["on_behalf_of"]),
        credential=_text(value["credential"]),
        client=_text(value["client"]),
        sources={name: Source(source) for name, source in json.loads(str(value["sources"])).items()},
        unattributed=bool(value["unattributed"]),
    )
    return Session(
        id=str(value["id"]),
        protocol=str(value["protocol"]),
        attribution=who,
        target=str(value["target"]),
        login=str(value["login"]),
        started=_number(value["started"]),
        ended=None if value["ended"] is None else _number(value["ended"]),
        state=State(str(value["state"])),
        bytes_in=_number(value["bytes_in"]),
        bytes_out=_number(value["bytes_out"]),
        verdicts=json.loads(str(value["verdicts"])),
        gaps=_number(value["gaps"]),
        not_captured=tuple(json.loads(str(value["not_captured"]))),
        segments=_number(value["segments"]),
        tags=tuple(json.loads(str(value["tags"]))),
        size=_number(value["size"]),
        reason=str(value["reason"]),
    )


def narrowed(filters: Mapping[str, object]) -> tuple[list[str], list[object]]:
    """The clauses and their values for the filters that are given; KeyError for one that is unknown."""
    clauses: list[str] = []
    values: list[object] = []
    for name, value in filters.items():
        if value is None or value is False:
            continue
        clause = _FILTERS[name]
        clauses.append(clause)
        if "?" in clause:
            values.append(value)
    return clauses, values


def encodable(value: object) -> object:
    """Strings without lone surrogates, which SQLite does not take; other values as they are."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return value


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
