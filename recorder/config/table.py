"""One table of the configuration file: typed values, and errors that name the line. Knows the keys, not their use."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from recorder.model import Threshold

KNOWN = {
    "gateway": ("data", "catalogue", "store", "workers"),
    "record": ("mode",),
    "limits": ("sessions_per_agent", "sessions_per_target", "unauthenticated", "login", "idle", "disk"),
    "limits.disk": ("warn", "refuse", "end"),
    "listen": ("protocol", "address", "target"),
    "target": ("name", "protocol", "address", "logins", "key", "host_key", "known_hosts", "forward"),
    "agent": ("name", "keys", "targets", "os_user"),
    "authority": ("key", "agents"),
    "person": ("name", "groups", "os_user", "may"),
}
TABLES = tuple(name for name in KNOWN if "." not in name)
_DURATION = re.compile(r"(\d{1,9})(ms|s|m|h|d)", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_ROOM = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)(%|B|KiB|MiB|GiB|TiB)", re.ASCII)
_SIZES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_COUNT_LIMIT = 1_000_000


class ConfigError(ValueError):
    """A configuration that cannot be used; the text is one sentence: where, what, the mend."""


@dataclass(frozen=True, slots=True)
class Document:
    """A configuration's path and text, for errors that name the line."""

    path: Path
    text: str

    def error(self, table: str, number: int, key: str, what: str) -> ConfigError:
        """A ConfigError at the line of `key` in the `number`th appearance of `table`."""
        return ConfigError(f"{self.path}, line {self._line_of(table, number, key)}: {what}")

    def _line_of(self, table: str, number: int, key: str) -> int:
        """The line (from 1) of `key` in the table's `number`th appearance; that of the table when it is not found."""
        header = re.compile(rf"\s*\[\[?\s*{re.escape(table)}\s*\]")
        entry = re.compile(rf"""\s*["']?{re.escape(key)}["']?\s*[.=]""")
        seen, found = -1, 1
        for line_number, line in enumerate(self.text.splitlines(), 1):
            if re.match(r"\s*\[", line):
                seen += bool(header.match(line))
                if header.match(line) and seen == number:
                    found = line_number
            elif key and entry.match(line) and (seen == number or table == key):
                return line_number
        return found


class Table:
    """One table of the document, with what errors in it need: its name, its number, the file's text."""

    def __init__(self, document: Document, name: str, number: int, values: Mapping[str, object]) -> None:
        self._document = document
        self.name = name
        self.number = number
        self.values = values
        for key in values:
            if key not in KNOWN[name]:
                near = nearest(key, KNOWN[name])
                raise self.error(key, f"unknown key {key!r} in [{name}]{near}")

    def error(self, key: str, what: str) -> ConfigError:
        """A ConfigError at the line of `key`."""
        return self._document.error(self.name, self.number, key, what)

    def string(self, key: str, default: str | None = None) -> str:
        """A string; without `default` it must be there."""
        value = self.values.get(key, default)
        if value is None:
            raise self.error("", f"[{self.name}] needs the key {key!r}")
        if not isinstance(value, str) or not value:
            raise self.error(key, f"{key} must be a string, for example {key} = {_EXAMPLES.get(key, chr(34) * 2)}")
        return value

    def strings(self, key: str) -> tuple[str, ...]:
        """An array of strings; empty when it is not there."""
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise self.error(key, f'{key} must be an array of strings, for example {key} = ["…"]')
        return tuple(value)

    def count(self, key: str, default: int) -> int:
        """A whole number from 1 on."""
        value = self.values.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _COUNT_LIMIT:
            raise self.error(
                key, f"{key} must be a whole number from 1 to {_COUNT_LIMIT}, for example {key} = {default}"
            )
        return value

    def duration(self, key: str, default: str) -> float:
        """Seconds of a length of time such as `30s` or `1h`."""
        value = self.values.get(key, default)
        match = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if match is None or not int(match[1]):
            raise self.error(key, f'{key} must be a length of time (ms, s, m, h, d), for example {key} = "{default}"')
        return int(match[1]) * _SECONDS[match[2]]

    def room(self, key: str, default: str) -> Threshold:
        """Room on a disk: `5%` of the whole, or `2GiB`."""
        value = self.values.get(key, default)
        match = _ROOM.fullmatch(value) if isinstance(value, str) else None
        if match is None or (match[2] == "%" and float(match[1]) > 100):
            raise self.error(
                key, f'{key} must be a part of the disk or a size, for example {key} = "{default}" or "2GiB"'
            )
        if match[2] == "%":
            return Threshold(fraction=float(match[1]) / 100)
        return Threshold(size=int(float(match[1]) * _SIZES[match[2]]))

    def choice(self, key: str, allowed: tuple[object, ...]) -> None:
        """Refuses any value but `allowed`."""
        value = self.values.get(key, allowed[0])
        if value not in allowed or isinstance(value, bool):
            known = ", ".join(map(repr, allowed))
            raise self.error(key, f"{key} = {value!r} is not known here; this version knows {known}")


_EXAMPLES = {
    "name": '"web1"',
    "protocol": '"ssh"',
    "address": '"10.0.0.5:22"',
    "key": '"file:keys/web1"',
    "host_key": '"ssh-ed25519 AAAA…"',
    "data": '"var"',
    "mode": '"strict"',
    "os_user": '"ana"',
}


def nearest(word: str, known: tuple[str, ...]) -> str:
    """How an error goes on about an unknown word: the nearest known one, else all of them."""
    near = difflib.get_close_matches(word, known, 1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}" if known else ""
