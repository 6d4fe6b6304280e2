"""Marks: the moments of a session that a reviewer jumps to."""

from enum import StrEnum
from typing import NamedTuple


class MarkKind(StrEnum):
    """Why a moment is marked, the most important first."""

    DENIED = "denied"  # a verdict that denied
    ERROR = "error"  # an exit with a status other than 0, or by a signal
    MISSING = "missing"  # bytes that are not on the tape, or cannot be read from it
    RECOVERED = "recovered"  # a gateway that started after a crash ended the tape
    VERDICT = "verdict"  # one that neither denied nor allowed at once
    REFUSED = "refused"  # what the target, or the gateway as malformed, turned down
    ALLOWED = "allowed"  # a verdict that allowed
    COMMAND = "command"  # a command began
    RESIZE = "resize"


class Mark(NamedTuple):
    """A marked moment: `t` in µs, the frame that it is about, and what happened, safe to print."""

    t: int
    frame: int
    kind: MarkKind
    stream: int
    text: str
