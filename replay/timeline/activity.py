"""How many bytes crossed when, in buckets of equal length that double as the session grows: memory stays constant."""

from array import array
from collections.abc import Sequence
from itertools import accumulate, pairwise

_BUCKETS = 1 << 16
_FIRST_WIDTH = 1_000


class Activity:
    """Bytes over time; times are µs since the session's start."""

    def __init__(self, buckets: int = _BUCKETS) -> None:
        """`buckets` is a power of two: more are never held."""
        self._bytes = array("q", bytes(8 * buckets))
        self._width = _FIRST_WIDTH
        self._sums: list[int] | None = None
        self.total = 0

    def add(self, t: int, size: int) -> None:
        """`size` bytes crossed at `t`."""
        at = t // self._width
        while at >= len(self._bytes):
            self._halve()
            at = t // self._width
        self._bytes[at] += size
        self.total += size
        self._sums = None

    def _halve(self) -> None:
        self._width *= 2
        if not self.total:
            return
        half = len(self._bytes) // 2
        merged = array("q", map(int.__add__, self._bytes[::2], self._bytes[1::2]))
        self._bytes = merged + array("q", bytes(8 * half))

    def between(self, edges: Sequence[int]) -> list[float]:
        """The bytes between each two of `edges` (ascending times); a bucket across an edge is divided evenly."""
        counts = [self._until(edge) for edge in edges]
        return [later - earlier for earlier, later in pairwise(counts)]

    def _until(self, t: int) -> float:
        if self._sums is None:
            self._sums = list(accumulate(self._bytes, initial=0))
        at, rest = divmod(max(t, 0), self._width)
        if at >= len(self._bytes):
            return float(self.total)
        return self._sums[at] + self._bytes[at] * rest / self._width
