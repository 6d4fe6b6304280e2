"""Session time to play time and back: monotonic, invertible, and the same outside of folds."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from replay.timeline.folding import LEAST_GAP, Folding, Gaps

_SECOND = 1_000_000
spans = st.lists(st.integers(0, 400 * _SECOND), min_size=1, max_size=30)
limits = st.integers(LEAST_GAP, 20 * _SECOND)


def folding_of(spans: list[int], limit: int) -> Folding:
    gaps, t = Gaps(), 0
    for span in spans:
        gaps.add(t, t + span)
        t += span
    return Folding(gaps, t, limit)


@given(spans, limits, st.data())
def test_play_time_never_runs_backwards(spans: list[int], limit: int, data: st.DataObject) -> None:
    folding = folding_of(spans, limit)
    times = sorted(data.draw(st.lists(st.integers(0, folding.session_duration), min_size=2)))
    assert all(folding.folded(one) <= folding.folded(other) for one, other in pairwise(times))
    played = sorted(data.draw(st.lists(st.integers(0, folding.duration), min_size=2)))
    assert all(folding.session(one) <= folding.session(other) for one, other in pairwise(played))


@given(spans, limits, st.data())
def test_every_play_time_comes_back(spans: list[int], limit: int, data: st.DataObject) -> None:
    folding = folding_of(spans, limit)
    played = data.draw(st.integers(0, folding.duration))
    t = folding.session(played)
    assert 0 <= t <= folding.session_duration
    assert folding.folded(t) == played


@given(spans, limits, st.data())
def test_session_time_comes_back_exactly_outside_of_folds(spans: list[int], limit: int, data: st.DataObject) -> None:
    folding = folding_of(spans, limit)
    t = data.draw(st.integers(0, folding.session_duration))
    back = folding.session(folding.folded(t))
    fold = folding.fold_at(t)
    if fold is None:
        assert back == t
    else:
        assert fold.start <= back <= t
        assert t - back <= fold.length / limit + 1


@given(spans, limits)
def test_each_fold_takes_the_limit(spans: list[int], limit: int) -> None:
    folding = folding_of(spans, limit)
    assert all(fold.length > limit for fold in folding.folds)
    assert [fold.length for fold in folding.folds] == [span for span in spans if span > limit]
    for fold in folding.folds:
        assert folding.folded(fold.start) == fold.at
        assert folding.folded(fold.end) == fold.at + limit
    saved = sum(fold.length - limit for fold in folding.folds)
    assert folding.duration == folding.session_duration - saved


@given(spans)
def test_a_limit_of_zero_folds_nothing(spans: list[int]) -> None:
    folding = folding_of(spans, 0)
    assert folding.folds == []
    assert folding.duration == folding.session_duration
    assert folding.session(folding.duration) == folding.session_duration
