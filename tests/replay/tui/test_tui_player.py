"""The player does what its keys say."""

from pathlib import Path

import pytest

from replay.tui.command_list import CommandList
from replay.tui.timeline_bar import TimelineBar
from tests.replay.tapes import Tape
from tests.replay.tui.driving import Driver, drive, session


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    return session(tmp_path)


def test_everything_is_in_sight(tape: Path) -> None:
    async def script(player: Driver) -> None:
        text = player.text()
        for part in (
            "ci for ana → deploy@web1",
            "✓ closed",
            "interactive shell",
            "make all",
            "40×6 xterm-256color",
            "00:15 / 01:20  ×1  idle≤2 s",
            "▲ unattributed",
            "OPS-4711",
            "no damage found so far",
        ):
            assert part in text, part

    drive(tape, script, size=(160, 40), at=15_000_000)


def test_space_plays_and_pauses_by_the_clock(tape: Path) -> None:
    async def script(player: Driver) -> None:
        await player.pass_time(1)
        assert player.t == 0
        await player.press("space")
        await player.pass_time(1.5)
        assert player.t == 1_500
        assert "▶ 00:01 / 01:20" in player.text()
        await player.press("space")
        await player.pass_time(5)
        assert player.t == 1_500

    drive(tape, script)


def test_speed_steps_up_and_down_between_its_ends(tape: Path) -> None:
    async def script(player: Driver) -> None:
        for _ in range(6):
            await player.press(">")
        assert player.deck.playback.speed == 16
        for _ in range(9):
            await player.press("<")
        assert player.deck.playback.speed == 0.25
        await player.press("space")
        await player.pass_time(4)
        assert player.t == 1_000
        assert "×0.25" in player.text()

    drive(tape, script)


def test_idle_time_is_folded_and_said(tape: Path) -> None:
    async def script(player: Driver) -> None:
        assert "┊1min┊" in player.text()
        await player.press("space")
        await player.pass_time(0.5)
        assert 15_000 < player.t < 75_000
        assert "idle 1 min, folded" in player.text()
        await player.pass_time(1.5)
        assert player.t == 75_000
        await player.press("i")
        assert "idle played" in player.text()
        assert "┊1min┊" not in player.text()
        await player.press("i")
        assert "idle≤2 s" in player.text()

    drive(tape, script, at=15_000_000)


def test_skipping_is_in_play_time(tape: Path) -> None:
    async def script(player: Driver) -> None:
        await player.press("right", "l")  # 2 s to 10 s is a fold of 2 s
        assert player.t == 15_000 + (75_000 - 15_000) // 2 or player.t > 10_000
        await player.press("left", "h", "left")
        assert player.t == 0
        await player.press("shift+right")
        assert player.t == 80_000
        await player.press("shift+left")
        assert player.t == 0

    drive(tape, script)


