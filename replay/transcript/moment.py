"""What a person writes for a moment of a recording, turned into µs since its start."""

import re
from datetime import datetime

from recorder.safe import quoted
from replay.recording import NotFound, Recording
from replay.transcript.commands import commands

_CLOCK = re.compile(r"(?:(\d{1,6}):)?(\d{1,6}):(\d{1,2}(?:\.\d{1,9})?)", re.ASCII)
_SECONDS = re.compile(r"\d{1,10}(?:\.\d{1,9})?", re.ASCII)
_PLACE = re.compile(r"@(cmd|frame):(\d{1,18})", re.ASCII)
_FORMS = "1:23, 83.4, +5, an RFC 3339 time, @cmd:12 or @frame:4711"


class MomentError(ValueError):
    """Text that names no moment; one sentence with the forms that do."""


def moment(recording: Recording, text: str, base: int = 0) -> int:
    """The µs since the start that `text` means: `1:23`, `83.4`, an RFC 3339 time, `@cmd:12`, `@frame:4711`.

    `+5` is five seconds after `base` (µs). A time before the start is the start. MomentError when it is of no such
    form, NotFound when there is no such command or frame.
    """
    if match := _PLACE.fullmatch(text):
        return _place(recording, match[1], int(match[2]))
    if match := _CLOCK.fullmatch(text):
        hours, minutes, seconds = match.groups()
        return (int(hours or 0) * 3600 + int(minutes) * 60) * 1_000_000 + _us(seconds)
    if _SECONDS.fullmatch(text):
        return _us(text)
    if text.startswith("+") and _SECONDS.fullmatch(text[1:]):
        return base + _us(text[1:])
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        when = None
    if when is None or when.tzinfo is None or "T" not in text.upper():
        raise MomentError(f"{quoted(text, 64)} is no moment: write {_FORMS}")
    seconds_since_1970 = int(when.timestamp())
    return max((seconds_since_1970 * 1_000_000_000 + when.microsecond * 1000 - recording.start) // 1000, 0)


def _us(seconds: str) -> int:
    whole, _, part = seconds.partition(".")
    return int(whole) * 1_000_000 + int(f"{part:0<6}"[:6])


def _place(recording: Recording, sort: str, number: int) -> int:
    if sort == "frame":
        frame = recording.frame(number)
        if frame is None:
            raise NotFound(f"this recording has no frame {number} that can be read")
        return frame.t
    found = commands(recording)
    if not 1 <= number <= len(found):
        raise NotFound(f"this recording has {len(found)} commands, no number {number}: see `tacho cmds`")
    return found[number - 1].start
