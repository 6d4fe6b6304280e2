"""A session that goes on is followed; one that is too long for a glance is read in parts."""

import asyncio
from pathlib import Path

import pytest

from recorder.format.frame import Kind
from replay import recording
from replay.tui import PlayerApp, picture, player
from tests.replay.tapes import Tape
from tests.replay.tui.driving import Clock, Driver, drive, session


def test_a_live_session_is_followed(tmp_path: Path) -> None:
    tape = Tape(tmp_path).open().shell(1).put(Kind.OUT, 1, b"$ one", 1_000).flush()

    async def script(driver: Driver) -> None:
        assert "● LIVE" in driver.text()
        await driver.press("G")
        assert "following" in driver.text()
        tape.put(Kind.OUT, 1, b" two", 2_000).note(2, "exec", 2_001, command=b"date").flush()
        driver.player.grow()
        await driver.pilot.pause()
        assert "date" in driver.text()
        assert driver.t == 2_001
        tape.put(Kind.CLOSE, 0, {"reason": "bye"}, 3_000).finish()
        driver.player.grow()
        await driver.pilot.pause()
        assert "LIVE" not in driver.text()
        assert "✓ closed" in driver.text()
        assert driver.player._growth is None

    drive(tape.path, script)


def test_pausing_stays_while_the_session_goes_on(tmp_path: Path) -> None:
    tape = Tape(tmp_path).open().shell(1).put(Kind.OUT, 1, b"$ one", 1_000).flush()

    async def script(driver: Driver) -> None:
        await driver.press("G", "space")
        tape.put(Kind.OUT, 1, b" two", 2_000).flush()
        driver.player.grow()
        await driver.pass_time(10)
        assert driver.t == 1_000
        assert "two" not in driver.text()
        await driver.press("space")
        await driver.pass_time(0.5)
        assert driver.t == 1_500
        await driver.pass_time(5)
        assert "following" in driver.text()
        assert "$ one two" in driver.text()

    drive(tape.path, script)
    tape.close()


def test_begun_at_the_end_of_a_live_session_it_follows(tmp_path: Path) -> None:
    tape = Tape(tmp_path).open().shell(1).put(Kind.OUT, 1, b"$ one", 1_000).flush()

    async def script(driver: Driver) -> None:
        assert "following" in driver.text()

    drive(tape.path, script, at=1_000_000)
    tape.close()


def test_no_timer_outlives_the_player(tmp_path: Path) -> None:
    tape = Tape(tmp_path).open().shell(1).put(Kind.OUT, 1, b"x", 1_000).flush()

    async def run() -> set[asyncio.Task[object]]:
        with recording.open(tape.path) as opened:
            app = PlayerApp(opened, clock=Clock())
            async with app.run_test() as pilot:
                await pilot.press("space")
        await asyncio.sleep(0)
        return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}

    assert asyncio.run(run()) == set()
    tape.close()


async def settled(driver: Driver) -> None:
    while driver.player._catching_up:
        await driver.pilot.pause()


def test_a_long_session_is_surveyed_and_sought_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tape = Tape(tmp_path).open().shell(1, 80, 24)
    for number in range(2_000):
        tape.put(Kind.OUT, 1, b"line %d\r\n" % number)
    monkeypatch.setattr(player, "_FRAMES", 300)
    monkeypatch.setattr(player, "_COST", 4_096)

    async def script(driver: Driver) -> None:
        while not driver.player._surveyed:
            await driver.pilot.pause()
        await driver.press("G")
        await settled(driver)
        assert "line 1999" in driver.text()
        assert "seeking" not in driver.text()
        await driver.press("5")
        await settled(driver)
        assert "line 1999" not in driver.text()
        assert driver.deck.playback.here.t // 1_000_000 == 1

    drive(tape.close(), script)


def test_a_picture_refers_to_nothing_outside(tmp_path: Path) -> None:
    path = session(tmp_path)
    with recording.open(path) as opened:
        svg = asyncio.run(picture(opened, 10_250_000, (120, 32)))
    assert svg.startswith("<svg")
    assert "make&#160;all" in svg
    assert "no&#160;rule" in svg
    assert "url(http" not in svg
    assert "@font-face" not in svg
    assert svg.count("http") == svg.count("http://www.w3.org/2000/svg")
