"""Idle gaps, and the mapping between session time and play time, in which long gaps take only the idle limit.

Whole µs everywhere; holds numbers only.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

LEAST_GAP = 250_000
"""µs: shorter silences are no gaps, and a lower idle limit than this means this."""


class Fold(NamedTuple):
    """A gap that is folded: `start` and `end` in session time, `at` its start in play time."""

    start: int
    end: int
    at: int

    @property
    def length(self) -> int:
        """µs of session time."""
        return self.end - self.start


class Gaps:
    """The silences of a session, in order: from the last frame before to the first one after."""

    def __init__(self) -> None:
        self._starts = array("q")
        self._ends = array("q")

    def add(self, start: int, end: int) -> None:
        """Nothing happened from `start` to `end`; kept when that is longer than LEAST_GAP."""
        if end - start > LEAST_GAP:
            self._starts.append(start)
            self._ends.append(end)

    def __len__(self) -> int:
        return len(self._starts)

    def longer_than(self, limit: int) -> Iterable[tuple[int, int]]:
        """Start and end of each gap of more than `limit` µs."""
        return ((start, end) for start, end in zip(self._starts, self._ends, strict=True) if end - start > limit)


class Folding:
    """The mapping for one idle limit.

    Outside of folds one µs of play is one µs of the session; within one, time runs faster by its length over the
    limit. `session(p)` is the first moment that is played at `p`, so that `folded(session(p)) == p`.
    """

    def __init__(self, gaps: Gaps, duration: int, limit: int) -> None:
        """`duration` of the session and `limit` of a gap in µs; a limit of 0 or less folds nothing."""
        self.session_duration = duration
        self.limit = max(limit, LEAST_GAP) if limit > 0 else 0
        self.folds: list[Fold] = []
        saved = 0
        for start, end in gaps.longer_than(self.limit) if self.limit else ():
            self.folds.append(Fold(start, end, start - saved))
            saved += end - start - self.limit
        self._starts = [fold.start for fold in self.folds]
        self._at = [fold.at for fold in self.folds]
        self.duration = self.folded(duration)

    def folded(self, t: int) -> int:
        """Play time of session time `t`."""
        fold = self._before(self._starts, t)
        if fold is None:
            return t
        if t < fold.end:
            return fold.at + (t - fold.start) * self.limit // fold.length
        return fold.at + self.limit + t - fold.end

    def session(self, played: int) -> int:
        """Session time of play time `played`."""
        fold = self._before(self._at, played)
        if fold is None:
            return played
        inside = played - fold.at
        if inside < self.limit:
            return fold.start - (-inside * fold.length // self.limit)
        return fold.end + inside - self.limit

    def fold_at(self, t: int) -> Fold | None:
        """The fold that session time `t` lies in, its ends not included."""
        fold = self._before(self._starts, t)
        return fold if fold is not None and fold.start < t < fold.end else None

    def _before(self, times: list[int], time: int) -> Fold | None:
        index = bisect_right(times, time) - 1
        return self.folds[index] if index >= 0 else None
