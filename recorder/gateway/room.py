"""Watches the disk that tapes go to: warns, refuses new sessions, ends those that run. Decides nothing about tapes."""

import asyncio
import logging
import os
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path

from recorder.model import Disk, Threshold

_INTERVAL_S = 1.0
_MIB = 1024 * 1024

log = logging.getLogger("tacho.gateway")


class Level(IntEnum):
    """How much room there is, by what follows from it."""

    FINE = 0
    WARN = 1
    REFUSE = 2
    END = 3


def level(total: int, free: int, disk: Disk) -> Level:
    """The level of a disk of `total` bytes with `free` ones."""
    for found, threshold in ((Level.END, disk.end), (Level.REFUSE, disk.refuse), (Level.WARN, disk.warn)):
        if free < wanted(threshold, total):
            return found
    return Level.FINE


def wanted(threshold: Threshold, total: int) -> int:
    """The bytes that a threshold asks for on a disk of `total` bytes."""
    return max(int(threshold.fraction * total), threshold.size)


def room(path: Path) -> tuple[int, int]:
    """Bytes of the disk under `path`, and those that are free for this user; OSError when there is no such path."""
    found = os.statvfs(path)
    return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize


class Watch:
    """Looks at the data folder every second."""

    def __init__(self, data: Path, disk: Callable[[], Disk]) -> None:
        """`disk` gives the thresholds in force. OSError when there is no data folder."""
        self._data = data
        self._disk = disk
        self._identity = _identity(data)
        self._level = Level.FINE
        self._refusal: str | None = None

    @property
    def refusal(self) -> str | None:
        """Why no new session may begin, in one sentence; None when it may."""
        return self._refusal

    def look(self) -> Level:
        """Looks now; a change is logged."""
        try:
            there = _identity(self._data) == self._identity
            total, free = room(self._data)
        except OSError:
            there, total, free = False, 0, 0
        if not there:
            mend = "put it back, or restart the gateway on the one that is meant"
            self._say(Level.REFUSE, f"the data folder {self._data} was moved away under the gateway: {mend}")
            return Level.REFUSE
        found = level(total, free, self._disk())
        self._say(found, f"the disk of {self._data} has {free // _MIB} MiB left: make room")
        return found

    def _say(self, found: Level, text: str) -> None:
        changed = found != self._level
        self._level = found
        self._refusal = text if found >= Level.REFUSE else None
        if not changed:
            return
        if found is Level.FINE:
            log.info("the disk of %s has room again", self._data)
        else:
            then = ("", "", "; no new sessions begin", "; every session is ended")[found]
            log.warning("%s%s", text, then)

    async def run(self, end_all: Callable[[str], None]) -> None:
        """Looks every second until it is cancelled; `end_all` is called with a sentence when sessions must end."""
        while True:
            if self.look() is Level.END:
                end_all("the disk of the gateway is nearly full, and this session ends so that its tape is whole")
            await asyncio.sleep(_INTERVAL_S)


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
