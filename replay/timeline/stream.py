"""What is known of one stream of a session: what runs on it, whether it is a terminal, from when to when."""

from dataclasses import dataclass

DEFAULT_SIZE = (80, 24)


@dataclass(slots=True)
class Stream:
    """A channel. Times are µs since the session's start; `columns` and `rows` are the size it began with.

    `kind` is shell, exec or subsystem, empty until that is asked for; `text` is the command, or the subsystem's name.
    """

    number: int
    start: int
    first_frame: int
    kind: str = ""
    text: bytes = b""
    terminal: bool = False
    columns: int = DEFAULT_SIZE[0]
    rows: int = DEFAULT_SIZE[1]
    term: str = ""
    end: int | None = None
    status: int | None = None
    signal: str = ""
    bytes_in: int = 0
    bytes_out: int = 0
