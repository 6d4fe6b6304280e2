"""How much a run measures: its rounds, and the size of what is moved, opened and written."""

from dataclasses import dataclass
from enum import StrEnum


class Size(StrEnum):
    """`TINY` only shows that a benchmark runs; `FULL` takes minutes and gigabytes of disk."""

    TINY = "tiny"
    USUAL = "usual"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Plan:
    """What the command line asks for."""

    rounds: int
    size: Size

    def of(self, tiny: int, usual: int, full: int | None = None) -> int:
        """The amount for this run; `full` is as `usual` unless given."""
        if self.size is Size.TINY:
            return tiny
        return usual if full is None or self.size is Size.USUAL else full
