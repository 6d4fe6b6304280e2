"""How sessions and commands are written for scripts (JSON) and for people (cells of a table). Prints nothing."""

import json
import unicodedata
from typing import TYPE_CHECKING

from recorder.model import Session
from recorder.safe import printable
from replay.recording.clock import clock, stamp

if TYPE_CHECKING:
    from replay.transcript import Command

_UNITS = "BKMGTP"


def session_json(session: Session) -> str:
    """One line of JSON with the keys of the documented interface; what does not exist yet is null or empty."""
    who = session.attribution
    duration = None if session.ended is None else round((session.ended - session.started) / 1e9, 6)
    counted = {name: session.verdicts.get(name, 0) for name in ("allowed", "denied", "masked", "asked")}
    return as_json(
        {
            "id": session.id,
            "run": who.run,
            "request": who.request,
            "on_behalf_of": who.on_behalf_of,
            "protocol": session.protocol,
            "agent": {"name": who.agent, "issuer": None, "subject": None},
            "code": None,
            "workload": None,
            "credential": who.credential,
            "sources": {name: source.value for name, source in who.sources.items()},
            "unattributed": who.unattributed,
            "target": session.target,
            "login": session.login,
            "client": who.client,
            "started": stamp(session.started, "microseconds"),
            "ended": None if session.ended is None else stamp(session.ended, "microseconds"),
            "duration": duration,
            "state": session.state.value,
            "bytes_in": session.bytes_in,
            "bytes_out": session.bytes_out,
            "commands": None,
            "verdicts": session.verdicts | counted,
            "gaps": session.gaps,
            "not_captured": list(session.not_captured),
            "segments": session.segments,
            "tags": list(session.tags),
            "size": session.size,
            "tenant": None,
        }
    )


def command_json(command: "Command", start: int) -> str:
    """One line of JSON; `start` is the session's (UNIX ns). Offsets and durations are seconds."""
    lasted = None if command.end is None else (command.end - command.start) / 1e6
    return as_json(
        {
            "number": command.number,
            "at": stamp(start + command.start * 1000, "microseconds"),
            "offset": command.start / 1e6,
            "duration": lasted,
            "stream": command.stream,
            "frame": command.frame,
            "kind": command.kind,
            "text": command.text.decode("utf-8", "backslashreplace"),
            "known": command.known,
            "status": command.status,
            "signal": command.signal,
            "ok": command.ok,
            "denied": command.denied,
            "bytes_in": command.bytes_in,
            "bytes_out": command.bytes_out,
        }
    )


def as_json(value: object) -> str:
    """Plain ASCII, so that nothing in it can act on a terminal; what is no text is written as an escape."""
    return json.dumps(_encodable(value))


def _encodable(value: object) -> object:
    """JSON readers refuse the lone surrogates by which bytes that are no UTF-8 are kept in strings."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return value


def outcome(command: "Command") -> str:
    """How a command ended, in a word."""
    if command.denied:
        return "denied"
    if command.signal:
        return printable(command.signal, limit=12)
    if command.status is not None:
        return str(command.status)
    return "running" if command.end is None else "-"


def amount(size: int) -> str:
    """Bytes with one unit: `812B`, `1.5K`, `34M`."""
    value = float(size)
    for unit in _UNITS:
        if value < 1000 or unit == _UNITS[-1]:
            break
        value /= 1024
    return f"{value:.0f}{unit}" if unit == "B" or value >= 10 else f"{value:.1f}{unit}"


def lasting(us: int) -> str:
    """A length of time: `0.42s`, `3.1s`, from a minute on as on a clock."""
    if us >= 60_000_000:
        return clock(us)
    return f"{us / 1e6:.2f}s" if us < 1_000_000 else f"{us / 1e6:.1f}s"


def cell(text: str | bytes, width: int) -> str:
    """`text` made printable and exactly `width` columns wide, cut with `…`."""
    shown = printable(text, limit=width)
    used = sum(map(_columns, shown))
    while used > width:
        used -= _columns(shown[-2]) if shown.endswith("…") else _columns(shown[-1]) - 1
        shown = shown[: -2 if shown.endswith("…") else -1] + "…"
    return shown + " " * (width - used)


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
