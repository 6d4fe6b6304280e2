"""An entry of a transcript: the value that `entries` yields."""

from dataclasses import dataclass
from enum import StrEnum


class Mark(StrEnum):
    """What an entry is."""

    SESSION = "session"
    COMMAND = "command"  # an exec's command line, exact
    CHANNEL = "channel"  # a shell, a subsystem or a forwarded connection begins
    OUTPUT = "output"
    ERRORS = "errors"
    INPUT = "input"  # what was sent to a program that has no terminal
    SCREEN = "screen"
    FILE = "file"  # an operation on a file that ended
    EXIT = "exit"
    REFUSED = "refused"
    FACT = "fact"
    GAP = "gap"
    DAMAGE = "damage"
    END = "end"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. `t` is µs since the session's start, `stream` the channel (0: the session itself).

    `text` is printable; of its control characters only \\n and \\t are left, which the reader lays out.
    """

    t: int
    stream: int
    mark: Mark
    text: str
