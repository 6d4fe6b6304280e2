"""Whatever text a terminal can hold is drawn at just the width that the recording gave it."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from replay.terminal import Screen, Style
from replay.tui.cells import drawable, is_hidden
from replay.tui.terminal_page import terminal_page


@given(st.text(max_size=60), st.integers(2, 40))
def test_rows_have_the_recorded_width(text: str, columns: int) -> None:
    screen = Screen(columns, 4)
    screen.feed(text.encode("utf-8", "surrogatepass"))
    page = terminal_page(screen)
    assert len(page.rows) == 4
    for strip in page.rows:
        assert strip.cell_length == columns
        assert "\x1b" not in strip.text
        assert {unicodedata.category(character) for character in strip.text}.isdisjoint({"Cc", "Cf", "Cs", "Cn", "Zl"})


@given(st.binary(max_size=200))
def test_no_bytes_break_the_page(data: bytes) -> None:
    screen = Screen(20, 5)
    screen.feed(data)
    assert [strip.cell_length for strip in terminal_page(screen).rows] == [20] * 5


def test_joiners_are_left_out() -> None:
    assert drawable("a\u200db\ufe0f") == "ab"
    assert drawable("plain") == "plain"


def test_what_hides() -> None:
    assert is_hidden("x", Style(conceal=True))
    assert is_hidden("x", Style(fg=1, bg=1))
    assert is_hidden("x", Style(fg=(13, 17, 22)))
    assert not is_hidden("  ", Style(conceal=True))
    assert not is_hidden("x", Style(fg=1))
