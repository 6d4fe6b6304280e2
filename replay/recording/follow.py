"""The frames of a recording that goes on, each once, as they come. Waits for nothing."""

from collections.abc import Iterator

from recorder.format.frame import Frame, Kind
from replay.recording.recording import Recording


class Follower:
    """Reads a recording from its start to wherever it has got to, and on from there."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._number = -1
        self._t = 0
        self._taken_back = recording.taken_back

    def frames(self) -> Iterator[Frame]:
        """The frames that came since the last time; the recording was refreshed before.

        Those that a new segment repeats are left out; what it has in the place of others is given.
        """
        recording = self._recording
        begins = None
        if recording.taken_back != self._taken_back:
            self._taken_back = recording.taken_back
            self._t = min(self._t, recording.duration)
            begins = recording.last_begins
        for frame in recording.frames(self._t):
            if frame.number == begins and frame.kind in (Kind.GAP, Kind.RECOVERY):
                self._number = frame.number - 1  # what was taken back is not written again, and other frames follow
            if frame.number > self._number:
                self._number, self._t = frame.number, frame.t
                yield frame
