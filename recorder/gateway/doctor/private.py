"""Files that hold a private key: are they there, and can nobody but the gateway read them? Never opens one."""

import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from recorder.gateway.doctor.finding import Finding, wrong


def faults(about: str, path: Path, what: str, restore: str, uid: int) -> Iterator[Finding]:
    """What is wrong with the private file `path`, which is `what`; `restore` says how to come by another."""
    shown = shlex.quote(str(path))
    try:
        status = path.stat()
    except OSError as error:
        why = "is not there" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        yield wrong(about, f"{what} {path} {why}: {restore}")
        return
    if not stat.S_ISREG(status.st_mode):
        yield wrong(about, f"{what} {path} is no file: {restore}")
        return
    if status.st_uid != uid:
        yield wrong(about, f"{what} {path} belongs to uid {status.st_uid}: run `chown {uid} {shown}`")
    if status.st_mode & 0o077:
        yield wrong(about, f"{what} {path} may be read by others: run `chmod 600 {shown}`")
    elif not status.st_mode & stat.S_IRUSR:
        yield wrong(about, f"{what} {path} may not be read by its owner: run `chmod 600 {shown}`")


def readable(path: Path, limit: int) -> bytes:
    """The first `limit` bytes of a file; OSError. Never waits for a writer of a pipe."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(limit)
