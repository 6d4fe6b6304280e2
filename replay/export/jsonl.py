"""JSON lines (docs/export.md): a header, then every frame as it stands on the tape, then what could not be read of it.

Nothing is left out but terminal input that was not echoed: that is masked, as in every view.
"""

import base64
import json
import math
from collections.abc import Iterator

import msgpack

from recorder.format.blocks import Damage
from recorder.safe import printable
from replay.export.masking import Masking
from replay.recording import Frame, Kind, Recording
from replay.recording.clock import stamp

FORMAT = "tachograph-jsonl/1"
_NAMES = {kind.value: kind.name.lower() for kind in Kind}
_DEPTH = 16
_TOO_DEEP = {"left_out": "nested too deeply"}


def encode(recording: Recording, stream: int | None = None) -> Iterator[str]:
    """The lines; with `stream`, the frames of that channel and those of the session itself (channel 0)."""
    yield json.dumps(_value(_header(recording))) + "\n"
    masking = Masking()
    for frame in recording.frames():
        if stream in (None, frame.stream) or frame.stream == 0:
            for ready, masked in masking.take(frame):
                yield _line(recording, ready, masked)
    for ready, masked in masking.finish():
        yield _line(recording, ready, masked)
    for damage in recording.damage:
        yield json.dumps(_damage(damage)) + "\n"


def _header(recording: Recording) -> dict[str, object]:
    """The session's attributes, named as `tacho ls --json` names them."""
    session = recording.session
    who = session.attribution
    return {
        "format": FORMAT,
        "id": session.id,
        "run": who.run,
        "request": who.request,
        "on_behalf_of": who.on_behalf_of,
        "protocol": session.protocol,
        "agent": {"name": who.agent},
        "credential": who.credential,
        "sources": {name: source.value for name, source in who.sources.items()},
        "unattributed": who.unattributed,
        "target": session.target,
        "login": session.login,
        "client": who.client,
        "started": stamp(session.started, "microseconds"),
        "ended": None if session.ended is None else stamp(session.ended, "microseconds"),
        "state": session.state.value,
        "segments": session.segments,
    }


def _line(recording: Recording, frame: Frame, masked: str | None) -> str:
    """One frame; `masked` stands for its bytes where they must not be shown."""
    value: dict[str, object] = {
        "at": stamp(recording.start + frame.t * 1000, "microseconds"),
        "kind": _NAMES.get(frame.kind, frame.kind),
        "stream": frame.stream,
    }
    body = frame.body
    if masked is not None:
        value |= {"masked": masked, "size": len(frame.data())}
    elif isinstance(body, bytes):
        value |= _data(body)
    elif isinstance(body, dict):
        value["facts"] = _value(body)
    elif frame.kind == Kind.MADE and isinstance(body, list) and len(body) == 2 and isinstance(body[1], bytes):
        value |= {"side": _value(body[0]), **_data(body[1])}
    else:
        value["body"] = _value(body)
    seconds, us = divmod(frame.t, 1_000_000)
    # Written digit by digit: a float would not hold every µs of a hostile tape.
    return f'{{"frame": {frame.number}, "t": {seconds}.{us:06}, {json.dumps(value)[1:]}\n'


def _damage(damage: Damage) -> dict[str, object]:
    return {
        "kind": "damage",
        "chunk": damage.chunk,
        "from": None if damage.first_t is None else damage.first_t / 1e6,
        "to": None if damage.last_t is None else damage.last_t / 1e6,
        "offset": damage.offset,
        "size": damage.length,
        "why": printable(damage.reason),
    }


def _data(data: bytes) -> dict[str, object]:
    """Bytes as text where they are UTF-8, else in base64: either gives back the same bytes."""
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _value(value: object, depth: int = _DEPTH) -> object:
    """A recorded value as JSON has it; bytes, and strings that are no UTF-8, become an object of their own."""
    if isinstance(value, bytes):
        return _data(value)
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (int, float)):
        return value
    if isinstance(value, (list, dict)) and not depth:
        return _TOO_DEEP
    if isinstance(value, dict):
        return {_key(key): _value(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_value(item, depth - 1) for item in value]
    return {"msgpack": base64.b64encode(bytes(msgpack.packb(value))).decode()}  # a type of msgpack that JSON has not


def _string(value: str) -> object:
    raw = value.encode("utf-8", "surrogateescape")
    data = _data(raw)
    return value if "text" in data else data


def _key(key: object) -> str:
    return key.encode("utf-8", "backslashreplace").decode() if isinstance(key, str) else repr(key)
