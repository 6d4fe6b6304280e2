"""The moment shown follows the clock, the speed and the folding."""

from replay.timeline import Folding, Moment
from replay.timeline.folding import Gaps
from replay.tui.playback import Playback
from tests.replay.tui.driving import Clock

SECOND = 1_000_000


def playback(clock: Clock, limit: int = 2 * SECOND) -> Playback:
    gaps = Gaps()
    gaps.add(10 * SECOND, 110 * SECOND)
    return Playback(Folding(gaps, 120 * SECOND, limit), clock)


def test_it_plays_by_the_clock_and_not_by_ticks() -> None:
    clock = Clock()
    one, many = playback(clock), playback(clock)
    one.play()
    many.play()
    for _ in range(1_000):
        clock.now += 0.0073
        many.tick()
    one.tick()
    assert one.here == many.here == Moment(7_300_000)


def test_a_fold_takes_the_limit() -> None:
    clock = Clock()
    player = playback(clock)
    player.play()
    clock.now += 11
    assert player.tick()
    assert player.here.t == 60 * SECOND
    clock.now += 1.5
    player.tick()
    assert player.here.t == 110_500_000


def test_speed_counts_from_when_it_was_set() -> None:
    clock = Clock()
    player = playback(clock)
    player.play()
    clock.now += 2
    player.tick()
    player.set_speed(4)
    clock.now += 1
    player.tick()
    assert player.here.t == 6 * SECOND


def test_a_moment_is_kept_to_the_frame_until_time_moves() -> None:
    clock = Clock()
    player = playback(clock)
    player.seek(Moment(5 * SECOND, 17))
    player.play()
    assert not player.tick()
    assert player.here == Moment(5 * SECOND, 17)
    clock.now += 0.5
    assert player.tick()
    assert player.here == Moment(5_500_000)


def test_it_stops_moving_at_the_end() -> None:
    clock = Clock()
    player = playback(clock)
    player.play()
    clock.now += 1_000
    assert player.tick()
    assert player.at_end
    assert not player.tick()


def test_a_moment_outside_is_the_nearest_inside() -> None:
    player = playback(Clock())
    player.seek(Moment(500 * SECOND, 9))
    assert player.here == Moment(120 * SECOND)
    player.seek_played(-5)
    assert player.here == Moment(0)
