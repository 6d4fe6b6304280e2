"""TOML text to a frozen configuration: pure. Unknown keys are errors that name the line and the nearest known key."""

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from recorder.model import Agent, Listener, Secret, SecretKind, Target
from recorder.safe import quoted

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_PROTOCOLS = ("ssh",)
_KNOWN = {
    "gateway": ("data", "catalogue", "store", "workers"),
    "record": ("mode",),
    "listen": ("protocol", "address", "target"),
    "target": ("name", "protocol", "address", "logins", "key", "host_key", "known_hosts"),
    "agent": ("name", "keys", "targets"),
}
_Value = TypeVar("_Value")


class ConfigError(ValueError):
    """A configuration that cannot be used; the text is one sentence: where, what, the mend."""


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration; `data` is absolute or relative to the process, `text` as it was read."""

    path: Path
    data: Path
    listeners: tuple[Listener, ...]
    targets: tuple[Target, ...]
    agents: tuple[Agent, ...]
    text: str = ""

    @property
    def catalogue(self) -> Path:
        """The catalogue's file."""
        return self.data / "catalogue.db"

    @property
    def tapes(self) -> Path:
        """The folder of tapes."""
        return self.data / "tapes"

    @property
    def keys(self) -> Path:
        """The folder of keys."""
        return self.data / "keys"


def parse(text: str, path: Path) -> Config:
    """The configuration in `text`; `path` names it in errors, and relative paths in it are relative to its folder."""
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    return _Parser(text, path).config(document)


class _Table:
    """One table of the document, with what errors in it need: its name, its number, the file's text."""

    def __init__(self, parser: "_Parser", name: str, number: int, values: Mapping[str, object]) -> None:
        self._parser = parser
        self.name = name
        self.number = number
        self.values = values
        for key in values:
            if key not in _KNOWN[name]:
                near = _nearest(key, _KNOWN[name])
                raise self.error(key, f"unknown key {key!r} in [{name}]{near}")

    def error(self, key: str, what: str) -> ConfigError:
        """A ConfigError at the line of `key`."""
        return ConfigError(f"{self._parser.path}, line {self._parser.line_of(self.name, self.number, key)}: {what}")

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

    def choice(self, key: str, allowed: tuple[object, ...]) -> None:
        """Refuses any value but `allowed`."""
        value = self.values.get(key, allowed[0])
        if value not in allowed or isinstance(value, bool):
            known = ", ".join(map(repr, allowed))
            raise self.error(key, f"{key} = {value!r} is not known here; this version knows {known}")


