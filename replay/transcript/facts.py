"""Notes and verdicts in words. Each text is printable and one line; unknown notes are shown with what they hold."""

from collections.abc import Callable, Mapping

from recorder.safe import printable, quoted
from replay.recording.facts import number, text

_LIMIT = 256
_QUIET = frozenset({"channel", "eof", "close", "request", "exit", "exec", "shell", "subsystem"})

Facts = Mapping[str, object]


def said(facts: Facts, key: str) -> str:
    """The text under `key`, printable."""
    return printable(text(facts, key), limit=_LIMIT)


def of_note(facts: Facts) -> str:
    """A note in words; empty for one that a reader need not see."""
    name = text(facts, "name")
    if name in _QUIET or (name == "answer" and facts.get("ok") is not False):
        return ""
    known = _KNOWN.get(name)
    return known(facts) if known is not None else of_map(name or "note", facts)


def of_map(name: str, facts: Facts) -> str:
    """Any map in words: its name, then what it holds."""
    held = ", ".join(
        f"{printable(str(key), limit=64)} {value_of(value)}" for key, value in facts.items() if key != "name"
    )
    return printable(f"{name}: {held}" if held else name, limit=4 * _LIMIT)


def value_of(value: object) -> str:
    """A recorded value in words."""
    if isinstance(value, (str, bytes)):
        return quoted(value, _LIMIT)
    if isinstance(value, (list, dict)):
        return f"<{len(value)} values>"
    return printable(str(value), limit=64)


def _asserted(facts: Facts) -> str:
    named = {"run": "run", "request": "request", "on_behalf_of": "on behalf of"}
    return "asserted: " + ", ".join(f"{word} {said(facts, key)}" for key, word in named.items() if key in facts)


def _size(facts: Facts) -> str:
    return f"{number(facts, 'columns')}×{number(facts, 'rows')}"


_KNOWN: dict[str, Callable[[Facts], str]] = {
    "asserted": _asserted,
    "answer": lambda facts: f"the target refused {said(facts, 'request')}",
    "break": lambda facts: f"break {number(facts, 'milliseconds')} ms",
    "channel-failed": lambda facts: f"the target opened no channel: {said(facts, 'reason')}",
    "discarded": lambda facts: f"{number(facts, 'bytes')} bytes discarded: {said(facts, 'why')}",
    "env": lambda facts: f"environment {said(facts, 'variable')}={said(facts, 'value')}",
    "pty": lambda facts: f"terminal {said(facts, 'term')} {_size(facts)}",
    "refused": lambda facts: f"refused {said(facts, 'request')}: {said(facts, 'why')}",
    "resize": lambda facts: f"resized to {_size(facts)}",
    "signal": lambda facts: f"signal {said(facts, 'signal')}",
    "upstream": lambda facts: f"target {said(facts, 'server_version')}, host key {said(facts, 'host_key')}",
}


def of_forward(facts: Facts) -> str:
    """Where a forwarded connection leads."""
    host = said(facts, "host")
    return f"forward to {f'[{host}]' if ':' in host else host}:{number(facts, 'port')}"


def of_verdict(facts: Facts) -> str:
    """A verdict in words: the operation, what it was, why."""
    what = f" {value_of(facts['text'])}" if facts.get("text") else ""
    why = f": {said(facts, 'reason')}" if facts.get("reason") else ""
    rule = f" (rule {said(facts, 'rule')})" if facts.get("rule") else ""
    return f"{said(facts, 'operation')}{what}{why}{rule}"


def of_recovery(facts: Facts) -> str:
    """What a start after a crash found of the session: all numbers are its own."""
    told = [
        f"{amount:,} {what}"
        for key, what in (
            ("kept", "frames kept"),
            ("cut", "bytes cut off"),
            ("journal", "frames taken from the journal"),
        )
        if (amount := number(facts, key)) or key in facts
    ]
    why = f": {said(facts, 'why')}" if facts.get("why") else ""
    return f"recovered: {', '.join(told)}{why}" if told else f"recovered{why}"


def of_open(facts: Facts) -> str:
    """Who came, from where, to what."""
    client = f" from {said(facts, 'client')}" if facts.get("client") else ""
    return f"{said(facts, 'agent')}{client} to {said(facts, 'login')}@{said(facts, 'target')}"


def of_close(facts: Facts) -> str:
    """Why it ended, and how much crossed."""
    amount = f"{number(facts, 'bytes_in'):,} bytes in, {number(facts, 'bytes_out'):,} bytes out"
    return f"{said(facts, 'reason')} ({amount})"
