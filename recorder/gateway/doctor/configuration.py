"""The configuration: is it well-formed, and nobody else's to write? One that others may write is not acted upon."""

import os
from dataclasses import dataclass
from pathlib import Path

from recorder.config import Config, ConfigError, load
from recorder.gateway.doctor.finding import Finding, counted, ok, warn, wrong

_ABOUT = "configuration"


@dataclass(frozen=True, slots=True)
class Read:
    """A configuration as far as it can be used, and what was found about it."""

    config: Config | None
    findings: tuple[Finding, ...]


def read(path: Path) -> Read:
    """Reads the configuration at `path`. FileNotFoundError when there is none."""
    try:
        config = load(path)
    except ConfigError as error:
        _must_exist(path)
        why = str(error)
        if not os.access(path, os.R_OK):
            why = f"you may not read the configuration {path}: run `tacho doctor` as the gateway's user"
        rest = "nothing else was looked at: what the configuration says is not acted upon until it is mended"
        return Read(None, (wrong(_ABOUT, why), warn("all else", rest)))
    parts = (
        (config.listeners, "listener"),
        (config.targets, "target"),
        (config.agents, "agent"),
        (config.persons, "person"),
    )
    held = ", ".join(counted(len(tables), noun) for tables, noun in parts)
    return Read(config, (ok(_ABOUT, f"{path} is well-formed, and its owner alone may write it: {held}"),))


def _must_exist(path: Path) -> None:
    try:
        path.stat()
    except FileNotFoundError:
        raise
    except OSError:
        pass  # it is there, out of this user's reach
