"""Bytes in, terminal functions out: the state machine of ECMA-48 control functions, over incremental UTF-8.

Any cutting of the input gives the same calls. It never raises, keeps a bounded state, and looks at each byte once.
"""

import codecs
import re
from enum import Enum, auto
from functools import lru_cache
from typing import Protocol

MAXIMUM_PARAMETERS = 32
MAXIMUM_NUMBER = 65_535
MAXIMUM_SEQUENCE = 1_024
"""Characters of parameters or of intermediates in one sequence; a longer one is read to its end and ignored."""
MAXIMUM_PAYLOAD = 4_096
"""Characters of a control string that are kept."""
MAXIMUM_STRING = 1 << 20
"""Characters that a control string may take before it is held to be unterminated."""

_GROUND_TOKEN = re.compile(
    r"([^\x00-\x1f\x7f]+)"
    r"|\x1b\[([<=>?]?)([0-9;:]{0,1024}+)([@-~])"
    r"|([\x00-\x1f\x7f])"
)
_TEXT, _CONTROL = 1, 5
_STRING_END = re.compile(r"[\x07\x18\x1a\x1b]")


class Actions(Protocol):
    """What the parser drives. None of these may raise."""

    def draw(self, data: str) -> None:
        """Graphic characters, never empty. C1 and format characters come this way too: they are no controls here."""

    def execute(self, control: str) -> None:
        """One C0 control, or DEL."""

    def escape(self, intermediates: str, final: str) -> None:
        """An escape sequence."""

    def control_sequence(self, prefix: str, raw: str, intermediates: str, final: str) -> None:
        """A control sequence (CSI): its private prefix or "", its raw parameters of digits, `;` and `:`."""

    def operating_system_command(self, payload: str) -> None:
        """A whole OSC, its payload cut at MAXIMUM_PAYLOAD."""

    def string_abandoned(self, payload: str) -> None:
        """A control string had no end within its bound; what follows is text again."""


class _State(Enum):
    GROUND = auto()
    ESCAPE = auto()
    CONTROL_SEQUENCE = auto()
    IGNORED_SEQUENCE = auto()
    STRING = auto()


