"""The disk under the data folder: room, inodes, what kind it is, how long a sync takes. Leaves no file behind."""

import os
import re
import shlex
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from recorder.gateway import room
from recorder.gateway.doctor.finding import Finding, ok, warn, wrong
from recorder.gateway.doctor.setup import Setup
from recorder.model import Mode
from recorder.safe import printable

_ABOUT = "disk"
_MIB = 1024 * 1024
_INODES = 1000  # as many sessions, nearly
_WARN_S, _LATE_S = 0.05, 0.2
_BLOCK = bytes(4096)
_SYNCS = 7
_SYNC_LIMIT_S = 2.0
_FORGETFUL = {
    "tmpfs": "lies in memory, and a reboot loses every tape",
    "ramfs": "lies in memory, and a reboot loses every tape",
    "overlay": "belongs to a container, and goes with it",
    "aufs": "belongs to a container, and goes with it",
}
_REMOTE = re.compile(r"nfs4?|cifs|smb3|9p|ceph|afs|fuse(\..*)?")


def check(setup: Setup) -> Iterator[Finding]:
    """Room and inodes for tapes, and whether the disk keeps its word in time."""
    data = setup.config.data
    yield from _room(setup)
    yield from _inodes(data)
    kind = _kind(data)
    if kind in _FORGETFUL:
        mend = f"set [gateway] data in {setup.config.path} to a folder on a disk"
        yield warn(_ABOUT, f"{data} is on {kind}, which {_FORGETFUL[kind]}: {mend}")
    elif _REMOTE.fullmatch(kind):
        mend = f"set [gateway] data in {setup.config.path} to a folder on a disk of this machine"
        what = "whose locks and syncs are another machine's or program's word"
        yield warn(_ABOUT, f"{data} is on {printable(kind, limit=32)}, {what}: {mend}")
    if setup.private:
        yield from _latency(setup)


def _room(setup: Setup) -> Iterator[Finding]:
    data, disk = setup.config.data, setup.config.limits.disk
    status = os.statvfs(data)
    if status.f_flag & os.ST_RDONLY:
        yield wrong(_ABOUT, f"the disk of {data} is mounted read-only: see `dmesg` for why, and remount it writable")
        return
    total, free = room.room(data)
    mend = f"make room (`du -xh {shlex.quote(str(data))} | sort -h` shows what takes it)"
    left = f"the disk of {data} has {free // _MIB} MiB of {total // _MIB} MiB left"
    level = room.level(total, free, disk)
    if level is room.Level.FINE:
        yield ok(_ABOUT, left)
        return
    name, threshold, effect = {
        room.Level.WARN: ("warn", disk.warn, "the gateway warns"),
        room.Level.REFUSE: ("refuse", disk.refuse, "no new session begins"),
        room.Level.END: ("end", disk.end, "every session is ended"),
    }[level]
    below = f"less than the {room.wanted(threshold, total) // _MIB} MiB of {name} in [limits] disk, so {effect}"
    yield (warn if level is room.Level.WARN else wrong)(_ABOUT, f"{left}, {below}: {mend}")


def _inodes(data: Path) -> Iterator[Finding]:
    status = os.statvfs(data)
    if status.f_files and status.f_favail < _INODES:  # some file systems have no fixed number of them
        what = f"the file system of {data} has {status.f_favail} inodes left, and each session takes two"
        mend = f"remove files (`du --inodes -x {shlex.quote(str(data))} | sort -n` shows where they are)"
        yield (warn if status.f_favail else wrong)(_ABOUT, f"{what}: {mend}")


def _kind(path: Path) -> str:
    """The type of the file system that `path` lies on (proc(5), mountinfo); empty when it cannot be told."""
    try:
        text = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""  # no /proc: nothing can be said
    real, best, kind = path.resolve(), -1, ""
    for line in text.splitlines():
        fields, separator, rest = line.partition(" - ")
        columns = fields.split(" ")
        if not separator or len(columns) < 5:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), columns[4]))
        if real.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), rest.split(" ")[0]
    return kind


def _latency(setup: Setup) -> Iterator[Finding]:
    folder = setup.config.journal if setup.config.journal.is_dir() else setup.config.data
    try:
        taken = statistics.median(_syncs(folder))
    except OSError as error:
        why = error.strerror or str(error)
        yield ok(
            _ABOUT, f"how long a sync takes was not measured, which needs a file without a name in {folder} ({why})"
        )
        return
    said = f"a sync in {folder} takes {taken * 1000:.1f} ms"
    if taken <= _WARN_S:
        yield ok(_ABOUT, said)
        return
    what = "every command waits for one"
    if taken > _LATE_S and setup.config.mode is Mode.STRICT:
        what = (
            "strict mode promises that at most 250 ms of traffic are not on disk, so sessions are slowed all the time"
        )
    mend = f"see what else writes there (`iostat -x 1`), or set [gateway] data in {setup.config.path} to a faster disk"
    yield warn(_ABOUT, f"{said}, and {what}: {mend}")


def _syncs(folder: Path) -> list[float]:
    """Seconds of several fdatasyncs, as the journal makes them: of room that is written already. OSError."""
    descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(descriptor, _BLOCK, 0)
        os.fsync(descriptor)
        taken: list[float] = []
        begun = time.monotonic()
        while len(taken) < _SYNCS and (not taken or time.monotonic() - begun < _SYNC_LIMIT_S):
            os.pwrite(descriptor, _BLOCK, 0)
            before = time.monotonic()
            os.fdatasync(descriptor)
            taken.append(time.monotonic() - before)
        return taken
    finally:
        os.close(descriptor)
