"""What a check found: the only thing that checks give."""

import logging
from dataclasses import dataclass
from enum import StrEnum

log = logging.getLogger("tacho.doctor")


class Level(StrEnum):
    """How bad it is. What is WRONG keeps the gateway, or what it promises, from working."""

    OK = "ok"
    WARN = "warn"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """`about` says what was looked at; `text` is one sentence, with the mend where there is something to mend."""

    level: Level
    about: str
    text: str


def ok(about: str, text: str) -> Finding:
    """All is well."""
    return Finding(Level.OK, about, text)


def warn(about: str, text: str) -> Finding:
    """The gateway works, and somebody should know this."""
    return Finding(Level.WARN, about, text)


def wrong(about: str, text: str) -> Finding:
    """Something does not work until it is mended."""
    return Finding(Level.WRONG, about, text)


def defect(about: str, error: Exception) -> Finding:
    """A check failed by itself; its traceback is logged for --debug."""
    log.debug("the check of %s", about, exc_info=error)
    what = f"it was not looked at, by a defect of tacho ({type(error).__name__})"
    return warn(about, f"{what}: report what `tacho doctor --debug` says")


def counted(number: int, noun: str) -> str:
    """`1 target`, `2 targets`."""
    return f"{number} {noun}{'s' * (number != 1)}"
