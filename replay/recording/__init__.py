"""A recording opened for reading: its frames by time and number, its session, its state; and its verification.

It never writes to a tape, and holds one chunk of it in memory at a time.
"""

from recorder.format.blocks import Damage
from recorder.format.frame import Frame, Kind
from recorder.model import Session, State
from replay.recording.errors import NotFound, RecordingError, Unreadable
from replay.recording.find import open  # noqa: A004 - the public name
from replay.recording.recording import Recording

__all__ = [
    "Damage",
    "Frame",
    "Kind",
    "NotFound",
    "Recording",
    "RecordingError",
    "Session",
    "State",
    "Unreadable",
    "open",
]
