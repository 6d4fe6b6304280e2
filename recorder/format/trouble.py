"""What a scribe does when the disk does not take something. Nothing that was recorded is given up without a word.

A full disk is waited for, and sessions end; a file that failed is followed by a new segment; what no file takes is set
aside beside the journal. In best-effort mode the session goes on, and a gap says what is missing.
"""

import errno
import time
from collections.abc import Iterable
from pathlib import Path

from recorder.format.reader import UnreadableTape
from recorder.format.reports import Reports
from recorder.format.reserve import Reserve
from recorder.format.writing import Writing
from recorder.model import Mode

_AGAIN_US = 1_000_000  # what the disk had no room for is tried again this often
_LOST_AGAIN_US = 5_000_000  # and a best-effort tape that is left out this often
_REOPENED = 3  # new segments in a row without a sync that succeeds
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Trouble:
    """Deals with failures of one worker's tapes; used by the scribe's thread."""

    def __init__(self, mode: Mode, tapes: Path, reserve: Reserve, reports: Reports) -> None:
        self._mode = mode
        self._tapes = tapes
        self._reserve = reserve
        self._reports = reports
        self._full = False

    def make_room(self, tapes: Iterable[Writing]) -> bool:
        """Called when the disk is full: gives the reserve away, once, and lets every session end."""
        if self._mode is Mode.BEST_EFFORT:
            return False
        released = self._reserve.release()
        if not self._full:
            self._full = True
            for writing in tapes:
                self._tell_full(writing)
        return released

    def over(self, tapes: int) -> None:
        """A sync succeeded: when the disk was full, it has room again as soon as the reserve can be held."""
        if self._full:
            self._full = not self._reserve.hold(tapes)

    def _tell_full(self, writing: Writing) -> None:
        self._reports.send("full", writing.key, f"the disk of {self._tapes} is full; make room, then connect again")

    def failed(self, writing: Writing, error: OSError) -> None:
        """A step of writing a tape failed."""
        if error.errno in _FULL and self._mode is not Mode.BEST_EFFORT:
            self._full = True
            self._tell_full(writing)
            writing.retry_at = _now() + _AGAIN_US
        elif writing.syncing is not None:
            writing.error = error  # its file is in use until that sync has settled
            writing.retry_at = _now() + _AGAIN_US
        else:
            self.unsynced(writing, error)

    def unsynced(self, writing: Writing, error: OSError) -> None:
        """The file cannot be relied on any more, whatever the error: a sync of it may have been told of just once."""
        if self._mode is Mode.BEST_EFFORT:
            if writing.missing is None:
                self._warn(writing, error, "the session goes on unrecorded until it can be")
            writing.lose()
            writing.retry_at = _now() + _LOST_AGAIN_US
        elif writing.segment is not None and writing.reopened < _REOPENED:
            self._reopen(writing, error)
        else:
            self._give_up(writing, error)

    def try_again(self, writing: Writing) -> bool:
        """Takes up a tape that is in trouble; False when it is in none and can be written as usual."""
        if writing.broken:
            self._set_aside(writing)
        elif writing.reopening is not None:
            self._reopen(writing, writing.reopening)
        elif writing.missing is not None:
            self._find_again(writing)
        else:
            return False
        return True

    def _reopen(self, writing: Writing, error: OSError) -> None:
        if writing.reopening is None:
            writing.reopened += 1
            self._warn(writing, error, "it goes on in a new segment")
        writing.reopening, writing.retry_at = error, 0
        try:
            writing.reopen()
            writing.reopening, writing.dirty_since = None, _now()
            for head in writing.append():
                self._reports.head(head, running=False)
        except UnreadableTape as unreadable:
            self._give_up(writing, OSError(errno.EIO, str(unreadable)))
        except OSError as again:
            if again.errno not in _FULL:
                writing.reopening = None  # the next try is another one, and they are counted
            self.failed(writing, again)

    def _warn(self, writing: Writing, error: OSError, then: str) -> None:
        where = self._where(writing, error)
        self._reports.send("warning", f"session {writing.session}: cannot write {where}: {error.strerror}; {then}")

    def _where(self, writing: Writing, error: OSError) -> str:
        return str(error.filename or (writing.segment.path if writing.segment is not None else self._tapes))

    def _give_up(self, writing: Writing, error: OSError) -> None:
        """A tape that cannot be written is left as it is; its session is told and ends."""
        mend = "make room or mend the folder's rights"
        where = self._where(writing, error)
        self._reports.send("failed", writing.key, f"cannot write the tape in {where}: {error.strerror}; {mend}")
        writing.broken = True
        if writing.segment is not None:
            writing.segment.abandon()
        self._set_aside(writing)

    def _set_aside(self, writing: Writing) -> None:
        """Keeps what the tape could not take beside the journal, so that other sessions have room."""
        try:
            writing.set_aside()
        except OSError as error:
            if writing.retry_at == 0:
                self._warn(writing, error, "the journal keeps it")
            writing.retry_at = _now() + _AGAIN_US

    def _find_again(self, writing: Writing) -> None:
        """Best-effort: another try to write a tape that is left out."""
        try:
            writing.find_again("the tape could not be written")
            writing.dirty_since, writing.retry_at = _now(), 0
        except (OSError, UnreadableTape):
            if writing.closing:
                writing.over = True
                self._reports.send("failed", writing.key, "the tape could not be written to its end")
            writing.retry_at = _now() + _LOST_AGAIN_US


def _now() -> int:
    return time.monotonic_ns() // 1000
