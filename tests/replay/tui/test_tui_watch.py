"""A session that is watched: at its live end, away from it and back, and however it ends or goes on."""

import asyncio
import time
from pathlib import Path

import pytest

from recorder.format.frame import Kind
from recorder.model import State
from replay import recording
from replay.timeline import MarkKind, Timeline
from replay.transcript import commands
from replay.tui import PlayerApp
from replay.tui.deck import Deck
from tests.replay.tapes import Tape
from tests.replay.tui.driving import Clock, Driver, drive

LIMIT_S = 30.0


def begun(tapes: Path) -> Tape:
    """A live session with a shell that has shown a prompt for twenty seconds."""
    tape = Tape(tapes).open().shell(1).put(Kind.OUT, 1, b"$ ", 1_000)
    return tape.put(Kind.OUT, 1, b"one", 20_000).flush()


def read_so_far() -> int:
    """Bytes that this process has read, by any system call."""
    return int(Path("/proc/self/io").read_text().split("rchar: ")[1].split()[0])


def test_it_begins_at_the_end_and_follows(tmp_path: Path) -> None:
    tape = begun(tmp_path)

    async def script(driver: Driver) -> None:
        assert driver.t == 20_000
        assert "LIVE following" in driver.text()
        tape.put(Kind.OUT, 1, b" two", 21_000).note(2, "exec", 21_001, command=b"date").flush()
        await driver.look()
        assert driver.t == 21_001
        assert "date" in driver.text()
        await driver.press("s")
        assert "$ one two" in driver.text()

    drive(tape.path, script, follow=True)
    tape.close()


@pytest.mark.parametrize("key", ["left", "g", "comma", "left_curly_bracket", "5"])
def test_moving_back_stops_following_until_it_is_asked_for_again(tmp_path: Path, key: str) -> None:
    tape = begun(tmp_path)

    async def script(driver: Driver) -> None:
        await driver.press(key)
        at = driver.t
        assert at < 20_000
        assert "● LIVE" in driver.text()
        assert "following" not in driver.text()
        tape.put(Kind.OUT, 1, b" two", 30_000).flush()
        await driver.look()
        assert driver.t == at
        assert "two" not in driver.text()
        await driver.press("F")
        assert driver.t == 30_000
        assert "LIVE following" in driver.text()
        tape.put(Kind.OUT, 1, b" three", 31_000).flush()
        await driver.look()
        assert "$ one two three" in driver.text()

    drive(tape.path, script, follow=True)
    tape.close()


def test_a_session_that_ends_says_why_and_stays(tmp_path: Path) -> None:
    tape = begun(tmp_path)

    async def script(driver: Driver) -> None:
        tape.put(Kind.OUT, 1, b" last", 21_000)
        tape.put(Kind.CLOSE, 0, {"reason": "the agent\x1b[2J left", "bytes_in": 7}, 22_000).finish()
        await driver.look()
        text = driver.text()
        assert "the session ended: the agent\\e[2J left" in text
        assert "✓ closed" in text
        assert "LIVE" not in text
        assert "$ one last" in text
        assert driver.t == 22_000
        assert driver.player._growth is None
        await driver.press("F")
        assert "nothing to follow" in driver.text()
        await driver.press("g")
        assert driver.t == 0

    drive(tape.path, script, follow=True)


def test_a_gateway_that_dies_leaves_it_unclosed_and_a_later_start_recovers_it(tmp_path: Path) -> None:
    tape = begun(tmp_path)

    async def script(driver: Driver) -> None:
        tape.abandon()
        await driver.look()
        assert "● LIVE" in driver.text()
        driver.clock.now += 1.5
        await driver.look()
        assert "▲ not closed" in driver.text()
        assert "nobody writes this session any more" in driver.text()
        assert "LIVE" not in driver.text()
        tape.next_segment()
        facts = {"kept": 8, "cut": 12, "journal": 1, "why": "killed"}
        tape.put(Kind.RECOVERY, 0, facts, 20_000).put(Kind.OUT, 1, b" found again", 20_500)
        tape.put(Kind.CLOSE, 0, {"reason": "the gateway stopped"}, 20_500).finish()
        await driver.look()
        text = driver.text()
        assert "~ recovered" in text
        assert "a later start closed the session" in text
        assert "$ one found again" in text
        assert "8 frames kept" in text
        assert driver.player._growth is None
        await driver.press("left_square_bracket")
        assert "8 frames kept, 12 bytes cut off, 1 frames taken from the journal: killed" in driver.text()

    drive(tape.path, script, follow=True, size=(200, 40))


