"""SGR, the select graphic rendition sequence: its parameters change a pen.

Takes 16, 256 and direct colours, in the semicolon form and the colon form of ITU T.416; ignores what it does not know.
"""

from functools import lru_cache

from .parser import MAXIMUM_PARAMETERS, number
from .style import (
    BACKGROUND,
    BACKGROUND_SHIFT,
    BLINK,
    BOLD,
    CONCEAL,
    DIM,
    DIRECT,
    FOREGROUND,
    FOREGROUND_SHIFT,
    ITALIC,
    PALETTE,
    REVERSE,
    STRIKE,
    UNDERLINE,
)

_SET = {1: BOLD, 2: DIM, 3: ITALIC, 4: UNDERLINE, 5: BLINK, 6: BLINK, 7: REVERSE, 8: CONCEAL, 9: STRIKE, 21: UNDERLINE}
_RESET = {
    22: BOLD | DIM,
    23: ITALIC,
    24: UNDERLINE,
    25: BLINK,
    27: REVERSE,
    28: CONCEAL,
    29: STRIKE,
    39: FOREGROUND,
    49: BACKGROUND,
}
_UNDERLINE_COLOUR = 58
_EXTENDED = {38: (FOREGROUND, FOREGROUND_SHIFT), 48: (BACKGROUND, BACKGROUND_SHIFT), _UNDERLINE_COLOUR: (0, 0)}


@lru_cache(maxsize=4096)
def select_graphic_rendition(pen: int, raw: str) -> int:
    """The pen after SGR with these raw parameters (`1;38;5;208`, `4:3`, or empty for a reset)."""
    parameters = raw.split(";", MAXIMUM_PARAMETERS)[:MAXIMUM_PARAMETERS]
    at = 0
    while at < len(parameters):
        parameter = parameters[at]
        at += 1
        if ":" in parameter:
            pen = _with_subparameters(pen, [number(part) for part in parameter.split(":")])
            continue
        code = number(parameter)
        if code not in _EXTENDED:
            pen = _single(pen, code)
            continue
        taken, colour = _semicolon_colour(parameters[at : at + 4])
        at += taken
        pen = _coloured(pen, code, colour)
    return pen


def _single(pen: int, code: int) -> int:
    if code == 0:
        return 0
    if code in _SET:
        return pen | _SET[code]
    if code in _RESET:
        return pen & ~_RESET[code]
    if 30 <= code <= 37:
        return _coloured(pen, 38, PALETTE | code - 30)
    if 40 <= code <= 47:
        return _coloured(pen, 48, PALETTE | code - 40)
    if 90 <= code <= 97:
        return _coloured(pen, 38, PALETTE | code - 82)
    if 100 <= code <= 107:
        return _coloured(pen, 48, PALETTE | code - 92)
    return pen


def _coloured(pen: int, code: int, colour: int | None) -> int:
    mask, shift = _EXTENDED[code]
    if colour is None or not mask:
        return pen
    return pen & ~mask | colour << shift


def _with_subparameters(pen: int, codes: list[int]) -> int:
    code = codes[0]
    if code == 4:
        return pen & ~UNDERLINE if codes[1] == 0 else pen | UNDERLINE
    if code in _EXTENDED:
        return _coloured(pen, code, _colon_colour(codes))
    return _single(pen, code)


def _colon_colour(codes: list[int]) -> int | None:
    if codes[1] == 5:
        return _palette(codes[2:])
    if codes[1] == 2:
        # T.416 puts a colour space before the three components; many programs leave it out.
        return _direct(codes[3:] if len(codes) >= 6 else codes[2:])
    return None


def _semicolon_colour(following: list[str]) -> tuple[int, int | None]:
    """How many of the parameters after a 38, 48 or 58 belong to it, and the colour that they give."""
    kind = number(following[0]) if following and ":" not in following[0] else -1
    values = [number(value) for value in following[1:]]
    if kind == 5:
        return min(2, len(following)), _palette(values)
    if kind == 2:
        return len(following), _direct(values)
    return min(1, len(following)), None


# A value that is missing is 0 and one above 255 keeps its low byte, as in xterm.js.


def _palette(values: list[int]) -> int:
    return PALETTE | (values[0] & 0xFF if values else 0)


def _direct(values: list[int]) -> int:
    red, green, blue = (value & 0xFF for value in [*values, 0, 0, 0][:3])
    return DIRECT | red << 16 | green << 8 | blue
