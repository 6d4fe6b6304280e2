"""Output that went to no terminal, piece by piece as text; what is binary is counted, its first bytes shown."""

from collections.abc import Iterator

from recorder.safe import printable
from replay.terminal import plain_text

PIECE = 64 * 1024
"""Bytes after which a piece is given out."""
_PROBE = 4096
_SHOWN = 48
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\x08\x0c\x1b\x07")) + b"\x7f"


class Plain:
    """One direction of one channel. `feed` and `flush` yield `(t, text)`; text is printable, its lines end with \\n."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._since = 0
        self._binary = 0  # bytes counted and not yet told
        self._binary_since = 0
        self._prefix = ""

    def feed(self, t: int, data: bytes) -> Iterator[tuple[int, str]]:
        """Takes bytes that crossed at `t` (µs)."""
        if not self._held:
            self._since = t
        self._held += data
        while len(self._held) >= PIECE:
            yield from self._give(self._held.rfind(b"\n", 0, PIECE) + 1 or PIECE)
            self._since = t

    def lines(self) -> Iterator[tuple[int, str]]:
        """Gives out the whole lines so far."""
        if end := self._held.rfind(b"\n") + 1:
            yield from self._give(end)

    def flush(self) -> Iterator[tuple[int, str]]:
        """Gives out everything so far."""
        if self._held:
            yield from self._give(len(self._held))
        yield from self._counted()

    def _give(self, end: int) -> Iterator[tuple[int, str]]:
        piece = bytes(self._held[:end])
        del self._held[:end]
        if is_binary(piece):
            if not self._binary:
                self._binary_since = self._since
                self._prefix = printable(piece[:_SHOWN], limit=4 * _SHOWN)
            self._binary += len(piece)
            return
        yield from self._counted()
        if text := printable(plain_text(piece), keep="\n\t"):
            yield self._since, text

    def _counted(self) -> Iterator[tuple[int, str]]:
        if self._binary:
            yield self._binary_since, f"{self._prefix} … <{self._binary:,} bytes>\n"
        self._binary = 0


def is_binary(data: bytes) -> bool:
    """Whether bytes are no text, by their first few thousand: a NUL, or more than a tenth of what no text has."""
    probe = data[:_PROBE]
    if b"\0" in probe:
        return True
    strange = len(probe) - len(probe.translate(None, _CONTROLS))
    if not probe.isascii():
        strange += probe.decode("utf-8", "replace").count("\ufffd")
    return strange * 10 > len(probe)
