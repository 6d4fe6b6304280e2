"""Bytes over time in constant memory: nothing is lost when the buckets double."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.timeline import Activity

crossings = st.lists(st.tuples(st.integers(0, 1 << 48), st.integers(0, 1 << 20)), max_size=60)


@given(crossings, st.lists(st.integers(0, 1 << 49), max_size=20))
def test_parts_add_up_to_the_whole(crossings: list[tuple[int, int]], inner: list[int]) -> None:
    activity = Activity(buckets=64)
    for t, size in sorted(crossings):
        activity.add(t, size)
    edges = [0, *sorted(inner), 1 << 50]
    parts = activity.between(edges)
    assert len(parts) == len(edges) - 1
    assert all(part >= -1 for part in parts)
    assert sum(parts) == pytest.approx(sum(size for _, size in crossings), rel=1e-9, abs=1e-3)


def test_short_sessions_are_told_apart_by_the_millisecond() -> None:
    activity = Activity()
    activity.add(2_000, 10)
    activity.add(5_500, 7)
    assert activity.between([0, 2_000, 3_000, 5_000, 6_000, 9_000]) == [0, 10, 0, 7, 0]


def test_a_leap_in_time_keeps_what_was_before() -> None:
    activity = Activity(buckets=16)
    activity.add(0, 5)
    activity.add(1 << 48, 6)
    assert activity.total == 11
    assert sum(activity.between([0, 1 << 47, 1 << 49])) == 11
