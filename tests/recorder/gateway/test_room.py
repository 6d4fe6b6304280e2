"""How much room is left, and what follows from it."""

from pathlib import Path

import pytest

from recorder.gateway.room import Level, Watch, level, room, wanted
from recorder.model import Disk, Threshold

GIB = 1 << 30
DISK = Disk(Threshold(0.10), Threshold(size=GIB), Threshold(0.01))


@pytest.mark.parametrize(
    ("free", "found"),
    [(50 * GIB, Level.FINE), (10 * GIB, Level.FINE), (10 * GIB - 1, Level.WARN), (GIB, Level.END), (0, Level.END)],
)
def test_the_most_severe_threshold_counts(free: int, found: Level) -> None:
    assert level(100 * GIB, free, Disk(Threshold(0.10), Threshold(0.05), Threshold(0.02))) == found


def test_a_threshold_may_be_a_size() -> None:
    assert wanted(Threshold(size=GIB), 10 * GIB) == GIB
    assert wanted(Threshold(0.5, GIB), 10 * GIB) == 5 * GIB
    assert level(50 * GIB, GIB - 1, DISK) == Level.REFUSE


def test_a_change_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    limits = [Disk(Threshold(), Threshold(), Threshold())]
    watch = Watch(tmp_path, lambda: limits[0])
    with caplog.at_level("INFO"):
        assert watch.look() is Level.FINE
        limits[0] = Disk(Threshold(1.0), Threshold(1.0), Threshold())
        assert [watch.look() for _ in range(3)] == [Level.REFUSE] * 3
        assert "MiB left: make room" in (watch.refusal or "")
        limits[0] = Disk(Threshold(), Threshold(), Threshold())
        assert watch.look() is Level.FINE
        assert watch.refusal is None
    assert len(caplog.records) == 2


def test_a_folder_that_is_gone_refuses(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    watch = Watch(data, Disk)
    data.rename(tmp_path / "away")
    assert watch.look() is Level.REFUSE
    data.mkdir()  # another one in its place
    assert watch.look() is Level.REFUSE
    assert "moved away" in (watch.refusal or "")


def test_room_is_what_the_system_says(tmp_path: Path) -> None:
    total, free = room(tmp_path)
    assert 0 < free <= total
