"""What can be wrong with a tape, and what is found of each of its segments: values only."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from recorder.format.seal import Header

_FAULTS = 100
"""Faults of one segment that are named; the rest are counted."""


class Trouble(StrEnum):
    """What is wrong with a tape, in the words that are printed."""

    ALTERED = "altered"
    TAIL_MISSING = "tail missing"
    UNCLOSED = "unclosed"
    OTHER_KEY = "signed by a key that you did not name"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong; `text` says what, `chunk` and times (µs) where that is known."""

    trouble: Trouble
    text: str
    segment: int = 0
    chunk: int | None = None
    first_t: int | None = None
    last_t: int | None = None


@dataclass(slots=True)
class Audit:
    """What is found of one segment. `frames` counts those that can be read, `chunks` those that are sealed.

    `finished` says that it has an INDEX or a footer, `complete` that these fit, `closed` that a close frame is last,
    `recovers` that a recovery frame is first. When the next segment continues before its end, `length` is what counts
    of the file, `beyond` the bytes that follow; `counted`, `gaps`, `last_t` and `root` are of the frames that count.
    """

    path: Path
    header: Header | None = None
    chunks: int = 0
    frames: int = 0
    counted: int = 0
    gaps: int = 0
    unsealed: int = 0
    last_t: int = 0
    length: int = 0
    beyond: int = 0
    root: bytes = b""
    live: bool = False
    finished: bool = False
    complete: bool = False
    closed: bool = False
    recovers: bool = False
    faults: list[Fault] = field(default_factory=list)
    more_faults: int = 0

    def blame(self, trouble: Trouble, text: str, chunk: int | None = None, *times: int) -> None:
        """Adds a fault; `times` are the first and the last µs that it touches."""
        if len(self.faults) >= _FAULTS:
            self.more_faults += 1
            return
        first_t, last_t = times or (None, None)
        segment = self.header.segment if self.header else 0
        self.faults.append(Fault(trouble, text, segment, chunk, first_t, last_t))
