"""What a recorded character shows as, and how many cells it takes.

Nothing that can move, reorder or restyle a reviewer's terminal comes out: such characters become REPLACEMENT.
"""

import re
import unicodedata
from functools import lru_cache

from wcwidth import wcwidth

REPLACEMENT = "\ufffd"

# Runs that are drawn at once. Each holds only characters that `glyph` gives back unchanged, of one cell and of two.
RUNS = re.compile(
    "([ -~\u00a0-\u00ac\u00ae-\u02ff\u0391-\u03a1\u03a3-\u03ff\u0400-\u0482\u048a-\u0527\u2010-\u2027\u2500-\u259f]+)"
    "|([\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fcc\uac00-\ud7a3\uff01-\uff60]+)"
    "|(.)",
    re.DOTALL,
)
NARROW, WIDE = 1, 2

# Format characters (Cf) that show a shape of their own, or that only join, split or select the shapes beside them.
_VISIBLE_FORMAT = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
_ATTACHED_FORMAT = frozenset("\u200b\u200c\u200d\u2060\ufeff")
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

# DEC Special Graphics (VT100 user guide, table 3-9), indexed by code, in the form that str.translate takes.
SPECIAL_GRAPHICS = "".join(map(chr, range(0x60))) + "◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·"
UNITED_KINGDOM = "".join(map(chr, range(0x23))) + "£"
US_ASCII = ""


@lru_cache(maxsize=8192)
def glyph(character: str) -> tuple[str, int]:
    """What is shown for a character, and its width in cells: 0 (it attaches to the cell before it), 1 or 2.

    C0, DEL, C1, line and paragraph separators, bidirectional controls, tags and the other invisible format characters
    are shown as REPLACEMENT of one cell: hiding text and reordering it is what they are used for in an attack.
    """
    if unicodedata.category(character) in _HIDDEN_CATEGORIES and character not in _ATTACHED_FORMAT:
        return (character, 1) if character in _VISIBLE_FORMAT else (REPLACEMENT, 1)
    width = wcwidth(character)
    return (character, width) if width >= 0 else (REPLACEMENT, 1)


def legible(text: str) -> str:
    """The text with REPLACEMENT for whatever must not be written to a terminal."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(glyph(character)[0] for character in text)