def test_tenths_and_ends(tape: Path) -> None:
    async def script(player: Driver) -> None:
        await player.press("G")
        assert player.t == 80_000
        await player.press("g")
        assert player.t == 0
        await player.press("5")
        playback = player.deck.playback
        assert abs(playback.played - playback.folding.duration // 2) <= 1
        await player.press("0")
        assert player.t == 0

    drive(tape, script)


def test_frames_one_by_one_and_back(tape: Path) -> None:
    async def script(player: Driver) -> None:
        seen = []
        for _ in range(12):
            await player.press("full_stop")
            seen.append((player.deck.playback.here, player.lines()[1:-8]))
        for moment, shown in reversed(seen[:-1]):
            await player.press("comma")
            assert player.deck.playback.here == moment
            assert player.lines()[1:-8] == shown
        assert "frame" in player.text()

    drive(tape, script)


def test_commands_errors_verdicts_markers(tape: Path) -> None:
    async def script(player: Driver) -> None:
        await player.press("right_curly_bracket", "right_curly_bracket")
        assert player.t == 10_001
        assert "$ make all" in player.text()
        await player.press("e")
        assert player.t == 10_300
        assert "! no rule" in player.text()
        assert "✗ exit 2" in player.text()
        await player.press("v")
        assert player.t == 15_000
        assert "no ports" in player.text()
        await player.press("V")
        assert player.t == 15_000
        assert "no earlier denied verdict" in player.text()
        await player.press("right_square_bracket")
        assert player.t == 76_001
        await player.press("left_square_bracket")
        assert player.t == 15_000
        await player.press("E")
        assert player.t == 10_300
        await player.press("left_curly_bracket")
        assert player.t == 10_001

    drive(tape, script)


def test_choosing_a_command_jumps_to_it(tape: Path) -> None:
    async def script(player: Driver) -> None:
        await player.press("down", "down", "enter")
        assert player.t == 76_001
        await player.pilot.click(CommandList, offset=(5, 2))
        await player.pilot.pause()
        assert player.t == 10_001
        assert "▶00:10" in player.text()

    drive(tape, script)


def test_pointing_at_the_timeline_seeks(tape: Path) -> None:
    async def script(player: Driver) -> None:
        bar = player.app.screen.query_one(TimelineBar)
        await player.pilot.click(TimelineBar, offset=(bar.size.width, 3))
        await player.pilot.pause()
        assert player.t == 80_000
        await player.pilot.click(TimelineBar, offset=(6, 3))
        await player.pilot.pause()
        assert player.t == 0
        middle = 6 + (bar.size.width - 5) // 2
        await player.pilot.mouse_down(TimelineBar, offset=(20, 3))
        await player.pilot.hover(TimelineBar, offset=(middle, 3))
        await player.pilot.mouse_up(TimelineBar, offset=(middle, 3))
        await player.pilot.pause()
        playback = player.deck.playback
        assert abs(playback.played / playback.folding.duration - 0.5) < 0.02

    drive(tape, script)


def test_channels_are_held_and_followed(tape: Path) -> None:
    async def script(player: Driver) -> None:
        assert "channel 3" in player.text()
        await player.press("s")
        assert "channel 1 held" in player.text()
        assert "second" in player.text()
        await player.press("s")
        assert "channel 2 held" in player.text()
        await player.press("s", "s")
        assert "held" not in player.text()

    drive(tape, script, at=76_500_000)


@pytest.mark.parametrize(
    ("typed", "t"), [("0:15", 15_000), ("83.4", 80_000), ("+5", 6_000), ("@cmd:2", 10_001), ("@frame:6", 1_000)]
)
def test_going_to_a_moment(tape: Path, typed: str, t: int) -> None:
    async def script(player: Driver) -> None:
        await player.press("colon", *typed, "enter")
        assert player.t == t

    drive(tape, script, at=1_000_000)


def test_going_nowhere_says_why_and_escape_changes_nothing(tape: Path) -> None:
    async def script(player: Driver) -> None:
        await player.press("colon", *"soon", "enter")
        assert player.t == 1_000
        assert "is no moment" in player.text()
        await player.press("colon", "5", "escape")
        assert player.t == 1_000

    drive(tape, script, at=1_000_000)


def test_help_lists_the_bindings(tape: Path) -> None:
    async def script(player: Driver) -> None:
        await player.press("question_mark")
        for part in ("previous command", "faster", "shift+←", "tenths of the session", "every command by name"):
            assert part in player.text()
        await player.press("escape")
        assert "previous command" not in player.text()

    drive(tape, script, size=(100, 50))


def test_the_palette_does_what_keys_do(tape: Path) -> None:
    async def script(player: Driver) -> None:
        await player.press("ctrl+p")
        await player.press(*"next error")
        await player.app.workers.wait_for_complete()
        await player.press("down", "enter")
        await player.pilot.pause()
        assert player.t == 10_300

    drive(tape, script)


def test_q_quits(tape: Path) -> None:
    async def script(player: Driver) -> None:
        await player.press("q")
        assert not player.app.is_running or player.app._exit

    drive(tape, script)


def test_playing_ends_at_the_end_and_begins_anew(tape: Path) -> None:
    async def script(player: Driver) -> None:
        assert "▶ 00:00 / 01:20" in player.text()
        await player.pass_time(1_000)
        assert "‖ 01:20 / 01:20" in player.text()
        await player.press("space")
        assert "▶ 00:00 / 01:20" in player.text()

    drive(tape, script, playing=True)


def test_a_session_without_channels(tmp_path: Path) -> None:
    async def script(player: Driver) -> None:
        assert "nothing was recorded" in player.text()
        assert "no commands" in player.text()
        for key in ("full_stop", "comma", "s", "e", "right_curly_bracket", "G", "space", "5"):
            await player.press(key)

    drive(Tape(tmp_path).open().close(), script)


def test_a_tape_without_frames(tmp_path: Path) -> None:
    async def script(player: Driver) -> None:
        assert "▲ not closed" in player.text()
        for key in ("full_stop", "comma", "space", "G", "right"):
            await player.press(key)

    drive(Tape(tmp_path).abandon(), script)
