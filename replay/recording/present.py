"""What the catalogue's row cannot know of a session whose gateway is gone, or has not closed it yet.

Reads no frame of a live tape, and of another one only how it ended.
"""

from contextlib import closing
from dataclasses import replace

from recorder.config import Config
from recorder.format.blocks import Malformed, Source
from recorder.format.writer import is_locked
from recorder.model import Session, State
from replay.recording.errors import RecordingError
from replay.recording.find import tapes_of
from replay.recording.recording import Recording


def as_it_is(session: Session, config: Config) -> Session:
    """A row whose session was live when it was written, with the state, the size and the end that its tape has now."""
    if session.state is not State.LIVE:
        return session
    try:
        paths = tapes_of(session, config)
        if not paths:
            return session  # its first frame is on the way
        with closing(Source(paths[-1])) as source:
            live = is_locked(source.fileno())
        if live:
            return replace(session, size=sum(path.lstat().st_size for path in paths), segments=len(paths))
        with Recording(paths, session) as recording:
            return recording.session
    except (OSError, Malformed, RecordingError):
        return session  # who cannot read the tape sees what the catalogue says
