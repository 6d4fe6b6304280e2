"""Any size of terminal, while playing as well; without colours; terminals larger than the window."""

from pathlib import Path

import pytest

from recorder.format.frame import Kind
from replay.tui.arrangement import arrangement
from replay.tui.command_list import CommandList
from replay.tui.screen_view import ScreenView
from replay.tui.who import Who
from tests.replay.tapes import Tape
from tests.replay.tui.driving import Driver, drive, session

SIZES = [(80, 24), (200, 60), (120, 35), (20, 5), (40, 10), (10, 3), (1, 1), (300, 80), (60, 12)]


@pytest.mark.parametrize("size", SIZES)
def test_draws_at_any_size(tmp_path: Path, size: tuple[int, int]) -> None:
    async def script(player: Driver) -> None:
        for key in ("space", "right_curly_bracket", "c", "w", "question_mark", "escape", "colon", "escape", "G"):
            await player.press(key)
            lines = player.lines()
            assert len(lines) == size[1]
            assert all(len(line) <= size[0] for line in lines)

    drive(session(tmp_path), script, size=size)


def test_resizes_while_it_plays(tmp_path: Path) -> None:
    async def script(player: Driver) -> None:
        for size in SIZES:
            await player.pilot.resize_terminal(*size)
            await player.pass_time(0.1)
            assert len(player.lines()) == size[1]
        assert player.t > 0

    drive(session(tmp_path), script, playing=True)


def test_side_panels_give_way_and_come_when_asked(tmp_path: Path) -> None:
    async def script(player: Driver) -> None:
        def shown() -> tuple[bool, bool, bool]:
            screen = player.app.screen
            return tuple(screen.query_one(kind).display for kind in (CommandList, ScreenView, Who))  # type: ignore[return-value]

        assert shown() == (False, True, False)
        await player.press("w")
        assert shown() == (False, True, True)
        await player.press("c")
        assert shown() == (True, False, True)  # no room left for a screen
        await player.press("w", "c")
        assert shown() == (False, True, False)
        await player.pilot.resize_terminal(200, 60)
        await player.pilot.pause()
        assert shown() == (False, True, False)  # what was asked for stays

    drive(session(tmp_path), script, size=(80, 24))


@pytest.mark.parametrize("height", [1, 5, 13, 29, 80])
def test_something_of_the_screen_is_always_there(height: int) -> None:
    for width in (1, 20, 80, 200):
        plan = arrangement(width, height, None, None)
        assert plan.screen
        assert plan.timeline + plan.title + 1 <= max(height, 1)


def wide(tapes: Path) -> Path:
    tape = Tape(tapes).open().shell(1, 120, 40)
    tape.put(Kind.OUT, 1, b"\x1b[1;1Hupper left\x1b[40;110Hlower right\x1b[1;1H", 10)
    tape.put(Kind.OUT, 1, b"\x1b[40;100H", 1_000)
    return tape.close()


def test_a_screen_larger_than_the_window_is_cropped_and_says_so(tmp_path: Path) -> None:
    async def script(player: Driver) -> None:
        assert "upper left" in player.text()
        assert "cropped ↓21 →40" in player.text()
        await player.press("G")  # the cursor is at the lower right
        assert "upper left" not in player.text()
        assert "cropped ↑21 ←20 →20" in player.text()
        await player.press("ctrl+right", "ctrl+right", "ctrl+right")
        assert "cropped ↑21 ←40" in player.text()
        assert "lower right" in player.text()
        await player.press("pageup", "pageup", "pageup", *["ctrl+left"] * 5)
        assert "upper left" in player.text()
        await player.press("5")
        assert "upper left" in player.text()  # a jump follows the cursor again

    drive(wide(tmp_path), script, size=(80, 24), at=100_000)


def test_a_screen_is_drawn_at_its_size_within_a_border(tmp_path: Path) -> None:
    async def script(player: Driver) -> None:
        lines = player.lines()
        top = next(line for line in lines if "╭" in line)
        assert "╭" + "─" * 120 + "╮" in top
        column = top.index("╭")
        box = [line[column : column + 122] for line in lines[lines.index(top) :]]
        assert all(line[0] == line[-1] == "│" for line in box[1:41])
        assert box[41] == "╰" + "─" * 120 + "╯"
        assert box[1].startswith("│upper left")
        assert "cropped" not in player.text()

    drive(wide(tmp_path), script, size=(200, 60), at=100_000)


def test_the_recorded_size_changes_when_it_changed(tmp_path: Path) -> None:
    tape = Tape(tmp_path).open().shell(1, 30, 5).put(Kind.OUT, 1, b"x", 10)
    tape.note(1, "resize", 20, columns=50, rows=10).put(Kind.OUT, 1, b"y", 30)

    async def script(player: Driver) -> None:
        assert "╭" + "─" * 30 + "╮" in player.text()
        await player.press("G")
        assert "╭" + "─" * 50 + "╮" in player.text()
        await player.press("g")
        assert "╭" + "─" * 80 + "╮" not in player.text()

    drive(tape.close(), script, at=10_000)


def test_wide_characters_keep_the_columns(tmp_path: Path) -> None:
    tape = Tape(tmp_path).open().shell(1, 20, 4)
    text = "漢字🙂e\u0301👨\u200d👩\u200d👧❤\ufe0f"
    tape.put(Kind.OUT, 1, text.encode() + b"\x1b[1;20H|\r\n\x1b[2;20H|\x1b[1;2H")

    async def script(player: Driver) -> None:
        await player.press("G")
        strips = player.app.screen._compositor.render_strips(player.app.size)
        assert {strip.cell_length for strip in strips} == {80}
        assert "漢字" in player.text()

    drive(tape.close(), script, size=(80, 24))


def test_without_colour_signs_and_reverse_remain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def script(player: Driver) -> None:
        strips = player.app.screen._compositor.render_strips(player.app.size)
        background = player.app.screen.background_colors[1]
        filtered = strips
        for each in player.app._filters:
            filtered = [strip.apply_filter(each, background) for strip in filtered]
        styles = [segment.style for strip in filtered for segment in strip if segment.style]
        assert styles
        assert all(style.color is None or style.color.is_default for style in styles)
        assert all(style.bgcolor is None or style.bgcolor.is_default for style in styles)
        assert any(style.reverse for style in styles)
        for sign in ("◆", "✗", "▸", "▶", "●", "✓"):
            assert sign in player.text(), sign

    drive(session(tmp_path), script, size=(120, 35), at=76_000_000)


def test_long_output_without_a_terminal_can_be_scrolled(tmp_path: Path) -> None:
    tape = Tape(tmp_path).open().run(1, b"seq", b"".join(b"row %d\n" % row for row in range(3_000)))
    tape.note(0, "late", 500)

    async def script(player: Driver) -> None:
        await player.press("G")
        assert "row 2999" in player.text()
        await player.press("pageup")
        assert "row 2999" not in player.text()
        assert "↓" in player.text()
        for _ in range(300):
            player.app.screen.query_one(ScreenView).scroll_by(0, -20)
        await player.pilot.pause()
        assert "$ seq" in player.text()
        assert "lines before these are not shown here" in player.text()

    drive(tape.close(), script, size=(80, 24))
