"""A terminal's screen as SVG that needs nothing from outside: drawn as the player draws it, cell by cell."""

from collections.abc import Iterator
from html import escape

from rich.cells import cell_len
from rich.color import Color
from rich.style import Style

from recorder.safe import printable
from replay.terminal import Screen
from replay.tui.cells import BACKGROUND, FOREGROUND
from replay.tui.terminal_page import terminal_page

_WIDTH, _HEIGHT, _FONT, _BASE = 9, 18, 15, 14  # px: of a cell, of its characters, down to the line that they stand on
_MARGIN = 9
_FONT_OF_TEXT = f"""font-family="ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace" font-size="{_FONT}\""""


def picture(screen: Screen, title: str) -> str:
    """The document; `title` must be printable. What hides from a person at the terminal is amber and underlined."""
    page = terminal_page(screen)
    width, height = page.columns * _WIDTH + 2 * _MARGIN, len(page.rows) * _HEIGHT + 2 * _MARGIN
    backgrounds: list[str] = []
    texts: list[str] = []
    for number, row in enumerate(page.rows):
        column = 0
        for text, style, _ in row:
            cells = cell_len(text)
            background, drawn = _look(style or Style())
            if background != _hex(BACKGROUND):
                backgrounds.append(
                    f'<rect x="{column * _WIDTH}" y="{number * _HEIGHT}" width="{cells * _WIDTH}" height="{_HEIGHT}" '
                    f'fill="{background}"/>'
                )
            if "text-decoration" not in drawn:
                text = text.rstrip(" ")
            if text:
                texts += (
                    f'<text x="{(column + at) * _WIDTH}" y="{number * _HEIGHT + _BASE}" textLength="{length * _WIDTH}" '
                    f'lengthAdjust="spacingAndGlyphs" {drawn}>{_xml(piece)}</text>'
                    for at, length, piece in _pieces(text)
                )
            column += cells
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        f"<title>{_xml(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="{_hex(BACKGROUND)}"/>',
        f'<g transform="translate({_MARGIN} {_MARGIN})" shape-rendering="crispEdges">',
        *backgrounds,
        "</g>",
        f'<g transform="translate({_MARGIN} {_MARGIN})" {_FONT_OF_TEXT} xml:space="preserve">',
        *texts,
        "</g>",
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _pieces(text: str) -> Iterator[tuple[int, int, str]]:
    """Where each piece begins, its cells, and the piece: fonts are trusted to keep to the grid for ASCII alone."""
    at, piece, length = 0, "", 0
    for character in text:
        cells = cell_len(character)
        joins = not cells or (character.isascii() and piece.isascii())
        if piece and not joins:
            yield at, length, piece
            at, piece, length = at + length, "", 0
        piece, length = piece + character, length + cells
    if length:
        yield at, length, piece


def _xml(text: str) -> str:
    """`text` for an XML document that is safe to print: a character that is not stands there by its number."""
    return "".join(c if printable(c) == c else f"&#{ord(c)};" for c in escape(text))


def _look(style: Style) -> tuple[str, str]:
    """The colour behind cells, and the attributes of the text in them."""
    colour, background = _hex(_rgb(style.color, FOREGROUND)), _hex(_rgb(style.bgcolor, BACKGROUND))
    if style.reverse:
        colour, background = background, colour
    decorations = [name for name, on in (("underline", style.underline), ("line-through", style.strike)) if on]
    attributes = [
        f'fill="{colour}"',
        'fill-opacity="0.6"' if style.dim else "",
        'font-weight="bold"' if style.bold else "",
        'font-style="italic"' if style.italic else "",
        f'text-decoration="{" ".join(decorations)}"' if decorations else "",
    ]
    return background, " ".join(filter(None, attributes))


def _rgb(colour: Color | None, default: tuple[int, int, int]) -> tuple[int, int, int]:
    return colour.triplet if colour is not None and colour.triplet is not None else default


def _hex(rgb: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*rgb)
