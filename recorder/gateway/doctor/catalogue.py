"""The catalogue: is it one, of which schema, is it whole? Opened only where that writes nothing beside it."""

import shlex
import sqlite3
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from recorder.catalogue.schema import MIGRATIONS
from recorder.catalogue.sqlite import Catalogue, CatalogueError
from recorder.gateway.doctor import clock, private
from recorder.gateway.doctor.finding import Finding, ok, warn, wrong
from recorder.gateway.doctor.setup import Setup

_ABOUT = "catalogue"
_MAGIC = b"SQLite format 3\0"  # the database header: https://www.sqlite.org/fileformat2.html section 1.3
_HEADER = 100
_WAL = 2
_CHECK_LIMIT_S = 4.0
_STEPS = 10_000  # instructions of SQLite between two looks at the clock
_RESTORE = "restore it from a backup (tapes play without it: `tacho play PATH`)"


def check(setup: Setup) -> Iterator[Finding]:
    """Its header, its schema, its rights, and SQLite's own check of it."""
    path = setup.config.catalogue
    if not path.exists():
        if clock.latest(setup.config.tapes) is None:
            yield warn(_ABOUT, f"there is no {path} yet: the next start of the gateway makes it, run `{setup.start()}`")
        else:
            yield wrong(_ABOUT, f"there is no {path}, and there are tapes: {_RESTORE}")
        return
    if path.stat().st_mode & stat.S_IROTH:
        yield wrong(
            _ABOUT, f"{path} may be read by every user of this machine: run `chmod o-r {shlex.quote(str(path))}`"
        )
    try:
        header = private.readable(path, _HEADER)
    except OSError as error:
        yield warn(_ABOUT, f"{path} cannot be read ({error.strerror}): ask to be added to its group")
        return
    if len(header) < _HEADER or not header.startswith(_MAGIC):
        yield wrong(_ABOUT, f"{path} is no SQLite database: {_RESTORE}")
        return
    version = int.from_bytes(header[60:64], "big")
    if version > len(MIGRATIONS):
        what = f"{path} has schema {version}, and this tacho knows {len(MIGRATIONS)}"
        yield wrong(_ABOUT, f"{what}: install the newer tacho that wrote it")
        return
    if version < len(MIGRATIONS) and not setup.running.at_work:
        yield warn(
            _ABOUT, f"{path} has the older schema {version}: the next start brings it up to date, run `{setup.start()}`"
        )
        return
    yield from _whole(setup, path, version)


def _whole(setup: Setup, path: Path, version: int) -> Iterator[Finding]:
    if not _openable(setup):
        what = f"{path} is as a gateway left it that did not stop cleanly, and was not looked into"
        yield warn(_ABOUT, f"{what}: the next start of the gateway tidies it up, run `{setup.start()}`")
        return
    try:
        faults = _quick_check(path)
    except sqlite3.Error as error:
        yield wrong(_ABOUT, f"{path} cannot be read ({error}): {_RESTORE}")
        return
    if faults is None:
        yield ok(
            _ABOUT, f"{path} has schema {version}; SQLite's check of it was not finished within {_CHECK_LIMIT_S:.0f} s"
        )
    elif faults:
        yield wrong(_ABOUT, f"{path} is damaged ({faults}): stop the gateway and {_RESTORE}")
    else:
        yield ok(_ABOUT, f"{path} has schema {version}, and SQLite's check finds it whole")


def opened(setup: Setup) -> Catalogue | None:
    """The catalogue, where it can be read without writing anything beside it; None elsewhere."""
    try:
        return Catalogue(setup.config.catalogue) if _openable(setup) else None
    except CatalogueError:
        return None  # `check` says why


def _openable(setup: Setup) -> bool:
    """A catalogue in WAL mode cannot be read without writing -wal and -shm, unless a gateway has them open."""
    try:
        header = private.readable(setup.config.catalogue, _HEADER)
    except OSError:
        return False
    return len(header) == _HEADER and (header[18] < _WAL or setup.running.pid is not None)


def _quick_check(path: Path) -> str | None:
    """What SQLite finds, at most two faults; empty when there is none, None when it takes too long. sqlite3.Error."""
    limit = time.monotonic() + _CHECK_LIMIT_S
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)
    try:
        db.set_progress_handler(lambda: time.monotonic() > limit, _STEPS)
        rows = [str(row[0]) for row in db.execute("PRAGMA quick_check(2)")]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return None
        raise
    finally:
        db.close()
    return "" if rows == ["ok"] else "; ".join(row.replace("\n", " ") for row in rows)[:200]
