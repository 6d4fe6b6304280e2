"""What a reload changes, in words, and what it cannot change. Pure: it reads no file and touches no session."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass

from recorder.config import Config


def fixed(old: Config, new: Config) -> list[str]:
    """What differs and takes effect only after a restart, by its name in the configuration."""
    found = []
    if old.data != new.data:
        found.append("[gateway] data")
    if old.mode != new.mode:
        found.append("[record] mode")
    return found


def changes(old: Config, new: Config) -> list[str]:
    """What differs between two configurations, one item for each table: `target web3 added`, `limits idle changed`."""
    found: list[str] = []
    found += _tables(
        "listen", {_address(item): item for item in old.listeners}, {_address(item): item for item in new.listeners}
    )
    for kind in ("target", "agent", "person"):
        attribute = f"{kind}s"
        found += _tables(kind, _by_name(getattr(old, attribute)), _by_name(getattr(new, attribute)))
    found += _tables(
        "authority", {item.key: item for item in old.authorities}, {item.key: item for item in new.authorities}
    )
    found += [f"limits {name} changed" for name in _differing(old.limits, new.limits)]
    return found


def _address(listener: object) -> str:
    host, port = getattr(listener, "host", ""), getattr(listener, "port", 0)
    return f"{host}:{port}"


def _by_name(items: Iterable[object]) -> dict[str, object]:
    return {str(getattr(item, "name", "")): item for item in items}


def _tables(kind: str, old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    added = [f"{kind} {name} added" for name in new if name not in old]
    removed = [f"{kind} {name} removed" for name in old if name not in new]
    changed = [
        f"{kind} {name} changed ({', '.join(_differing(old[name], new[name]))})"
        for name in new
        if name in old and old[name] != new[name]
    ]
    return [*added, *removed, *changed]


def _differing(old: object, new: object) -> list[str]:
    """The names of the fields in which two values differ."""
    if not is_dataclass(old) or not is_dataclass(new):
        return []
    return [field.name for field in fields(old) if getattr(old, field.name) != getattr(new, field.name)]
