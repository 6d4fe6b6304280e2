"""Turns a recorded or asserted string into one that is safe to print: the only function that does.

It never drops a character: what a terminal would act on, or a person would not see, is written as an escape.
"""

import re
import unicodedata

_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\x1b": "\\e"}
# Cc controls, Cf formats (bidirectional, zero-width, tags), Cs lone surrogates, Co private use, Cn unassigned, Zl/Zp.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Letters and marks that nevertheless show nothing (Default_Ignorable_Code_Point); the two selectors of emoji stay.
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\uffa0\ufe00-\ufe0d\U000e0100-\U000e01ef]")
LOG_LIMIT = 256


def printable(text: str | bytes, *, keep: str = "", limit: int | None = None) -> str:
    """`text` with every control, format and invisible character escaped; bytes are read as UTF-8, others as `\\xNN`.

    `keep` lists control characters that the caller lays out itself (`"\\n\\t"` for a transcript). A result longer than
    `limit` characters is cut and ends in `…`.
    """
    if isinstance(text, bytes):
        if limit is not None:
            text = text[: 4 * limit + 4]
        text = text.decode("utf-8", "backslashreplace")
    if not text.isprintable() or _BLANK.search(text):
        text = "".join(_escaped(character, keep) for character in text)
    if limit is not None and len(text) > limit:
        text = text[: max(limit - 1, 0)] + "…"
    return text


def quoted(text: str | bytes, limit: int = LOG_LIMIT) -> str:
    """`text` made printable, in double quotes and cut to `limit` characters: the form of log lines and messages."""
    return f'"{printable(text, limit=limit)}"'


def _escaped(character: str, keep: str) -> str:
    if character in keep:
        return character
    blank = _BLANK.match(character)
    if not blank and character.isprintable():
        return character
    if not blank and unicodedata.category(character) not in _HIDDEN:
        return character
    code = ord(character)
    if character in _NAMED:
        return _NAMED[character]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