class Parser:
    """Feeds `actions`. A control string of more than `maximum_string` characters is abandoned."""

    def __init__(
        self, actions: Actions, maximum_string: int = MAXIMUM_STRING, maximum_payload: int = MAXIMUM_PAYLOAD
    ) -> None:
        self._actions = actions
        self._maximum_string = maximum_string
        self._maximum_payload = maximum_payload
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._state = _State.GROUND
        self._prefix = ""
        self._raw = ""
        self._intermediates = ""
        self._introducer = ""
        self._payload: list[str] = []
        self._kept = 0
        self._length = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the stream, of any number and cut anywhere."""
        self._parse(self._decoder.decode(data))

    def close(self) -> None:
        """The stream has ended: an incomplete character becomes U+FFFD, an open string is abandoned."""
        self._parse(self._decoder.decode(b"", final=True))
        if self._state is _State.STRING:
            self._abandon()

    def _parse(self, text: str) -> None:
        at = 0
        while at < len(text):
            match self._state:
                case _State.GROUND:
                    at = self._ground(text, at)
                case _State.STRING:
                    at = self._string(text, at)
                case _State.ESCAPE:
                    at = self._escape(text[at], at)
                case _State.CONTROL_SEQUENCE | _State.IGNORED_SEQUENCE:
                    at = self._sequence(text[at], at)

    def _ground(self, text: str, at: int) -> int:
        actions = self._actions
        draw, control_sequence, execute = actions.draw, actions.control_sequence, actions.execute
        for token in _GROUND_TOKEN.finditer(text, at):
            kind = token.lastindex
            if kind == _TEXT:
                draw(token[1])
            elif kind != _CONTROL:
                prefix, raw, final = token.group(2, 3, 4)
                control_sequence(prefix, raw, "", final)
            elif (control := token[_CONTROL]) != "\x1b":
                execute(control)
            else:
                # A sequence that is cut by the end of the data, or of a rarer form.
                self._enter_escape()
                return token.end()
        return len(text)

    def _enter_escape(self) -> None:
        self._state = _State.ESCAPE
        self._prefix = self._raw = self._intermediates = ""

    def _anywhere(self, character: str) -> bool:
        """Whether a character inside a sequence was a control, which acts as if it stood before the sequence."""
        if character >= " " and character != "\x7f":
            return False
        if character == "\x1b":
            self._enter_escape()
        elif character in "\x18\x1a":
            self._state = _State.GROUND
        else:
            self._actions.execute(character)
        return True

    def _escape(self, character: str, at: int) -> int:
        if self._anywhere(character):
            return at + 1
        if character > "~":
            # Text that no escape sequence can contain is shown, where other terminals drop it.
            self._state = _State.GROUND
            return at
        if character < "0":
            if len(self._intermediates) < MAXIMUM_SEQUENCE:
                self._intermediates += character
        elif self._intermediates:
            self._state = _State.GROUND
            self._actions.escape(self._intermediates, character)
        elif character == "[":
            self._state = _State.CONTROL_SEQUENCE
        elif character in "]PX^_":
            self._state = _State.STRING
            self._introducer = character
            self._payload = []
            self._kept = self._length = 0
        else:
            self._state = _State.GROUND
            self._actions.escape("", character)
        return at + 1

    def _sequence(self, character: str, at: int) -> int:
        if self._anywhere(character):
            return at + 1
        if character > "~":
            self._state = _State.GROUND
            return at
        if character >= "@":
            ignored = self._state is _State.IGNORED_SEQUENCE
            self._state = _State.GROUND
            if not ignored:
                self._actions.control_sequence(self._prefix, self._raw, self._intermediates, character)
        elif character < "0":
            self._intermediates += character
        elif self._intermediates:
            self._state = _State.IGNORED_SEQUENCE
        elif character < "<":
            self._raw += character
        elif self._prefix or self._raw:
            self._state = _State.IGNORED_SEQUENCE
        else:
            self._prefix = character
        if len(self._raw) > MAXIMUM_SEQUENCE or len(self._intermediates) > MAXIMUM_SEQUENCE:
            self._raw = self._intermediates = ""
            self._state = _State.IGNORED_SEQUENCE
        return at + 1

    def _string(self, text: str, at: int) -> int:
        limit = at + self._maximum_string - self._length
        found = _STRING_END.search(text, at, limit)
        end = found.start() if found else min(limit, len(text))
        if self._kept < self._maximum_payload:
            piece = text[at : min(end, at + self._maximum_payload - self._kept)]
            self._payload.append(piece)
            self._kept += len(piece)
        self._length += end - at
        if found is None:
            if self._length >= self._maximum_string:
                self._abandon()
            return end
        terminator = text[end]
        self._state = _State.GROUND
        if terminator == "\x1b":
            # ST is ESC \; any other escape sequence ends the string as well.
            self._enter_escape()
        if self._introducer == "]" and terminator not in "\x18\x1a":
            self._actions.operating_system_command("".join(self._payload))
        self._payload = []
        return end + 1

    def _abandon(self) -> None:
        self._state = _State.GROUND
        payload, self._payload = "".join(self._payload), []
        self._actions.string_abandoned(payload)


def number(parameter: str) -> int:
    """A parameter's value without its sub-parameters: 0 when it was left out, MAXIMUM_NUMBER when it is larger."""
    significant = parameter.partition(":")[0].lstrip("0")
    return min(int(significant or "0"), MAXIMUM_NUMBER) if len(significant) <= 5 else MAXIMUM_NUMBER


@lru_cache(maxsize=1024)
def parameters(raw: str) -> tuple[int, ...]:
    """The values of at most MAXIMUM_PARAMETERS parameters, at least one."""
    return tuple(number(parameter) for parameter in raw.split(";", MAXIMUM_PARAMETERS)[:MAXIMUM_PARAMETERS])
