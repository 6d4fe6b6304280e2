"""From the bytes of a terminal to what was seen: a screen of cells, and plain text for transcripts.

Recorded bytes never leave this package: what it returns is text and styles, safe to draw.
"""

from .plain import plain_text
from .row import Row, Run
from .screen import Screen
from .style import Colour, Style

__all__ = ["Colour", "Row", "Run", "Screen", "Style", "plain_text"]
