"""SGR, from the bytes to the style of a cell."""

import pytest

from replay.terminal import Colour, Screen, Style


def style_after(parameters: str) -> Style:
    screen = Screen(5, 1)
    screen.feed(f"\x1b[{parameters}mx".encode())
    return screen.styled_row(0)[0][1]


@pytest.mark.parametrize(
    ("parameters", "style"),
    [
        ("", Style()),
        ("0", Style()),
        ("1", Style(bold=True)),
        ("2", Style(dim=True)),
        ("3", Style(italic=True)),
        ("4", Style(underline=True)),
        ("4:3", Style(underline=True)),
        ("21", Style(underline=True)),
        ("5", Style(blink=True)),
        ("7", Style(reverse=True)),
        ("8", Style(conceal=True)),
        ("9", Style(strike=True)),
        ("1;2;3;4;5;7;8;9;0", Style()),
        ("1;2;3;4;5;7;8;9;22;23;24;25;27;28;29", Style()),
        ("4;4:0", Style()),
        ("1;999;3", Style(bold=True, italic=True)),
        (";1", Style(bold=True)),
        ("1;", Style()),
    ],
)
def test_attributes_are_set_and_reset(parameters: str, style: Style) -> None:
    assert style_after(parameters) == style


@pytest.mark.parametrize(
    ("parameters", "colour"),
    [
        ("31", 1),
        ("97", 15),
        ("38;5;208", 208),
        ("38:5:208", 208),
        ("38;2;1;2;3", (1, 2, 3)),
        ("38:2:1:2:3", (1, 2, 3)),
        ("38:2::1:2:3", (1, 2, 3)),
        ("38:2:0:1:2:3:0:0", (1, 2, 3)),
        ("31;39", None),
        ("38", None),
        ("38;9;1", None),
        ("38;5", 0),
        ("38;2;1;2", (1, 2, 0)),
        ("58;5;3", None),
        ("58:2::1:2:3", None),
    ],
)
def test_foreground_and_background_take_16_256_and_direct_colours(parameters: str, colour: Colour) -> None:
    assert style_after(parameters).fg == colour
    background = {"31": "41", "97": "107", "31;39": "41;49"}.get(parameters, parameters.replace("38", "48", 1))
    assert style_after(background).bg == colour


def test_a_colour_takes_only_its_own_parameters() -> None:
    assert style_after("38;5;1;4") == Style(fg=1, underline=True)
    assert style_after("38;2;1;2;3;48;5;7;1") == Style(fg=(1, 2, 3), bg=7, bold=True)
    assert style_after("58;2;1;4;7;3") == Style(italic=True)
    assert style_after("58;5;1;1") == Style(bold=True)


def test_huge_and_many_parameters_are_clamped() -> None:
    assert style_after("9" * 900) == Style()
    assert style_after(";".join(["1"] * 400)) == Style(bold=True)
    assert style_after("38;5;" + "0" * 500 + "7") == Style(fg=7)


def test_sgr_with_a_private_prefix_or_intermediate_is_another_function() -> None:
    assert style_after(">4;1") == Style()
    assert style_after("?1") == Style()
    assert style_after("1 ") == Style()


def test_equal_styles_share_a_run() -> None:
    screen = Screen(6, 1)
    screen.feed(b"\x1b[1ma\x1b[0;1mb\x1b[31mc\x1b[md")
    assert [text for text, _ in screen.styled_row(0)] == ["ab", "c", "d  "]
