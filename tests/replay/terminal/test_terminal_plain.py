"""Recorded output as the text of a transcript."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.terminal import plain_text


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("", ""),
        ("a\nb\n", "a\nb\n"),
        ("a\r\nb\r\n", "a\nb\n"),
        ("no end", "no end"),
        ("\n\nx", "\n\nx"),
        ("col\tumn\t1\n", "col\tumn\t1\n"),
        ("trailing  \nx ", "trailing\nx"),
        ("\x1b[1;31merror\x1b[0m: no\n", "error: no\n"),
        ("\x1b]0;title\x07$ ls\x1b[K\n", "$ ls\n"),
        ("\x1b]8;;https://example.com\x1b\\link\x1b]8;;\x1b\\\n", "link\n"),
        ("\x1bPq#0~~\x1b\\x", "x"),
        ("\x1b[?2004h\x1b[?1h\x1b=x\x1b[6n", "x"),
        ("nul\x00bel\x07del\x7f", "nulbeldel"),
        ("\x1b(0lqk\x1b(B", "┌─┐"),
        ("=\x1b[4b\n", "=====\n"),
    ],
)
def test_escapes_are_dropped_and_text_is_kept(data: str, text: str) -> None:
    assert plain_text(data.encode()) == text


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (" 10%\r 55%\r100%\n", "100%\n"),
        ("downloading\rdone\n", "doneloading\n"),
        ("downloading\r\x1b[Kdone\n", "done\n"),
        ("downloading\x1b[2K\rdone\n", "done\n"),
        ("downloading\x1b[1K\rdone\n", "done\n"),
        ("|\b/\b-\b\\\bok\n", "ok\n"),
        ("pass\b \b\b \bt\n", "pat\n"),
        ("abc\x1b[2DX\n", "aXc\n"),
        ("abc\x1b[1GX\n", "Xbc\n"),
        ("a\x1b[4Cb\n", "a    b\n"),
        ("世界\b\bX\n", "世X\n"),
        ("世界\bX\n", "世 X\n"),
        ("e\u0301\bX\n", "X\n"),
    ],
)
def test_what_a_progress_bar_overwrites_is_gone(data: str, text: str) -> None:
    assert plain_text(data.encode()) == text


def test_bars_of_several_lines_are_redrawn_in_place() -> None:
    first = "layer a: 10%\r\nlayer b: 20%\r\n"
    second = "\x1b[2Alayer a: done\x1b[K\r\nlayer b: done\x1b[K\r\n"
    assert plain_text((first + second + "finished\n").encode()) == "layer a: done\nlayer b: done\nfinished\n"
    assert plain_text(b"a\nb\nc\x1b[2A\r\x1b[Jx\n") == "x\n"


def test_a_cleared_screen_stays_readable() -> None:
    assert plain_text(b"first\n\x1b[H\x1b[2Jsecond\x1b[Hthird\n") == "first\nsecond\nthird\n"


def test_rows_wrap_at_the_columns_and_are_joined_again() -> None:
    assert plain_text(b"abcdefgh\n", columns=4) == "abcdefgh\n"
    assert plain_text(b"abcdef\rX\n", columns=4) == "abcdXf\n"
    assert plain_text("ab世界\r\n".encode(), columns=3) == "ab世界\n"
    assert plain_text(b"ab", columns=-1) == "ab"
    assert plain_text("世界".encode(), columns=1) == "世界"


def test_invalid_and_hiding_characters_are_replaced() -> None:
    assert plain_text(b"a\xffb\x9bc\xe4\xb8") == "a\ufffdb\ufffdc\ufffd"
    assert plain_text("a\u202eb\x85c\u2028d".encode()) == "a\ufffdb\ufffdc\ufffdd"
    assert plain_text(("a" + "\u0301" * 50 + "b").encode()) == "a" + "\u0301" * 16 + "b"


def test_an_unterminated_string_is_text() -> None:
    assert plain_text(b"shown\x1b]0;hidden\nlines\n") == "shown0;hidden\nlines\n"
    assert plain_text(b"\x1bP" + b"x" * 70_000) == "x" * 70_000


def test_cursor_movement_makes_no_more_blanks_than_its_bound() -> None:
    bound = 200_000
    data = b"\x1b[65535Cx\n" * 10_000
    assert len(plain_text(data)) < 4 * len(data) + bound
    data = b"x\x1b[65535b" * 10_000
    assert len(plain_text(data)) < 4 * len(data) + bound


def test_what_is_far_above_is_out_of_reach() -> None:
    lines = [f"{number}\n" for number in range(3000)]
    text = plain_text("".join(lines).encode() + b"\x1b[9999AX")
    assert text.splitlines()[:2000] == [line.strip() for line in lines[:2000]]
    assert text.count("X") == 1


@given(st.text(st.sampled_from("abc xyz\t\n.,世é"), max_size=200))
def test_plain_lines_come_back_unchanged(text: str) -> None:
    assert plain_text(text.encode()) == "\n".join(line.rstrip(" ") for line in text.split("\n"))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from([b"\x1b[", b"\x1b]", b"\x1b", b"\r", b"\n", b"\b", b"\t", b"9", b";", b"abc", b"\xe4\xb8\x96"])
        | st.sampled_from(
            [b"A", b"B", b"C", b"D", b"G", b"H", b"J", b"K", b"X", b"b", b"1", b"2", b"\xcc\x81", b"\x0e"]
        )
        | st.binary(max_size=3),
        max_size=80,
    ).map(b"".join),
    st.integers(0, 7),
)
def test_any_bytes_give_printable_text(data: bytes, columns: int) -> None:
    text = plain_text(data, columns)
    assert all(character in "\t\n" or (character >= " " and not "\x7f" <= character <= "\x9f") for character in text)
