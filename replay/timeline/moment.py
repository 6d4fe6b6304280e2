"""Moments of a session, to the frame, and how a person writes them. Looks up; moves nothing."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from replay.recording import NotFound, Recording
from replay.transcript import Command, MomentError, moment

LATEST = 1 << 48
"""µs (8.9 years): no session is longer, whatever its tape says."""
_PLACE = re.compile(r"@(cmd|frame):(\d{1,18})", re.ASCII)


class NoSuchMoment(ValueError):
    """A text that names no moment of this session; one sentence that says what does."""


class Moment(NamedTuple):
    """A place in a session: all frames up to `t` (µs), and no frame after number `frame` if that is given."""

    t: int
    frame: int | None = None


def parse_moment(text: str, here: Moment, recording: Recording, commands: Sequence[Command]) -> Moment:
    """The moment that `text` names: the forms of `replay.transcript.moment`, and `-5`, seconds before `here`.

    Never outside of the session; `@cmd:` and `@frame:` lead to the very frame. NoSuchMoment.
    """
    text = text.strip()
    place = _PLACE.fullmatch(text)
    if place is not None and place[1] == "cmd":
        if not 1 <= int(place[2]) <= len(commands):
            raise NoSuchMoment(f"there is no command {place[2]} among the {len(commands)} that were read")
        command = commands[int(place[2]) - 1]
        return Moment(min(command.start, LATEST), command.frame)
    try:
        if text.startswith("-"):
            t = 2 * here.t - moment(recording, f"+{text[1:]}", here.t)
        else:
            t = moment(recording, text, here.t)
    except (MomentError, NotFound) as error:
        raise NoSuchMoment(str(error)) from None
    t = min(max(t, 0), recording.duration, LATEST)
    return Moment(t, int(place[2]) if place is not None and place[1] == "frame" else None)