@pytest.mark.parametrize("again", [True, False])
def test_it_goes_on_in_a_new_segment(tmp_path: Path, again: bool) -> None:
    tape = begun(tmp_path)

    async def script(driver: Driver) -> None:
        confirmed = tape.confirmed()
        tape.put(Kind.OUT, 1, b" two", 21_000).put(Kind.OUT, 1, b" three", 22_000).flush()
        await driver.look()
        assert "$ one two three" in driver.text()
        tape.fail(confirmed)
        await driver.look()
        assert "LIVE following" in driver.text()
        tape.next_segment()
        if again:
            tape.put(Kind.OUT, 1, b" two", 21_000).put(Kind.OUT, 1, b" three", 22_000)
        else:
            tape.put(Kind.GAP, 0, {"why": "the disk was full"}, 21_000)
        tape.put(Kind.OUT, 1, b" four", 23_000).flush()
        await driver.look()
        assert ("$ one two three four" if again else "$ one four") in driver.text()
        assert "LIVE following" in driver.text()
        assert driver.t == 23_000
        assert [mark.kind for mark in driver.deck.timeline.marks].count(MarkKind.MISSING) == (not again)

    drive(tape.path, script, follow=True)
    tape.close()


def test_going_back_and_forth_over_a_chunk_that_is_sealed_meanwhile_misses_nothing(tmp_path: Path) -> None:
    tape = begun(tmp_path)

    async def script(driver: Driver) -> None:
        await driver.press("left")
        tape.put(Kind.OUT, 1, b" two", 21_000).chunk().put(Kind.OUT, 1, b" three", 22_000).flush()
        await driver.look()
        await driver.press("G")
        assert "$ one two three" in driver.text()

    drive(tape.path, script, follow=True)
    tape.close()


def test_it_looks_by_itself_and_soon(tmp_path: Path) -> None:
    tape = begun(tmp_path)

    async def run() -> None:
        with recording.open(tape.path) as opened:
            app = PlayerApp(opened, opened.duration, follow=True)
            async with app.run_test() as pilot:
                await pilot.pause()
                driver = Driver(app, pilot, Clock())
                tape.put(Kind.OUT, 1, b" two", 21_000).flush()
                end = time.monotonic() + LIMIT_S
                while "$ one two" not in driver.text():
                    assert time.monotonic() < end
                    await asyncio.sleep(0.01)

    asyncio.run(run())
    tape.close()


def test_looking_at_a_session_in_which_nothing_happens_costs_nothing(tmp_path: Path) -> None:
    tape = begun(tmp_path)

    async def script(driver: Driver) -> None:
        looks = 200  # 20 s of watching
        began, read = time.process_time(), read_so_far()
        for _ in range(looks):
            driver.player.grow()
        assert time.process_time() - began < 0.05 * looks * 0.1
        assert read_so_far() - read < 100_000

    drive(tape.path, script, follow=True)
    tape.close()


def test_what_was_read_is_not_read_again(tmp_path: Path) -> None:
    tape = Tape(tmp_path).open().shell(1)
    for number in range(2_000):
        tape.put(Kind.OUT, 1, number.to_bytes(4, "big").hex().encode() * 256)
    tape.flush()
    with recording.open(tape.path) as opened:
        deck = Deck(opened, time.monotonic, 1.0, 0)
        assert deck.survey(1_000_000)
        deck.seek_end()
        while not deck.shown(1 << 20).there:
            pass
        before = read_so_far()
        for _ in range(20):
            tape.put(Kind.OUT, 1, b"more").flush()
            assert deck.grown()
            assert deck.survey(1_000_000)
            assert deck.shown(1 << 20).there
        assert read_so_far() - before < 2_000_000
        assert deck.timeline.frames == 2_000 + 20 + 5
    tape.close()


def test_commands_and_marks_of_a_tape_that_grows_are_those_of_the_whole(tmp_path: Path) -> None:
    tape = Tape(tmp_path).open().flush()
    with recording.open(tape.path) as opened:
        timeline = Timeline(opened)
        for number in range(1, 20):
            tape.note(number, "channel", type="session").note(number, "exec", command=b"part ", more=True).flush()
            opened.refresh()
            timeline.extend(2)
            tape.note(number, "exec", command=b"%d" % number).put(Kind.OUT, number, b"x" * number)
            if number % 3:
                tape.note(number, "exit", status=number % 2).note(number, "close")
            if number % 5 == 0:
                tape.chunk()
            tape.flush()
            opened.refresh()
            while not timeline.extend(3):
                pass
            found = commands(opened)
            assert list(timeline.commands) == found
            marks = [mark.text for mark in timeline.marks if mark.kind is MarkKind.COMMAND]
            assert marks == [f"part {each}" for each in range(1, number + 1)]
    tape.close()


def test_a_recording_that_is_over_is_not_looked_at(tmp_path: Path) -> None:
    path = Tape(tmp_path).open().shell(1).close()

    async def script(driver: Driver) -> None:
        assert driver.deck.state is State.CLOSED
        assert driver.player._growth is None
        assert "following" not in driver.text()

    drive(path, script, follow=True)


def test_the_key_is_in_the_help(tmp_path: Path) -> None:
    async def script(driver: Driver) -> None:
        await driver.press("question_mark")
        assert "follow the live session again" in driver.text()

    drive(Tape(tmp_path).open().close(), script, size=(100, 50))