class _Parser:
    def __init__(self, text: str, path: Path) -> None:
        self.text = text
        self.path = path
        self.data = path.parent

    def config(self, document: Mapping[str, object]) -> Config:
        for name in document:
            if name not in _KNOWN:
                raise ConfigError(
                    f"{self.path}, line {self.line_of(name, 0, name)}: unknown table or key {name!r}"
                    f"{_nearest(name, tuple(_KNOWN))}"
                )
        gateway = self._single(document, "gateway")
        gateway.choice("catalogue", ("sqlite",))
        gateway.choice("store", ("file",))
        gateway.choice("workers", (1,))
        self._single(document, "record").choice("mode", ("strict",))
        self.data = self._path(gateway.string("data", "var"))
        targets = self._several(document, "target", self._target)
        agents = self._several(document, "agent", self._agent)
        listeners = self._several(document, "listen", lambda table: self._listener(table, targets))
        return Config(
            path=self.path,
            data=self.data,
            listeners=listeners,
            targets=targets,
            agents=agents,
            text=self.text,
        )

    def _single(self, document: Mapping[str, object], name: str) -> _Table:
        values = document.get(name, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{self.path}, line {self.line_of(name, 0, name)}: [{name}] must be a table")
        return _Table(self, name, 0, values)

    def _several(
        self, document: Mapping[str, object], name: str, make: Callable[[_Table], _Value]
    ) -> tuple[_Value, ...]:
        values = document.get(name, [])
        if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
            raise ConfigError(f"{self.path}, line {self.line_of(name, 0, name)}: write [[{name}]], one for each")
        tables = [_Table(self, name, number, value) for number, value in enumerate(values)]
        names = [table.values.get("name") for table in tables]
        for table in tables:
            if names[table.number] is not None and names[table.number] in names[: table.number]:
                raise table.error("name", f"a second [[{name}]] with the name {names[table.number]!r}")
        return tuple(make(table) for table in tables)

    def _target(self, table: _Table) -> Target:
        name = self._name(table)
        table.choice("protocol", _PROTOCOLS)
        host, port = self._address(table, 22)
        logins = table.strings("logins")
        if not logins:
            raise table.error(
                "logins", 'a target needs logins, for example logins = ["deploy"]; the first is the default'
            )
        host_keys = self._host_keys(table)
        known_hosts = str(self._path(table.string("known_hosts"))) if "known_hosts" in table.values else None
        if not host_keys and not known_hosts:
            mend = f"run `ssh-keyscan -t ed25519 -p {port} {host}`, compare it on the server, and set host_key"
            raise table.error("name", f"target {name!r} has neither host_key nor known_hosts: {mend}")
        return Target(name, "ssh", host, port, logins, self._upstream_key(table), host_keys, known_hosts)

    def _upstream_key(self, table: _Table) -> Secret:
        """The target's own key, or the one that `tacho init` made for all."""
        if "key" in table.values:
            return self._secret(table, "key")
        return Secret(SecretKind.FILE, (str(self.data / "keys" / "upstream"),))

    def _host_keys(self, table: _Table) -> tuple[str, ...]:
        value = table.values.get("host_key")
        if value is None:
            return ()
        return table.strings("host_key") if isinstance(value, list) else (table.string("host_key"),)

    def _agent(self, table: _Table) -> Agent:
        return Agent(self._name(table), table.strings("keys"), table.strings("targets"))

    def _listener(self, table: _Table, targets: tuple[Target, ...]) -> Listener:
        table.choice("protocol", _PROTOCOLS)
        host, port = self._address(table, None)
        target = table.string("target") if "target" in table.values else None
        if target is not None and target not in {known.name for known in targets}:
            near = _nearest(target, tuple(known.name for known in targets))
            raise table.error("target", f"there is no target {target!r}{near}")
        return Listener("ssh", host, port, target)

    def _name(self, table: _Table) -> str:
        name = table.string("name")
        if not _NAME.fullmatch(name):
            raise table.error("name", f"the name {name!r} may hold letters, digits, '.', '_' and '-' only, 63 at most")
        return name

    def _address(self, table: _Table, default_port: int | None) -> tuple[str, int]:
        address = table.string("address")
        host, separator, port = address.rpartition(":")
        if not separator or (":" in host and not host.endswith("]")):
            host, port = address, str(default_port)
        host = host.removeprefix("[").removesuffix("]")
        if not host.isprintable() or not host or not port.isdecimal() or len(port) > 5 or int(port) > 65535:
            what = f'address = {quoted(address, 64)} is not HOST:PORT, for example "127.0.0.1:2222"'
            raise table.error("address", what)
        return host, int(port)

    def _secret(self, table: _Table, key: str) -> Secret:
        value = table.values.get(key)
        if isinstance(value, list) and value:
            return Secret(SecretKind.COMMAND, table.strings(key))
        kind, separator, rest = table.string(key).partition(":")
        if not separator or not rest or kind not in {"file", "env"}:
            mend = f'write {key} = "file:PATH", "env:NAME" or a command as an array'
            raise table.error(key, f"{key} must say where the secret is, never the secret itself: {mend}")
        return Secret(SecretKind(kind), (str(self._path(rest)) if kind == "file" else rest,))

    def _path(self, value: str) -> Path:
        try:
            return (self.path.parent / Path(value).expanduser()).absolute()
        except (RuntimeError, ValueError):
            raise ConfigError(f"{self.path}: {value!r} is not a path that can be used here") from None

    def line_of(self, table: str, number: int, key: str) -> int:
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


_EXAMPLES = {
    "name": '"web1"',
    "protocol": '"ssh"',
    "address": '"10.0.0.5:22"',
    "key": '"file:keys/web1"',
    "host_key": '"ssh-ed25519 AAAA…"',
    "data": '"var"',
}


def _nearest(word: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(word, known, 1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}" if known else ""
