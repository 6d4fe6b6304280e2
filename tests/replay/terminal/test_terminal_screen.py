"""What a screen shows for the output of ordinary programs, by function of the terminal."""

import pytest

from replay.terminal import Screen, Style


def screen(data: str | bytes, columns: int = 20, rows: int = 4) -> Screen:
    made = Screen(columns, rows)
    made.feed(data.encode() if isinstance(data, str) else data)
    return made


def shown(data: str | bytes, columns: int = 20, rows: int = 4) -> list[str]:
    """The rows down to the last one that is not empty."""
    lines = screen(data, columns, rows).lines()
    while lines and not lines[-1]:
        lines.pop()
    return lines


def test_an_empty_screen_has_a_blank_line_for_each_row() -> None:
    empty = Screen(80, 24)
    assert empty.lines() == [""] * 24
    assert empty.cursor == (0, 0)
    assert (empty.columns, empty.rows) == (80, 24)
    assert not empty.alternate
    assert not empty.cursor_hidden
    assert empty.title == ""


def test_a_line_feed_keeps_the_column_and_a_carriage_return_the_row() -> None:
    assert shown("ab\ncd\r\nef\rg") == ["ab", "  cd", "gf"]


def test_a_full_row_wraps_only_when_the_next_character_comes() -> None:
    full = screen("abcde", columns=5)
    assert full.cursor == (0, 4)
    full.feed(b"\r\nf")
    assert full.lines()[:2] == ["abcde", "f"]
    full.feed(b"\x1b[Habcdefg")
    assert full.lines()[:2] == ["abcde", "fg"]


def test_without_autowrap_the_last_column_is_overwritten() -> None:
    assert shown("\x1b[?7labcdefgh", columns=5) == ["abcdh"]
    assert shown("\x1b[?7labcdef\x1b[?7hgh", columns=5) == ["abcdf", "gh"]
    assert shown("\x1b[?7labcde世界", columns=5) == ["abc界"]


def test_backspace_and_tab_move_without_erasing() -> None:
    assert shown("abc\b\bX") == ["aXc"]
    assert shown("a\tb\tc") == ["a       b       c"]
    assert screen("\t\t\t\t").cursor == (0, 19)


def test_tab_stops_are_set_and_cleared() -> None:
    assert shown("\x1b[3g\x1b[4G\x1bH\r\tx\ty") == ["   x               y"]
    assert shown("\x1b[9G\x1b[g\r\tx") == ["                x"]
    assert screen("\x1b[2I").cursor == (0, 16)
    assert screen("\x1b[2I\x1b[Z").cursor == (0, 8)


@pytest.mark.parametrize(
    ("sequence", "cursor"),
    [
        ("\x1b[3;5H", (2, 4)),
        ("\x1b[3;5f", (2, 4)),
        ("\x1b[H", (0, 0)),
        ("\x1b[99999999;99999999H", (3, 19)),
        ("\x1b[3;5H\x1b[A", (1, 4)),
        ("\x1b[3;5H\x1b[99A", (0, 4)),
        ("\x1b[B", (1, 0)),
        ("\x1b[2C\x1b[D", (0, 1)),
        ("\x1b[99D", (0, 0)),
        ("abc\x1b[2E", (2, 0)),
        ("\x1b[3;5H\x1b[F", (1, 0)),
        ("\x1b[7G", (0, 6)),
        ("\x1b[7`\x1b[2a", (0, 8)),
        ("\x1b[3;5H\x1b[2d", (1, 4)),
        ("\x1b[2e", (2, 0)),
        ("abc\x1bE", (1, 0)),
        ("abc\x1bD", (1, 3)),
    ],
)
def test_the_cursor_moves_and_stays_on_the_screen(sequence: str, cursor: tuple[int, int]) -> None:
    assert screen(sequence).cursor == cursor


