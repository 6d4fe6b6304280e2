"""TOML text to a frozen configuration: pure. Unknown keys are errors that name the line and the nearest known key."""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from recorder.config.table import TABLES, ConfigError, Document, Table, nearest
from recorder.model import (
    Agent,
    Authority,
    Disk,
    Limits,
    Listener,
    Mode,
    Person,
    Right,
    Secret,
    SecretKind,
    Target,
)
from recorder.safe import quoted

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_PROTOCOLS = ("ssh",)
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration; `data` is absolute or relative to the process, `text` as it was read."""

    path: Path
    data: Path
    listeners: tuple[Listener, ...]
    targets: tuple[Target, ...]
    agents: tuple[Agent, ...]
    authorities: tuple[Authority, ...] = ()
    persons: tuple[Person, ...] = ()
    mode: Mode = Mode.STRICT
    limits: Limits = field(default_factory=Limits)
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

    @property
    def journal(self) -> Path:
        """The folder of the journal, the reserve and the gateway's lock."""
        return self.data / "journal"

    @property
    def socket(self) -> Path:
        """The control socket of the gateway that runs here."""
        return self.data / "run" / "control.sock"


def parse(text: str, path: Path) -> Config:
    """The configuration in `text`; `path` names it in errors, and relative paths in it are relative to its folder."""
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    return _Parser(text, path).config(document)


class _Parser:
    def __init__(self, text: str, path: Path) -> None:
        self.document = Document(path, text)
        self.path = path
        self.data = path.parent

    def config(self, document: Mapping[str, object]) -> Config:
        for name in document:
            if name not in TABLES:
                raise self.document.error(name, 0, name, f"unknown table or key {name!r}{nearest(name, TABLES)}")
        gateway = self._single(document, "gateway")
        gateway.choice("catalogue", ("sqlite",))
        gateway.choice("store", ("file",))
        gateway.choice("workers", (1,))
        record = self._single(document, "record")
        record.choice("mode", tuple(mode.value for mode in Mode))
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
            authorities=self._several(document, "authority", self._authority),
            persons=self._persons(document),
            mode=Mode(record.string("mode", "strict")),
            limits=self._limits(document),
            text=self.document.text,
        )

    def _limits(self, document: Mapping[str, object]) -> Limits:
        table = self._single(document, "limits")
        rooms = table.values.get("disk", {})
        if not isinstance(rooms, dict):
            raise table.error("disk", 'disk must be a table: disk = { warn = "10%", refuse = "5%", end = "1%" }')
        disk = Table(self.document, "limits.disk", 0, rooms)
        return Limits(
            sessions_per_agent=table.count("sessions_per_agent", 100),
            sessions_per_target=table.count("sessions_per_target", 200),
            unauthenticated=table.count("unauthenticated", 64),
            login=table.duration("login", "30s"),
            idle=table.duration("idle", "1h"),
            disk=Disk(disk.room("warn", "10%"), disk.room("refuse", "5%"), disk.room("end", "1%")),
        )

    def _persons(self, document: Mapping[str, object]) -> tuple[Person, ...]:
        tables: list[Table] = []

        def make(table: Table) -> Person:
            tables.append(table)
            return self._person(table)

        persons = self._several(document, "person", make)
        accounts = [person.os_user for person in persons]
        for number, account in enumerate(accounts):
            if account is not None and account in accounts[:number]:
                raise tables[number].error("os_user", f"two persons have the os_user {account!r}: give each their own")
        return persons

    def _person(self, table: Table) -> Person:
        known = tuple(right.value for right in Right)
        may = table.strings("may")
        for right in may:
            if right not in known:
                raise table.error("may", f"unknown right {right!r} in may{nearest(right, known)}")
        os_user = table.string("os_user") if "os_user" in table.values else None
        return Person(self._name(table), table.strings("groups"), os_user, frozenset(map(Right, may)))

    def _authority(self, table: Table) -> Authority:
        agents = table.strings("agents")
        if not agents:
            raise table.error("agents", 'an authority needs agents, for example agents = ["ci-*"]: whom it may name')
        return Authority(table.string("key"), agents)

    def _single(self, document: Mapping[str, object], name: str) -> Table:
        values = document.get(name, {})
        if not isinstance(values, dict):
            raise self.document.error(name, 0, name, f"[{name}] must be a table")
        return Table(self.document, name, 0, values)

    def _several(
        self, document: Mapping[str, object], name: str, make: Callable[[Table], _Value]
    ) -> tuple[_Value, ...]:
        values = document.get(name, [])
        if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
            raise self.document.error(name, 0, name, f"write [[{name}]], one for each")
        tables = [Table(self.document, name, number, value) for number, value in enumerate(values)]
        names = [table.values.get("name") for table in tables]
        for table in tables:
            if names[table.number] is not None and names[table.number] in names[: table.number]:
                raise table.error("name", f"a second [[{name}]] with the name {names[table.number]!r}")
        return tuple(make(table) for table in tables)

    def _target(self, table: Table) -> Target:
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
        key, forward = self._upstream_key(table), self._forward(table)
        return Target(name, "ssh", host, port, logins, key, host_keys, known_hosts, forward)

    def _forward(self, table: Table) -> tuple[tuple[str, int], ...]:
        """The addresses that an agent may reach by way of the target."""
        return tuple(self._host_port(table, "forward", address, None) for address in table.strings("forward"))

    def _upstream_key(self, table: Table) -> Secret:
        """The target's own key, or the one that `tacho init` made for all."""
        if "key" in table.values:
            return self._secret(table, "key")
        return Secret(SecretKind.FILE, (str(self.data / "keys" / "upstream"),))

    def _host_keys(self, table: Table) -> tuple[str, ...]:
        value = table.values.get("host_key")
        if value is None:
            return ()
        return table.strings("host_key") if isinstance(value, list) else (table.string("host_key"),)

    def _agent(self, table: Table) -> Agent:
        os_user = table.string("os_user") if "os_user" in table.values else None
        return Agent(self._name(table), table.strings("keys"), table.strings("targets"), os_user)

    def _listener(self, table: Table, targets: tuple[Target, ...]) -> Listener:
        table.choice("protocol", _PROTOCOLS)
        host, port = self._address(table, None)
        target = table.string("target") if "target" in table.values else None
        if target is not None and target not in {known.name for known in targets}:
            near = nearest(target, tuple(known.name for known in targets))
            raise table.error("target", f"there is no target {target!r}{near}")
        return Listener("ssh", host, port, target)

    def _name(self, table: Table) -> str:
        name = table.string("name")
        if not _NAME.fullmatch(name):
            raise table.error("name", f"the name {name!r} may hold letters, digits, '.', '_' and '-' only, 63 at most")
        return name

    def _address(self, table: Table, default_port: int | None) -> tuple[str, int]:
        return self._host_port(table, "address", table.string("address"), default_port)

    def _host_port(self, table: Table, key: str, address: str, default_port: int | None) -> tuple[str, int]:
        host, separator, port = address.rpartition(":")
        if not separator or (":" in host and not host.endswith("]")):
            host, port = address, str(default_port)
        host = host.removeprefix("[").removesuffix("]")
        if not host.isprintable() or not host or not port.isdecimal() or len(port) > 5 or int(port) > 65535:
            what = f'{key} = {quoted(address, 64)} is not HOST:PORT, for example "127.0.0.1:2222"'
            raise table.error(key, what)
        return host, int(port)

    def _secret(self, table: Table, key: str) -> Secret:
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
