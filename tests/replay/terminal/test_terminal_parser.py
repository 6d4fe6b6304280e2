"""The parser on its own, and the promises that hold for any bytes: never raises, chunk-invariant, bounded, linear."""

import sys
from collections.abc import Callable
from itertools import product
from types import FrameType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wcwidth import wcwidth

from replay.terminal import Screen, plain_text
from replay.terminal.characters import NARROW, RUNS, SPECIAL_GRAPHICS, WIDE, glyph
from replay.terminal.parser import MAXIMUM_SEQUENCE, Parser

_FRAGMENTS: list[bytes | str] = [
    *[
        bytes([byte])
        for byte in b"\x1b\x1b\x1b[[[]PX^_;;:?>=<!$ 0123456789mHABCDJKLMPSTX@brhlsu\\\x07\x18\x1a\r\n\t\b\x7fq"
    ],
    *[b"\x1b[", b"\x1b]0;", b"\x1bP", b"\x1b\\", b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?6h", b"\x1b[2;3r", b"\x1b[4h"],
    *[
        b"\x1b[?7l",
        b"\x1b[?7h",
        b"\x1b(0",
        b"\x1b(B",
        b"\x0e",
        b"\x0f",
        b"\x1b7",
        b"\x1b8",
        b"\x1bM",
        b"\x1b#8",
        b"\x1bc",
    ],
    *["e\u0301", "世", "界", "─", "é", "\u200d", "\u202e", "\U0001f600", "\x9b"],
    *[b"hello", b"99999", b"\xe4", b"\xe4\xb8", b"\xf0\x9f", b"\xff", b"\x80"],
]
hostile_bytes = st.lists(
    st.sampled_from([part.encode() if isinstance(part, str) else part for part in _FRAGMENTS]) | st.binary(max_size=3),
    max_size=60,
).map(b"".join)
sizes = st.tuples(st.integers(1, 12), st.integers(1, 6))


class Recorder:
    """The parser's actions, as a list."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []

    def draw(self, data: str) -> None:
        if self.calls and self.calls[-1][0] == "draw":
            data = self.calls.pop()[1] + data
        self.calls.append(("draw", data))

    def execute(self, control: str) -> None:
        self.calls.append(("execute", control))

    def escape(self, intermediates: str, final: str) -> None:
        self.calls.append(("escape", intermediates, final))

    def control_sequence(self, prefix: str, raw: str, intermediates: str, final: str) -> None:
        self.calls.append(("csi", prefix, raw, intermediates, final))

    def operating_system_command(self, payload: str) -> None:
        self.calls.append(("osc", payload))

    def string_abandoned(self, payload: str) -> None:
        self.calls.append(("abandoned", payload))


def calls(*pieces: bytes, maximum_string: int = 1 << 20) -> list[tuple[str, ...]]:
    recorder = Recorder()
    parser = Parser(recorder, maximum_string)
    for piece in pieces:
        parser.feed(piece)
    return recorder.calls


def single_bytes(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def state(screen: Screen) -> object:
    return (
        [screen.styled_row(row) for row in range(screen.rows)],
        [row.runs() for row in screen.scrollback],
        (screen.cursor, screen.cursor_hidden, screen.alternate, screen.title, screen.scrolled_total, screen.lost_marks),
    )


def assert_sound(screen: Screen) -> None:
    lines = screen.lines()
    assert len(lines) == screen.rows
    row, column = screen.cursor
    assert 0 <= row < screen.rows
    assert 0 <= column < screen.columns
    for number, line in enumerate(lines):
        text = "".join(run for run, _ in screen.styled_row(number))
        assert text.rstrip() == line
        assert sum(wcwidth(character) for character in text) == screen.columns
        assert all(glyph(character)[0] == character for character in text)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x1b[1;2H", [("csi", "", "1;2", "", "H")]),
        (b"\x1b[?25h", [("csi", "?", "25", "", "h")]),
        (b"\x1b[38:2::1:2:3m", [("csi", "", "38:2::1:2:3", "", "m")]),
        (b"\x1b[2 q", [("csi", "", "2", " ", "q")]),
        (b"\x1b[!p", [("csi", "", "", "!", "p")]),
        (b"\x1b[1?2hx", [("draw", "x")]),
        (b"\x1b[2 1qx", [("draw", "x")]),
        (b"\x1b(0", [("escape", "(", "0")]),
        (b"\x1b#8", [("escape", "#", "8")]),
        (b"\x1b[1\n;2H", [("execute", "\n"), ("csi", "", "1;2", "", "H")]),
        (b"\x1b[1\x182H", [("draw", "2H")]),
        (b"\x1b[1\x1b[2H", [("csi", "", "2", "", "H")]),
        ("\x1b[1éx".encode(), [("draw", "éx")]),
        ("\x1béx".encode(), [("draw", "éx")]),
        (b"\x1b]0;t\x07x", [("osc", "0;t"), ("draw", "x")]),
        (b"\x1b]0;t\x1b\\x", [("osc", "0;t"), ("escape", "", "\\"), ("draw", "x")]),
        (b"\x1b]0;t\x1b[mx", [("osc", "0;t"), ("csi", "", "", "", "m"), ("draw", "x")]),
        (b"\x1b]0;t\x18x", [("draw", "x")]),
        (b"\x1b]0;t\x1ax", [("draw", "x")]),
        (b"\x1bPq#1\n\x1b\\x", [("escape", "", "\\"), ("draw", "x")]),
        (b"\x1b_apc\x07x", [("draw", "x")]),
        (b"\x1b^pm\x18x", [("draw", "x")]),
        (b"\x1bXsos\x1b\\x", [("escape", "", "\\"), ("draw", "x")]),
    ],
)
def test_sequences_are_told_apart_whole_and_in_pieces(data: bytes, expected: list[tuple[str, ...]]) -> None:
    assert calls(data) == expected
    assert calls(*single_bytes(data)) == expected


@pytest.mark.parametrize("introducer", ["]", "P", "_", "^", "X"])
def test_an_unterminated_string_ends_at_its_bound_and_text_is_shown_again(introducer: str) -> None:
    data = f"\x1b{introducer}0;{'a' * 98}shown".encode()
    expected = [("abandoned", "0;" + "a" * 98), ("draw", "shown")]
    assert calls(data, maximum_string=100) == expected
    assert calls(*single_bytes(data), maximum_string=100) == expected


def test_a_screen_shows_text_again_after_a_mebibyte_of_an_unterminated_string() -> None:
    screen = Screen(20, 2)
    screen.feed(b"\x1b]0;" + b"a" * (1 << 20))
    screen.feed(b"\r\nshown")
    assert screen.lines() == ["aa", "shown"]
    assert screen.title == ""


@pytest.mark.parametrize("length", [MAXIMUM_SEQUENCE - 1, MAXIMUM_SEQUENCE, MAXIMUM_SEQUENCE + 1, 50_000])
def test_a_sequence_without_end_is_bounded(length: int) -> None:
    data = b"\x1b[" + b"1" * length + b"mx" + b"\x1b[1" + b" " * length + b"mx" + b"\x1b" + b"(" * length + b"0x"
    whole = calls(data)
    assert calls(*single_bytes(data)) == whole
    assert whole[-1] == ("draw", "x")
    assert all(len(part) <= MAXIMUM_SEQUENCE for call in whole for part in call)


def test_no_csi_form_raises_or_hides_the_text_after_it() -> None:
    finals = [chr(code) for code in range(0x40, 0x7F)]
    prefixes = ["", "?", ">", "=", "<"]
    parameters = ["", "0", "1", "3", "47", "99999999999999999999", "1;2;3;4;5;6", ";;", "38:2::1:2:3", "1049"]
    intermediates = ["", " ", "!", "$", "'", '"*']
    for prefix, parameter, intermediate, final in product(prefixes, parameters, intermediates, finals):
        screen = Screen(12, 3)
        screen.feed(f"ab\r\nc\x1b[{prefix}{parameter}{intermediate}{final}@".encode())
        assert any("@" in line for line in screen.lines()), (prefix, parameter, intermediate, final)


def test_no_escape_form_raises_or_hides_the_text_after_it() -> None:
    for intermediate, code in product(["", *map(chr, range(0x20, 0x30))], range(0x30, 0x7F)):
        if not intermediate and chr(code) in "[]PX^_":
            continue
        screen = Screen(12, 3)
        screen.feed(f"ab\x1b{intermediate}{chr(code)}@".encode())
        assert any("@" in line for line in screen.lines()), (intermediate, code)


@settings(max_examples=200, deadline=None)
@given(hostile_bytes, sizes, st.lists(st.integers(1, 40), max_size=20))
def test_any_cutting_gives_the_same_screen(data: bytes, size: tuple[int, int], cuts: list[int]) -> None:
    whole, pieces, trickle = Screen(*size), Screen(*size), Screen(*size)
    whole.feed(data)
    at = 0
    for cut in cuts:
        pieces.feed(data[at : at + cut])
        at += cut
    pieces.feed(data[at:])
    for byte in single_bytes(data):
        trickle.feed(byte)
    assert state(pieces) == state(whole)
    assert state(trickle) == state(whole)


@settings(max_examples=200, deadline=None)
@given(st.lists(hostile_bytes | sizes, max_size=6), sizes)
def test_any_bytes_and_sizes_leave_a_sound_screen(steps: list[bytes | tuple[int, int]], size: tuple[int, int]) -> None:
    screen = Screen(*size)
    for step in steps:
        if isinstance(step, bytes):
            screen.feed(step)
        else:
            screen.resize(*step)
        assert_sound(screen)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_random_bytes_leave_a_sound_screen(data: bytes) -> None:
    screen = Screen(10, 4)
    screen.feed(data)
    assert_sound(screen)


@given(st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp", "Zs", "Mn", "Me", "Mc"]), max_size=30))
def test_no_graphic_character_is_dropped(text: str) -> None:
    screen = Screen(100, 1)
    screen.feed(text.encode())
    # A character of no width at the very beginning rests on a blank cell.
    assert [line.lstrip(" ") for line in screen.lines()] == [text]


def test_the_runs_that_are_drawn_at_once_hold_only_what_glyph_leaves_alone() -> None:
    for code in range(0x20, 0x110000):
        if 0xD800 <= code < 0xE000 or code == 0x7F:
            continue
        run = RUNS.match(chr(code))
        assert run is not None
        if run.lastindex in (NARROW, WIDE):
            assert glyph.__wrapped__(chr(code)) == (chr(code), run.lastindex)


def test_special_graphics_cover_the_last_column_of_ascii() -> None:
    assert len(SPECIAL_GRAPHICS) == 0x7F
    assert "".join(map(chr, range(0x60, 0x7F))).translate(SPECIAL_GRAPHICS)[0x71 - 0x60] == "─"


def python_calls(function: Callable[[], None]) -> int:
    """Functions entered, of Python and of C: a measure of work that no other load on the machine changes."""
    count = 0

    def profile(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        if event in ("call", "c_call"):
            count += 1

    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize(
    "unit",
    [
        b"plain text of a log\r\n",
        b"\x1b[31mred\x1b[0m ",
        b"\x1b[",
        b"\x1b]0;",
        b"\x1bP",
        b"1;",
        b"\x1b[1;1;1;1;1",
        b"\xcc\x81",
        b"\xf0",
        b"\r\x1b[65535C",
        b"a\x1b[65535b",
        b"\x1b[65535S",
        b"\x1b[65535L\x1b[65535@",
        b"\x1b[2J\x1b[41m\x1b[2J\x1b[m",
        b"\x1b[2K\x1b[1Ka",
        b"\x1b[65535A\x1b[65535B\n",
        b"\x1b[?1049h\x1b[?1049l",
    ],
)
@pytest.mark.parametrize("prefix", [b"", b"\x1b[", b"\x1b]", b"\x1b[1", b"\x1b(", b"x" * 3000])
def test_work_is_linear_in_the_bytes(prefix: bytes, unit: bytes) -> None:
    def work(times: int) -> int:
        data = prefix + unit * times

        def both() -> None:
            Screen(20, 5).feed(data)
            plain_text(data)

        return python_calls(both)

    assert work(400) < 2.5 * work(200) + 500