def test_erasing_in_line_and_display() -> None:
    assert shown("abcdef\x1b[3D\x1b[K") == ["abc"]
    assert shown("abcdef\x1b[3D\x1b[1K") == ["    ef"]
    assert shown("abcdef\x1b[2Kx") == ["      x"]
    assert shown("ab\r\ncd\r\nef\x1b[2;2H\x1b[J") == ["ab", "c"]
    assert shown("ab\r\ncd\r\nef\x1b[2;1H\x1b[1J") == ["", " d", "ef"]
    assert shown("ab\r\ncd\x1b[2J") == []
    assert shown("abcdef\r\x1b[2X") == ["  cdef"]


def test_erased_cells_take_the_background_only() -> None:
    runs = screen("\x1b[1;4;31;44m\x1b[2Kx", columns=3).styled_row(0)
    assert runs == (
        ("x", Style(fg=1, bg=4, bold=True, underline=True)),
        ("  ", Style(bg=4)),
    )


def test_inserting_and_deleting_characters() -> None:
    assert shown("abc\r\x1b[2@x") == ["x abc"]
    assert shown("abcdef\r\x1b[2P") == ["cdef"]
    assert shown("abc\r\x1b[4hXY\x1b[4lZ") == ["XYZbc"]


def test_inserting_and_deleting_lines_in_the_region() -> None:
    four = "a\r\nb\r\nc\r\nd"
    assert shown(four + "\x1b[2;3r\x1b[2H\x1b[L") == ["a", "", "b", "d"]
    assert shown(four + "\x1b[2;3r\x1b[2H\x1b[M") == ["a", "c", "", "d"]
    assert shown(four + "\x1b[2;3r\x1b[H\x1b[M") == ["a", "b", "c", "d"]


def test_scrolling_moves_only_the_region() -> None:
    four = "a\r\nb\r\nc\r\nd"
    assert shown(four + "\x1b[2;3r\x1b[3H\nx") == ["a", "c", "x", "d"]
    assert shown(four + "\x1b[2;3r\x1b[2H\x1bM") == ["a", "", "b", "d"]
    assert shown(four + "\x1b[2S") == ["c", "d"]
    assert shown(four + "\x1b[T") == ["", "a", "b", "c"]
    assert shown(four + "\x1b[2;3r\x1b[4H\n\nx") == ["a", "b", "c", "x"]


def test_origin_mode_counts_rows_from_the_region() -> None:
    origin = screen("\x1b[2;3r\x1b[?6h")
    assert origin.cursor == (1, 0)
    origin.feed(b"\x1b[9;4H")
    assert origin.cursor == (2, 3)
    origin.feed(b"\x1b[?6l\x1b[4;1H")
    assert origin.cursor == (3, 0)


def test_a_saved_cursor_brings_back_place_style_and_charset() -> None:
    saved = screen("\x1b[2;3H\x1b[31m\x1b(0\x1b7\x1b[H\x1b[m\x1b(B\x1b8q")
    assert saved.lines()[1] == "  ─"
    assert saved.styled_row(1)[1] == ("─", Style(fg=1))
    assert screen("\x1b[2;3H\x1b[s\x1b[H\x1b[u").cursor == (1, 2)


@pytest.mark.parametrize(("enter", "leave"), [("?47h", "?47l"), ("?1047h", "?1047l"), ("?1049h", "?1049l")])
def test_the_alternate_screen_leaves_the_main_one_as_it_was(enter: str, leave: str) -> None:
    editor = screen("shell$ vim")
    editor.feed(f"\x1b[{enter}\x1b[2J\x1b[H~".encode())
    assert (editor.alternate, editor.lines()) == (True, ["~", "", "", ""])
    editor.feed(f"\x1b[{leave}".encode())
    assert (editor.alternate, editor.lines()) == (False, ["shell$ vim", "", "", ""])


def test_mode_1049_saves_the_cursor_and_clears_the_alternate_screen() -> None:
    editor = screen("$ \x1b[?1049hfirst\x1b[?1049l\x1b[?1049h")
    assert editor.lines() == [""] * 4
    editor.feed(b"\x1b[3;3H\x1b[?1049l")
    assert editor.cursor == (0, 2)


