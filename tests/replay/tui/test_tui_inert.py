"""Nothing recorded is interpreted: not as markup, not as a link, not as an escape sequence."""

from pathlib import Path

import pytest

from recorder.format.frame import Kind
from tests.replay.tapes import Tape
from tests.replay.tui.driving import Driver, drive

MARKUP = "[@click=app.quit]x[/] [bold red]y[/] [link=https://evil.example]z[/link]"
HOSTILE = f"{MARKUP} \x1b]52;c;AAAA\x07 \x1b[31m \x9b2J \u202e\u200b \x07\udcff"


def hostile(tapes: Path) -> Path:
    tape = Tape(tapes).open(
        agent=HOSTILE,
        on_behalf_of=HOSTILE,
        run=HOSTILE,
        request=HOSTILE,
        target=HOSTILE,
        login=HOSTILE,
        client=HOSTILE,
        credential=HOSTILE,
        protocol=HOSTILE,
    )
    raw = HOSTILE.encode("utf-8", "surrogateescape")
    tape.run(1, raw, b"", raw, status=3)
    tape.note(2, "channel", type="session").note(2, "pty", term=HOSTILE, columns=90, rows=5)
    tape.note(2, "exec", command=raw)
    tape.put(Kind.OUT, 2, raw + b"\x1b]0;" + MARKUP.encode() + b"\x07\r\n")
    tape.put(Kind.OUT, 2, b"\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\ " + MARKUP.encode())
    tape.put(Kind.VERDICT, 2, {"operation": HOSTILE, "effect": "deny", "rule": HOSTILE, "reason": HOSTILE})
    tape.note(2, "exit", signal=HOSTILE)
    tape.note(3, "subsystem", subsystem=raw).note(3, "channel-failed", reason=HOSTILE)
    tape.put(Kind.CLOSE, 0, {"reason": HOSTILE, "verdicts": {HOSTILE: 1}})
    return tape.finish()


def styles_of(player: Driver) -> list[object]:
    strips = player.app.screen._compositor.render_strips(player.app.size)
    return [segment.style for strip in strips for segment in strip if segment.style is not None]


def assert_inert(player: Driver) -> None:
    text = player.text()
    assert all(line.isprintable() for line in text.split("\n")), text
    assert "https://evil.example" in text or "x[/]" in text or "@click" in text or len(text) < 200
    for style in styles_of(player):
        assert not getattr(style, "link", None)
        assert "app.quit" not in str(getattr(style, "meta", {}))


@pytest.mark.parametrize("size", [(200, 60), (80, 24), (20, 5)])
def test_hostile_strings_are_only_shown(tmp_path: Path, size: tuple[int, int]) -> None:
    async def script(player: Driver) -> None:
        assert_inert(player)
        for key in ("v", "V", "e", "e", "right_square_bracket", "full_stop", "w", "c", "w", "c", "s", "s", "s", "G"):
            await player.press(key)
            assert_inert(player)

    drive(hostile(tmp_path), script, size=size)


def test_markup_stands_as_it_was_typed_and_clicking_it_does_nothing(tmp_path: Path) -> None:
    async def script(player: Driver) -> None:
        await player.press("G", "s", "s")
        lines = player.lines()
        row = next(number for number, line in enumerate(lines) if "link [@click=app.quit]x[/] [bold red]y[/]" in line)
        column = lines[row].index("]x[/]") + 1
        before = player.t
        await player.pilot.click(offset=(column, row))
        await player.pilot.click(offset=(lines[row].index("link "), row))
        await player.pilot.pause()
        assert player.t == before
        assert player.app.is_running
        assert not player.app._exit

    drive(hostile(tmp_path), script, size=(200, 60))


def test_typed_secrets_are_not_in_the_frame_line(tmp_path: Path) -> None:
    tape = Tape(tmp_path).open().shell(1).put(Kind.IN, 1, b"hunter2\r").close()

    async def script(player: Driver) -> None:
        for _ in range(8):
            await player.press("full_stop")
            assert "hunter2" not in player.text()

    drive(tape, script)


def test_concealed_text_is_shown_as_such(tmp_path: Path) -> None:
    tape = Tape(tmp_path).open().shell(1)
    tape.put(Kind.OUT, 1, b"\x1b[8mconcealed\x1b[0m \x1b[30;40mblack\x1b[0m \x1b[8m    \x1b[0m plain")

    async def script(player: Driver) -> None:
        await player.press("G")
        assert "▲ hidden text underlined" in player.text()
        assert "concealed black" in player.text()
        strips = player.app.screen._compositor.render_strips(player.app.size)
        lined = {segment.text for strip in strips for segment in strip if segment.style and segment.style.underline}
        assert lined == {"concealed", "black"}

    drive(tape.close(), script)
