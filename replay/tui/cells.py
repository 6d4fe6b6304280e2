"""Cells of a recorded screen as segments that are safe to write: colours made absolute, hidden text made visible.

Takes runs from `replay.terminal` only; links, blinking and anything else that acts never gets here.
"""

import unicodedata
from functools import lru_cache

from rich.cells import cell_len
from rich.color import Color
from rich.color_triplet import ColorTriplet
from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.strip import Strip
from wcwidth import wcwidth

from replay.terminal import Colour, Run, Style

FOREGROUND = (211, 217, 224)
BACKGROUND = (13, 17, 22)
_HIDDEN = (255, 196, 84)
_BASIC = (
    (43, 48, 56),
    (229, 113, 122),
    (143, 191, 127),
    (216, 178, 110),
    (111, 168, 220),
    (193, 143, 214),
    (108, 191, 192),
    (201, 209, 217),
    (107, 116, 128),
    (242, 139, 146),
    (169, 214, 155),
    (236, 201, 141),
    (143, 191, 240),
    (214, 169, 230),
    (138, 214, 214),
    (240, 243, 246),
)
_LEVELS = (0, 95, 135, 175, 215, 255)


def strip_of(runs: tuple[Run, ...], columns: int) -> Strip:
    """A row of the screen, `columns` cells wide."""
    return _strip(runs, columns)


@lru_cache(maxsize=2048)
def _strip(runs: tuple[Run, ...], columns: int) -> Strip:
    segments = [Segment(drawable(text), rich_style(style, hidden=is_hidden(text, style))) for text, style in runs]
    return Strip(segments).adjust_cell_length(columns, DEFAULT)


def is_hidden(text: str, style: Style) -> bool:
    """Whether a terminal shows nothing where this text stands: concealed, or in the colour of its background."""
    if not text.strip():
        return False
    return style.conceal or _rgb(style.fg, FOREGROUND) == _rgb(style.bg, BACKGROUND)


@lru_cache(maxsize=4096)
def rich_style(style: Style, *, hidden: bool = False) -> RichStyle:
    """The style to draw with; hidden text is drawn amber and underlined."""
    return RichStyle(
        color=_colour(_HIDDEN if hidden else _rgb(style.fg, FOREGROUND)),
        bgcolor=_colour(BACKGROUND if hidden else _rgb(style.bg, BACKGROUND)),
        bold=style.bold,
        dim=style.dim and not hidden,
        italic=style.italic,
        underline=style.underline or hidden,
        reverse=style.reverse and not hidden,
        strike=style.strike,
    )


def drawable(text: str) -> str:
    """`text` of just the width that the recorded screen gave it, whatever joins its characters left out."""
    if text.isascii():
        return text
    return "".join(_cell(character) for character in text)


@lru_cache(maxsize=8192)
def _cell(character: str) -> str:
    # Joiners and variation selectors change the width of their neighbours on some terminals: the cells would shift.
    if unicodedata.category(character) == "Cf" or "\ufe00" <= character <= "\ufe0f":
        return "" if wcwidth(character) == 0 else "\ufffd"
    width = wcwidth(character)
    if width < 0 or cell_len(character) != width or unicodedata.category(character) == "Cn":
        return "\ufffd" * max(width, 0)
    return character


def _rgb(colour: Colour, default: tuple[int, int, int]) -> tuple[int, int, int]:
    if colour is None:
        return default
    if isinstance(colour, tuple):
        return colour
    if colour < 16:
        return _BASIC[colour]
    if colour < 232:
        colour -= 16
        return _LEVELS[colour // 36], _LEVELS[colour // 6 % 6], _LEVELS[colour % 6]
    grey = 8 + 10 * (colour - 232)
    return grey, grey, grey


def _colour(rgb: tuple[int, int, int]) -> Color:
    return Color.from_triplet(ColorTriplet(*rgb))


DEFAULT = rich_style(Style())
