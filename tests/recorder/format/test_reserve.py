"""Room kept for closing tapes: it is really allocated, grows with the sessions, and is given back when it is needed."""

from pathlib import Path

from recorder.format import journal
from recorder.format.reserve import Reserve

_MIB = 1024 * 1024


def allocated(path: Path) -> int:
    return path.stat().st_blocks * 512


def test_it_holds_what_the_journal_may_hold_and_64_kib_a_session(tmp_path: Path) -> None:
    path = tmp_path / "reserve"
    reserve = Reserve(path)
    for sessions in (1, 16, 17, 200):
        assert reserve.hold(sessions)
        wanted = journal.CAPACITY + sessions * 64 * 1024
        assert wanted <= path.stat().st_size < wanted + _MIB
        assert allocated(path) >= wanted
    assert reserve.hold(1)
    assert path.stat().st_size >= journal.CAPACITY + 200 * 64 * 1024  # it does not shrink


def test_what_is_released_is_free_and_released_once(tmp_path: Path) -> None:
    path = tmp_path / "reserve"
    reserve = Reserve(path)
    assert not reserve.release()
    reserve.hold(3)
    assert reserve.release()
    assert allocated(path) == 0
    assert not reserve.release()
    assert reserve.hold(1)
    assert allocated(path) >= journal.CAPACITY


def test_one_that_an_earlier_gateway_left_is_taken_over(tmp_path: Path) -> None:
    Reserve(tmp_path / "reserve").hold(100)
    again = Reserve(tmp_path / "reserve")
    assert again.release()
