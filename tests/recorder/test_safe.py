"""What may reach a terminal or a log."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.safe import LOG_LIMIT, printable, quoted

ASCII = "".join(map(chr, range(0x20, 0x7F)))
SPACES = {chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) == "Zs"}


def shows(text: str) -> bool:
    """Whether a terminal acts on nothing in `text`, and every character of it can be encoded."""
    text.encode("utf-8")
    return all(character.isprintable() or character in SPACES for character in text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ASCII,
        "日本語のテキスト、中文，한국어",
        "naïve Ünïcödé ΑΒΓ кириллица עברית العربية",
        "👩\N{MEDIUM WHITE CIRCLE}─│┌ ✓",
        "e\u0301 combining",
        "\u00a0\u3000 spaces",
    ],
)
def test_what_can_be_seen_is_unchanged(text: str) -> None:
    assert printable(text) == text
    assert printable(text.encode()) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x00", "\\x00"),
        ("\x1b[2J", "\\e[2J"),
        ("\x07\x08\x7f", "\\x07\\x08\\x7f"),
        ("a\tb\r\nc", "a\\tb\\r\\nc"),
        ("\x9b31m\x90\x9d\x85", "\\x9b31m\\x90\\x9d\\x85"),  # C1: CSI, DCS, OSC, NEL
        ("\xad", "\\xad"),  # soft hyphen
        ("\u202egnp.exe\u202c", "\\u202egnp.exe\\u202c"),
        ("\u2066\u2067\u2068\u2069\u200e\u200f\u061c", "\\u2066\\u2067\\u2068\\u2069\\u200e\\u200f\\u061c"),
        ("a\u200bb\u200cc\u200dd\u2060\ufeff", "a\\u200bb\\u200cc\\u200dd\\u2060\\ufeff"),
        ("\u2028\u2029", "\\u2028\\u2029"),
        ("\ud800\udfff", "\\ud800\\udfff"),
        ("\udc80\udcff", "\\udc80\\udcff"),  # surrogateescape
        ("\ue000\U000f0000", "\\ue000\\U000f0000"),  # private use
        ("\U000e0041\U000e007f", "\\U000e0041\\U000e007f"),  # tags
        ("\u0378\uffff", "\\u0378\\uffff"),  # unassigned, noncharacter
    ],
)
def test_what_acts_or_hides_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_every_control_format_and_surrogate_is_escaped() -> None:
    for code in range(0x110000):
        character = chr(code)
        if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}:
            assert printable(character).isascii(), hex(code)
            assert printable(character).startswith("\\"), hex(code)


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"\xff\xfe", "\\xff\\xfe"),
        (b"caf\xc3\xa9", "café"),
        (b"caf\xc3", "caf\\xc3"),
        (b"\xc0\xaf", "\\xc0\\xaf"),  # overlong
        (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),  # an encoded surrogate
        (b"\xe2\x80\xae", "\\u202e"),
    ],
)
def test_bytes_that_are_no_utf8_are_shown_by_their_numbers(data: bytes, shown: str) -> None:
    assert printable(data) == shown


def test_the_caller_may_lay_out_newlines_and_tabs_but_nothing_else() -> None:
    assert printable("a\n\tb\r\x1b", keep="\n\t") == "a\n\tb\\r\\e"


@pytest.mark.parametrize("text", ["x" * 300, b"x" * 300, "\x1b" * 300, "日" * 300, "日".encode() * 300, b"\xff" * 300])
@pytest.mark.parametrize("limit", [1, 2, 10, 256])
def test_a_limit_cuts_and_says_so(text: str | bytes, limit: int) -> None:
    shown = printable(text, limit=limit)
    assert len(shown) == limit
    assert shown.endswith("…")


@pytest.mark.parametrize("text", ["x" * 10, b"x" * 10, "日" * 10, "日".encode() * 10])
def test_what_fits_the_limit_is_whole(text: str | bytes) -> None:
    assert printable(text, limit=10) == printable(text)


def test_a_log_line_quotes_and_cuts() -> None:
    assert quoted("web1\n") == '"web1\\n"'
    assert len(quoted("y" * 10_000)) == LOG_LIMIT + 2


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(st.characters()), st.binary()), st.one_of(st.none(), st.integers(1, 60)))
def test_the_output_is_always_printable(text: str | bytes, limit: int | None) -> None:
    shown = printable(text, limit=limit)
    assert shows(shown)
    assert limit is None or len(shown) <= limit


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters()))
def test_printing_twice_changes_nothing(text: str) -> None:
    assert printable(printable(text)) == printable(text)


# Characters of Default_Ignorable_Code_Point that are neither Cf nor unassigned: a terminal shows nothing for them, and
# runs of them carry text that nobody sees. (U+FE0E and U+FE0F, which choose between text and emoji, are left out.)
INVISIBLE = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\ufe00\ufe0d\uffa0\U000e0100\U000e01ef"


@pytest.mark.parametrize("character", INVISIBLE, ids=lambda character: f"U+{ord(character):04X}")
def test_invisible_letters_and_selectors_are_escaped(character: str) -> None:
    assert printable(f"a{character}b") != f"a{character}b"
