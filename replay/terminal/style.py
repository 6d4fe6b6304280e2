"""How a cell looks: `Style` for readers, and the packed `pen` integer that the cells of a screen hold.

A pen keeps a screen of a million differently coloured cells small and makes comparing two cells one operation.
"""

from dataclasses import dataclass
from functools import lru_cache

Colour = int | tuple[int, int, int] | None
"""None for the terminal's default, 0-255 for the palette, or red, green and blue of 0-255 each."""


@dataclass(frozen=True, slots=True)
class Style:
    """The rendition of a run of cells, as SGR (ECMA-48 8.3.117) set it."""

    fg: Colour = None
    bg: Colour = None
    bold: bool = False
    dim: bool = False
    italic: bool = False
    underline: bool = False
    blink: bool = False
    reverse: bool = False
    conceal: bool = False
    strike: bool = False


# A colour takes 26 bits: 24 of value, then whether it is of the palette or direct. Zero is the default colour.
PALETTE = 1 << 24
DIRECT = 1 << 25
FOREGROUND_SHIFT = 0
BACKGROUND_SHIFT = 26
FOREGROUND = 0x3FFFFFF << FOREGROUND_SHIFT
BACKGROUND = 0x3FFFFFF << BACKGROUND_SHIFT

BOLD = 1 << 52
DIM = 1 << 53
ITALIC = 1 << 54
UNDERLINE = 1 << 55
BLINK = 1 << 56
REVERSE = 1 << 57
CONCEAL = 1 << 58
STRIKE = 1 << 59


@lru_cache(maxsize=4096)
def style(pen: int) -> Style:
    """The style that a packed pen stands for; equal pens give equal styles."""
    return Style(
        fg=_colour(pen >> FOREGROUND_SHIFT),
        bg=_colour(pen >> BACKGROUND_SHIFT),
        bold=bool(pen & BOLD),
        dim=bool(pen & DIM),
        italic=bool(pen & ITALIC),
        underline=bool(pen & UNDERLINE),
        blink=bool(pen & BLINK),
        reverse=bool(pen & REVERSE),
        conceal=bool(pen & CONCEAL),
        strike=bool(pen & STRIKE),
    )


def _colour(packed: int) -> Colour:
    if packed & DIRECT:
        return packed >> 16 & 0xFF, packed >> 8 & 0xFF, packed & 0xFF
    if packed & PALETTE:
        return packed & 0xFF
    return None
