"""What one stream shows at a moment: its screen, or the text that came without a terminal, and how it ended.

Fed with frames in order. What the player says of the stream is kept apart from what was recorded.
"""

from bisect import bisect_right
from collections.abc import Mapping

from recorder.format.frame import Frame, Kind
from replay.recording.facts import number, text
from replay.terminal import Screen
from replay.timeline.stream import DEFAULT_SIZE

PLAIN_COLUMNS = 400
"""Cells of a line of output that no terminal wrapped."""
PLAIN_ROWS = 50
MAXIMUM_SPANS = 10_000
"""Runs of lines from standard error: more than the lines that the screen and its scrollback hold."""
_COMMAND_LIMIT = 64 * 1024


class View:
    """The state of stream `stream`. `screen` is that of its terminal, or PLAIN_COLUMNS wide without one."""

    def __init__(self, stream: int) -> None:
        self.stream = stream
        self.kind = ""
        self.command = b""
        self.terminal = False
        self.term = ""
        self.screen = Screen(PLAIN_COLUMNS, PLAIN_ROWS)
        self.denied = ""
        self.status: int | None = None
        self.signal = ""
        self.closed = False
        self.bytes_in = 0
        self.bytes_out = 0
        self._errors: list[tuple[int, int]] = []

    def apply(self, frame: Frame) -> None:
        """Takes the stream's next frame."""
        if frame.kind == Kind.OUT:
            self._output(frame.data(), error=False)
        elif frame.kind == Kind.ERR:
            self._output(frame.data(), error=True)
        elif frame.kind == Kind.IN:
            self.bytes_in += len(frame.data())
        elif frame.kind == Kind.NOTE:
            self._note(frame.facts())
        elif frame.kind == Kind.VERDICT and frame.facts().get("effect") == "deny":
            self.denied = text(frame.facts(), "reason") or text(frame.facts(), "rule") or "denied"

    def from_error(self, line: int) -> bool:
        """Whether a line (`screen.scrolled_total` + row) came as extended data, which is standard error."""
        at = bisect_right(self._errors, line, key=lambda span: span[0]) - 1
        return at >= 0 and line <= self._errors[at][1]

    @property
    def binary(self) -> bool:
        """Whether the stream speaks a protocol that is no text to look at."""
        return self.kind == "subsystem"

    def _output(self, data: bytes, *, error: bool) -> None:
        self.bytes_out += len(data)
        if self.binary or not data:
            return
        if self.terminal:
            self.screen.feed(data)
            return
        first = self._line
        if self.screen.cursor[1] and error != self.from_error(first):
            # Each line shows one of the two: where the other goes on in the middle of a line, a new one begins.
            self.screen.feed(b"\r\n")
            first = self._line
        # Without a terminal nothing turned line feeds into new lines on the way.
        self.screen.feed(data.replace(b"\n", b"\r\n"))
        if error:
            last = self._line if self.screen.cursor[1] else self._line - 1
            self._mark(first, max(first, last))

    @property
    def _line(self) -> int:
        return self.screen.scrolled_total + self.screen.cursor[0]

    def _mark(self, first: int, last: int) -> None:
        while self._errors and self._errors[-1][1] + 1 >= first:
            earlier = self._errors.pop()
            first, last = min(first, earlier[0]), max(last, earlier[1])
        self._errors.append((first, last))
        if len(self._errors) > 2 * MAXIMUM_SPANS:
            del self._errors[:MAXIMUM_SPANS]

    def _note(self, facts: Mapping[str, object]) -> None:
        match facts.get("name"):
            case "pty":
                self.terminal = True
                self.term = text(facts, "term")
                self.screen = Screen(*size_of(facts))
            case "resize" if self.terminal:
                self.screen.resize(*size_of(facts))
            case "shell":
                self.kind = "shell"
            case "exec" | "subsystem" as kind:
                self.kind = kind
                piece = text(facts, "command" if kind == "exec" else "subsystem").encode("utf-8", "surrogateescape")
                self.command = (self.command + piece)[:_COMMAND_LIMIT]
            case "exit":
                self.status = number(facts, "status") if "status" in facts else None
                self.signal = text(facts, "signal")
            case "close":
                self.closed = True


def size_of(facts: Mapping[str, object]) -> tuple[int, int]:
    """Columns and rows of a `pty` or `resize` note; what it leaves open (0, RFC 4254 section 6.2) is 80 and 24."""
    columns, rows = number(facts, "columns"), number(facts, "rows")
    return (columns if columns > 0 else DEFAULT_SIZE[0], rows if rows > 0 else DEFAULT_SIZE[1])