def test_the_scrolling_region_belongs_to_its_screen() -> None:
    editor = screen("\x1b[?1049h\x1b[2;3r\x1b[?1049la\r\nb\r\nc\r\nd\r\ne")
    assert editor.lines() == ["b", "c", "d", "e"]


def test_special_graphics_draw_boxes_in_g0_and_g1() -> None:
    assert shown("\x1b(0lqk\x1b(Blqk") == ["┌─┐lqk"]
    assert shown("\x1b)0a\x0eq\x0fq") == ["a─q"]
    assert shown("\x1b(0`~\x1b(A#\x1b(B#") == ["◆·£#"]


def test_rep_repeats_the_character_before_it() -> None:
    assert shown("a\x1b[3b") == ["aaaa"]
    assert shown("e\u0301\x1b[b") == ["e\u0301e\u0301"]
    assert shown("a\r\x1b[3b") == ["a"]


def test_decaln_fills_the_screen_and_ris_clears_it() -> None:
    filled = screen("\x1b#8", columns=3, rows=2)
    assert filled.lines() == ["EEE", "EEE"]
    filled.feed(b"\x1bcx")
    assert filled.lines() == ["x", ""]


def test_decstr_resets_modes_but_not_the_text() -> None:
    reset = screen("text\x1b[?25l\x1b[2;3r\x1b[4h\x1b[31m\x1b[!p")
    assert not reset.cursor_hidden
    reset.feed(b"\x1b[HT")
    assert reset.lines()[0] == "Text"
    assert reset.styled_row(0)[0][1] == Style()


def test_the_cursor_hides_and_shows() -> None:
    hidden = screen("\x1b[?25l")
    seen = [hidden.cursor_hidden]
    hidden.feed(b"\x1b[?25h")
    assert [*seen, hidden.cursor_hidden] == [True, False]


def test_a_wide_character_takes_two_cells_and_stands_once() -> None:
    wide = screen("世界a")
    assert wide.lines()[0] == "世界a"
    assert wide.cursor == (0, 5)
    assert sum(2 if character in "世界" else 1 for text, _ in wide.styled_row(0) for character in text) == 20


def test_a_wide_character_never_stays_in_half() -> None:
    assert shown("世界\x1b[2GX") == [" X界"]
    assert shown("世界\x1b[3GX") == ["世X"]
    assert shown("世界\x1b[2G\x1b[P") == [" 界"]
    assert shown("世界\x1b[2G\x1b[X") == ["  界"]
    assert shown("abcd世", columns=5) == ["abcd", "世"]
    assert shown("世界", columns=1) == ["�", "�"]


def test_marks_join_the_cell_before_them_and_are_bounded() -> None:
    assert shown("e\u0301x") == ["e\u0301x"]
    assert shown("世\u0301x") == ["世\u0301x"]
    assert shown("a\u200btext\u200dafter\ufeffthem") == ["a\u200btext\u200dafter\ufeffthem"]
    many = screen("a" + "\u0301" * 100 + "bc")
    assert many.lines()[0] == "a" + "\u0301" * 16 + "bc"
    assert many.lost_marks == 84


def test_a_mark_after_a_full_row_stays_on_it() -> None:
    assert shown("abcde\u0301f", columns=5) == ["abcde\u0301", "f"]


@pytest.mark.parametrize(
    "character", [*"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u2028\x80\x9b\xad", "\U000e0041"]
)
def test_what_reorders_or_hides_text_is_shown_as_a_replacement(character: str) -> None:
    assert shown(f"a{character}b") == ["a\ufffdb"]


def test_invalid_utf8_and_raw_c1_bytes_are_shown_not_dropped() -> None:
    assert shown(b"a\xffb\x9b31mc\xe4\xb8") == ["a\ufffdb\ufffd31mc"]
    assert shown(b"a\xe4\xb8\x1b[1mb") == ["a\ufffdb"]


def test_other_controls_show_nothing() -> None:
    assert shown("a\x00b\x07c\x7fd\x05") == ["abcd"]


