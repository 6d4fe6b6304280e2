"""Where tapes lie in a data folder: names of segments, creation, listing. Never looks inside one."""

import hashlib
import os
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

SUFFIX = ".tape"


def folder_of(tapes: Path, session: str) -> Path:
    """`YYYY/MM/DD/SESSION` below `tapes`, by the UUIDv7's own time stamp; ValueError when `session` is no UUIDv7."""
    identifier = uuid.UUID(session)
    if identifier.version != 7 or str(identifier) != session:
        raise ValueError(f"not a session id: {session[:64]!r}")
    day = datetime.fromtimestamp((identifier.int >> 80) / 1000, UTC)
    return tapes / f"{day:%Y/%m/%d}" / session


def create_segment(tapes: Path, session: str, segment: int) -> Path:
    """Makes the session's folder where needed and returns the path for `segment`, which must not exist yet."""
    folder = folder_of(tapes, session)
    for missing in reversed([folder, *folder.relative_to(tapes).parents]):
        # Never `tapes` itself: when it is gone, somebody has moved it away.
        if missing != Path():
            (tapes / missing).mkdir(exist_ok=True, mode=0o750)
    return folder / f"{segment}{SUFFIX}"


def segments(folder: Path) -> list[Path]:
    """The segments of a session in reading order; empty when the folder does not exist."""
    found = (
        [path for path in folder.glob(f"*{SUFFIX}") if path.stem.isascii() and path.stem.isdecimal()]
        if folder.is_dir()
        else []
    )
    return sorted(found, key=lambda path: int(path.stem))


def latest_sessions(tapes: Path, now: int) -> Iterator[str]:
    """The sessions that began on the last two days (UTC) before `now` (UNIX ns), by the names of their folders."""
    for ago in (0, 1):
        day = datetime.fromtimestamp(now / 1e9, UTC) - timedelta(days=ago)
        folder = tapes / f"{day:%Y/%m/%d}"
        for found in folder.iterdir() if folder.is_dir() else ():
            if found.is_dir() and _is_session(found.name):
                yield found.name


def _is_session(name: str) -> bool:
    try:
        folder_of(Path(), name)
    except ValueError:
        return False
    return True


def started(session: str) -> int:
    """When a session began, by its id alone: UNIX ns, exact to the millisecond."""
    return (uuid.UUID(session).int >> 80) * 1_000_000


def digest_of(path: Path) -> bytes:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def sync_folder(folder: Path) -> None:
    """Makes a new file's name in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def new_session_id(now_ns: int) -> str:
    """A fresh UUIDv7 (RFC 9562 section 5.7) for the time `now_ns` (UNIX ns)."""
    random = int.from_bytes(os.urandom(10), "big")
    value = (now_ns // 1_000_000) << 80 | 0x7 << 76 | (random >> 68 & 0xFFF) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    return str(uuid.UUID(int=value))
