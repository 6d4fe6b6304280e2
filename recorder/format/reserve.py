"""Room that is kept so that tapes can still be closed when the disk is full. Never holds data."""

import os
from pathlib import Path

from recorder.format import journal

NAME = "reserve"
_SESSION = 64 * 1024  # bytes for each live session: its close, INDEX and what else an end takes
_WAITING = journal.CAPACITY  # what may still wait in the journal when the disk is found to be full
_STEP = 1024 * 1024


class Reserve:
    """A file of allocated room: `hold` keeps it large enough, `release` gives it to those who must still write."""

    def __init__(self, path: Path) -> None:
        """OSError when there can be no such file."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._held = os.fstat(self._fd).st_size

    def hold(self, sessions: int) -> bool:
        """Keeps room for so many sessions; False when the disk has none to spare."""
        wanted = -(-(_WAITING + sessions * _SESSION) // _STEP) * _STEP
        if wanted > self._held:
            try:
                os.posix_fallocate(self._fd, 0, wanted)
            except OSError:
                return False  # the sessions will be told by the writes that fail
            self._held = wanted
        return True

    def release(self) -> bool:
        """Gives the room back to the disk; whether there was any."""
        held, self._held = self._held, 0
        if held:
            os.ftruncate(self._fd, 0)
        return held > 0