def test_modes_of_keyboard_mouse_and_frames_change_nothing() -> None:
    modes = "\x1b[?1h\x1b[?2004h\x1b[?1000h\x1b[?1006h\x1b[?2026h\x1b[>4;2m\x1b[=1u\x1b=\x1b>\x1b[c\x1b[6n\x1b[5 q"
    assert shown(f"a{modes}b") == ["ab"]


def test_titles_are_kept_to_a_bound_and_made_legible() -> None:
    assert screen("\x1b]0;make: all\x07").title == "make: all"
    assert screen("\x1b]2;über\x1b\\").title == "über"
    assert screen("\x1b]2;" + "x" * 5000 + "\x07").title == "x" * 1024
    assert screen("\x1b]2;a\u202eb\x85\x07").title == "a\ufffdb\ufffd"
    assert screen("\x1b]2;a\x18").title == ""


def test_rows_that_leave_the_top_of_the_main_screen_are_history() -> None:
    log = screen("".join(f"\x1b[3{number % 8}m{number}\x1b[m\r\n" for number in range(10)))
    assert log.history_lines() == [str(number) for number in range(7)]
    assert log.scrolled_total == 7
    assert log.scrollback[1].runs()[0] == ("1", Style(fg=1))
    log.feed(b"\x1b[?1049h" + b"x\r\n" * 50 + b"\x1b[?1049l")
    assert log.scrolled_total == 7


def test_history_is_bounded_and_counts_what_it_dropped() -> None:
    log = screen(b"x\n" * 6000)
    assert len(log.scrollback) == 5000
    assert log.scrolled_total == 5997
    wide = screen(b"x\n" * 3000, columns=1000)
    assert len(wide.scrollback) == (1 << 20) // 1000


def test_clearing_keeps_history_as_evidence_but_never_shows_it_again() -> None:
    log = screen("a\r\nb\r\nc\r\nd\r\ne\x1b[3J")
    log.resize(20, 6)
    assert log.lines() == ["b", "c", "d", "e", "", ""]
    assert log.history_lines() == ["a"]


def test_a_narrower_screen_cuts_and_a_wider_one_pads() -> None:
    resized = screen("abcdef\r\n世界世界", columns=10)
    resized.resize(3, 4)
    assert resized.lines()[:2] == ["abc", "世"]
    assert resized.cursor == (1, 2)
    resized.resize(10, 4)
    assert resized.lines()[:2] == ["abc", "世"]
    resized.feed(b"\r\n\t!")
    assert resized.lines()[2] == "        !"


def test_a_lower_screen_keeps_the_row_of_the_cursor() -> None:
    resized = screen("a\r\nb\r\nc\r\nd")
    resized.resize(20, 2)
    assert resized.lines() == ["c", "d"]
    assert resized.history_lines() == ["a", "b"]
    assert resized.cursor == (1, 1)
    resized.resize(20, 3)
    assert resized.lines() == ["b", "c", "d"]
    assert resized.scrolled_total == 1
    resized.feed(b"\x1b[H")
    resized.resize(20, 2)
    assert resized.lines() == ["b", "c"]


def test_the_main_screen_is_resized_behind_the_alternate_one() -> None:
    editor = screen("a\r\nb\r\nc\r\n$ \x1b[?1049h")
    editor.resize(10, 2)
    editor.feed(b"~\x1b[?1049l")
    assert editor.lines() == ["c", "$"]
    assert editor.cursor == (1, 2)


@pytest.mark.parametrize(
    ("asked", "given"),
    [((0, 0), (1, 1)), ((-5, 10_000), (1, 500)), ((10_000, 0), (1000, 1)), ((1 << 40, 24), (1000, 24))],
)
def test_sizes_are_clamped(asked: tuple[int, int], given: tuple[int, int]) -> None:
    made = Screen(*asked)
    assert (made.columns, made.rows) == given
    made = Screen(80, 24)
    made.resize(*asked)
    assert (made.columns, made.rows) == given
    made.feed("text 世\r\n\x1b[5;5Hx".encode())
    assert len(made.lines()) == given[1]
