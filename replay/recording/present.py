"""What the catalogue's row cannot know of a session whose gateway is gone, or has not closed it yet. Reads no frame."""

from contextlib import closing
from dataclasses import replace

from recorder.config import Config
from recorder.format.blocks import Malformed, Source
from recorder.format.reader import SegmentReader, UnreadableTape
from recorder.format.writer import is_locked
from recorder.model import Session, State
from replay.recording.find import tapes_of


def as_it_is(session: Session, config: Config) -> Session:
    """A row whose session was live when it was written, with the state and size that its tape has now."""
    if session.state is not State.LIVE:
        return session
    try:
        paths = tapes_of(session, config)
        if not paths:
            return session  # its first frame is on the way
        size = sum(path.lstat().st_size for path in paths)
        with closing(Source(paths[-1])) as source:
            state = State.LIVE if is_locked(source.fileno()) else State.UNCLOSED
        if state is State.UNCLOSED:
            with closing(SegmentReader(paths[-1])) as segment:
                state = State.CLOSED if segment.closed else state
    except (OSError, Malformed, UnreadableTape):
        return session  # who cannot read the tape sees what the catalogue says
    return replace(session, state=state, size=size)
