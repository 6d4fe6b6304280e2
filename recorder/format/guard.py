"""The lock of a data folder: one gateway at a time. It is held as long as the gateway or its scribe lives."""

import contextlib
import os
import time
from pathlib import Path

from recorder.format.writer import lock

NAME = "lock"
_WAIT_S = 30.0
_POLL_S = 0.05


class Taken(Exception):
    """Another gateway has the folder; the text is one sentence."""


def take(folder: Path, wait: float = _WAIT_S) -> int:
    """Locks the journal's `folder` for this process and those that inherit the descriptor, which is returned.

    A gateway that was killed may have left a scribe that still writes: that is waited for, `wait` seconds at most.
    Taken when a gateway has it, OSError when the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o750)
    descriptor = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    limit = time.monotonic() + wait
    while not _locked(descriptor):
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        if _alive(holder) or time.monotonic() >= limit:
            os.close(descriptor)
            data = folder.parent
            raise Taken(
                f"another gateway (process {holder or 'unknown'}) works on the data folder {data}: stop it first"
            )
        time.sleep(_POLL_S)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _locked(descriptor: int) -> bool:
    with contextlib.suppress(BlockingIOError, PermissionError):
        lock(descriptor)
        return True
    return False


def _alive(holder: str) -> bool:
    """Whether the process that wrote its number lives: a scribe outlives its gateway for a moment."""
    return holder.isdecimal() and Path("/proc", holder).exists() and int(holder) != os.getpid()
