"""The catalogue on embedded SQLite in WAL mode: one gateway writes, any number of reviewers read.

Knows the schema and nothing of tapes; every statement here is parameterised.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from recorder.catalogue import custody
from recorder.catalogue.rows import COLUMNS, encodable, narrowed, row_of, session_of
from recorder.catalogue.schema import MIGRATIONS
from recorder.model import Custody, Head, Session

_BUSY_MS = 5000
_SETTLE_TRIES = 10
_SETTLE_PAUSE_S = 0.05
_UNSHARED = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY})


class CatalogueError(Exception):
    """The catalogue cannot be used; the text is one sentence with the path and the mend."""


class Catalogue:
    """An open catalogue. Writing methods may be called from any thread; each is one transaction."""

    def __init__(self, path: Path, *, write: bool = False) -> None:
        """Opens `path`; with `write` makes it and brings its schema up to date. CatalogueError when that cannot be."""
        self.path = path
        self._lock = threading.Lock()
        if not write and not path.exists():
            raise CatalogueError(f"no catalogue at {path}: run `tacho init`, or name the configuration with --config")
        try:
            self._db = self._connect(write)
            version: int = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version > len(MIGRATIONS):
                raise CatalogueError(
                    f"the catalogue {path} has schema {version}, this tacho knows {len(MIGRATIONS)}: use a newer one"
                )
            if write:
                self._migrate(version)
            elif version < len(MIGRATIONS):
                raise CatalogueError(f"the catalogue {path} has the older schema {version}: start the gateway once")
        except sqlite3.Error as error:
            raise CatalogueError(f"cannot open the catalogue {path}: {_why(path, error, write)}") from None

    def _connect(self, write: bool) -> sqlite3.Connection:
        if write:
            _make(self.path)
        uri = f"{self.path.absolute().as_uri()}?mode={'rwc' if write else 'ro'}"
        db = sqlite3.connect(uri, uri=True, timeout=_BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
        if write:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            db.execute("PRAGMA wal_autocheckpoint=1000")
        return db

    def _migrate(self, version: int) -> None:
        for number, migration in enumerate(MIGRATIONS[version:], version + 1):
            self._db.executescript(f"BEGIN IMMEDIATE;{migration};PRAGMA user_version={number};COMMIT;")

    def close(self) -> None:
        """Closes the connection."""
        with self._lock:
            self._db.close()

    def settle(self) -> None:
        """Leaves WAL mode, so that a reader who may not write in the folder can open the file; for a clean stop."""
        for _ in range(_SETTLE_TRIES):
            try:
                with self._lock:
                    self._db.execute("PRAGMA journal_mode=DELETE")
            except sqlite3.OperationalError:
                # A reviewer has the catalogue open. One that goes on reading leaves it in WAL mode, as a crash would.
                time.sleep(_SETTLE_PAUSE_S)
            else:
                return

    # Writing

    def put(self, session: Session) -> None:
        """Inserts or replaces the row of `session`."""
        values = [encodable(value) for value in row_of(session)]
        marks = ",".join("?" * len(values))
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.execute(f"INSERT OR REPLACE INTO session ({COLUMNS}) VALUES ({marks})", values)  # noqa: S608 - constants
                self._db.execute(
                    "INSERT OR IGNORE INTO run VALUES (?,?)", (session.id, encodable(session.attribution.run))
                )
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def add_run(self, session: str, run: str) -> None:
        """Notes that a channel of `session` asserted `run`."""
        with self._lock:
            self._db.execute("INSERT OR IGNORE INTO run VALUES (?,?)", (session, encodable(run)))

    def put_head(self, head: Head, running: bool) -> None:
        """Keeps `head` as the newest of its segment (or of its open chunk)."""
        row = (head.session, head.segment, running, head.tree_size, head.root, head.stored, head.note)
        with self._lock:
            self._db.execute("INSERT OR REPLACE INTO head VALUES (?,?,?,?,?,?,?)", row)

    def put_rules(self, sha256: bytes, text: str) -> None:
        """Keeps the text of rules under its hash."""
        with self._lock:
            self._db.execute("INSERT OR IGNORE INTO rules VALUES (?,?)", (sha256, text))

    def add_custody(self, entry: Custody) -> int:
        """Adds an entry to the custody table; its number, whatever `entry.seq` is. CatalogueError when it cannot be."""
        try:
            with self._lock:
                return custody.insert(self._db, entry)
        except sqlite3.Error as error:
            raise CatalogueError(f"cannot write the catalogue {self.path}: {error}; make room or restore it") from None

    # Reading

    def get(self, session: str) -> Session | None:
        """The row of the session with this full id."""
        rows = self._select("WHERE id = ?", (session,))
        return rows[0] if rows else None

    def matching(self, part: str) -> list[Session]:
        """The sessions whose id begins or ends with `part`, newest first; at most 20."""
        pattern = part[:64].replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        where = "WHERE id LIKE ? ESCAPE '\\' OR id LIKE ? ESCAPE '\\' ORDER BY started DESC, id DESC LIMIT 20"
        return self._select(where, (f"{pattern}%", f"%{pattern}"))

    def latest(self) -> Session | None:
        """The session that started last."""
        rows = self._select("ORDER BY started DESC, id DESC LIMIT 1", ())
        return rows[0] if rows else None

    def sessions(self, **filters: object) -> Iterator[Session]:
        """All sessions, newest first, page by page; `filters` are those of `tacho ls`.

        agent, on_behalf_of, target, protocol (globs), request (equal), run (any that a channel asserted), since and
        until (UNIX ns of the start), unattributed (bool), tag, verdict (one of the counted names); and state.
        """
        clauses, values = narrowed(filters)
        before: tuple[int, str] | None = None
        while True:
            page_clauses, page_values = list(clauses), list(values)
            if before is not None:
                page_clauses.append("(started, id) < (?, ?)")
                page_values.extend(before)
            where = f"WHERE {' AND '.join(page_clauses)} " if page_clauses else ""
            page = self._select(f"{where}ORDER BY started DESC, id DESC LIMIT 500", page_values)
            yield from page
            if len(page) < 500:
                return
            before = (page[-1].started, page[-1].id)

    def unfinished(self) -> list[str]:
        """The ids of the sessions that have no end: live ones, or those of a gateway that stopped without closing."""
        rows = self._rows("SELECT id FROM session WHERE state IN ('live', 'unclosed')", ())
        return [str(row[0]) for row in rows]

    def of_run(self, run: str) -> list[Session]:
        """The sessions of a run, oldest first."""
        return self._select("WHERE id IN (SELECT session FROM run WHERE run = ?) ORDER BY started, id", (run,))

    def heads(self, session: str) -> list[tuple[Head, bool]]:
        """The newest heads of each segment of a session, each with whether it is a running one."""
        query = "SELECT session, segment, tree_size, root, stored, note, running FROM head WHERE session = ?"
        return [self._head(row) for row in self._rows(query, (session,))]

    def custody(self, session: str) -> list[Custody]:
        """The entries of the custody table about a session, in their order."""
        try:
            return [custody.entry_of(row) for row in self._rows(custody.OF_SESSION, (session,))]
        except (ValueError, TypeError) as error:
            raise CatalogueError(f"the catalogue {self.path} holds a malformed entry ({error}): restore it") from None

    def _head(self, row: tuple[object, ...]) -> tuple[Head, bool]:
        match row:
            case (
                str() as of,
                int() as segment,
                int() as size,
                bytes() as root,
                int() as stored,
                str() as note,
                running,
            ):
                return Head(of, segment, size, root, stored, note), bool(running)
        raise CatalogueError(f"the catalogue {self.path} holds a malformed head: restore it")

    def _select(self, where: str, values: Sequence[object]) -> list[Session]:
        rows = self._rows(f"SELECT {COLUMNS} FROM session {where}", values)  # noqa: S608 - constant texts
        try:
            return [session_of(row) for row in rows]
        except (ValueError, TypeError, AttributeError) as error:
            raise CatalogueError(f"the catalogue {self.path} holds a malformed row ({error}): restore it") from None

    def _rows(self, query: str, values: Sequence[object]) -> list[tuple[object, ...]]:
        try:
            with self._lock:
                return self._db.execute(query, [encodable(value) for value in values]).fetchall()
        except sqlite3.Error as error:
            why = f"{error}; mend its rights or restore it"
            raise CatalogueError(f"cannot read the catalogue {self.path}: {why}") from None


def _make(path: Path) -> None:
    """An empty catalogue that only its owner may write, whatever the umask; what SQLite puts beside it goes by it."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    except OSError:
        return  # it is there already; or it cannot be made, which SQLite says
    try:
        os.fchmod(descriptor, 0o640)
    finally:
        os.close(descriptor)


def _why(path: Path, error: sqlite3.Error, write: bool) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if write or code not in _UNSHARED:
        return f"{error}; mend its rights or restore it"
    if not os.access(path, os.R_OK):
        return "you may not read it; ask to be added to its group"
    return "its gateway did not stop cleanly, and you may not write beside it; start the gateway once"
