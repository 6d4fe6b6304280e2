"""The catalogue on embedded SQLite in WAL mode: one gateway writes, any number of reviewers read.

Knows the schema and nothing of tapes; every statement here is parameterised.
"""

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from recorder.catalogue.schema import MIGRATIONS
from recorder.model import Attribution, Head, Session, Source, State

_BUSY_MS = 5000
_COLUMNS = (
    "id, run, request, on_behalf_of, protocol, agent, credential, client, sources, unattributed, target, login,"
    " started, ended, state, reason, bytes_in, bytes_out, verdicts, gaps, not_captured, segments, tags, size"
)


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
            raise CatalogueError(f"cannot open the catalogue {path}: {error}; mend its rights or restore it") from None

    def _connect(self, write: bool) -> sqlite3.Connection:
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
        with self._lock:
            try:
                self._db.execute("PRAGMA journal_mode=DELETE")
            except sqlite3.OperationalError:
                # A reviewer has the catalogue open: it stays in WAL mode, which every reader with rights can use.
                return

    # Writing

    def put(self, session: Session) -> None:
        """Inserts or replaces the row of `session`."""
        who = session.attribution
        row = (
            session.id,
            who.run,
            who.request,
            who.on_behalf_of,
            session.protocol,
            who.agent,
            who.credential,
            who.client,
            json.dumps(who.sources),
            who.unattributed,
            session.target,
            session.login,
            session.started,
            session.ended,
            session.state.value,
            session.reason,
            session.bytes_in,
            session.bytes_out,
            json.dumps(session.verdicts),
            session.gaps,
            json.dumps(session.not_captured),
            session.segments,
            json.dumps(session.tags),
            session.size,
        )
        marks = ",".join("?" * len(row))
        values = [_encodable(value) for value in row]
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.execute(f"INSERT OR REPLACE INTO session ({_COLUMNS}) VALUES ({marks})", values)  # noqa: S608 - constants
                self._db.execute("INSERT OR IGNORE INTO run VALUES (?,?)", (session.id, _encodable(who.run)))
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def add_run(self, session: str, run: str) -> None:
        """Notes that a channel of `session` asserted `run`."""
        with self._lock:
            self._db.execute("INSERT OR IGNORE INTO run VALUES (?,?)", (session, _encodable(run)))

    def put_head(self, head: Head, running: bool) -> None:
        """Keeps `head` as the newest of its segment (or of its open chunk)."""
        row = (head.session, head.segment, running, head.tree_size, head.root, head.stored, head.note)
        with self._lock:
            self._db.execute("INSERT OR REPLACE INTO head VALUES (?,?,?,?,?,?,?)", row)

    def put_rules(self, sha256: bytes, text: str) -> None:
        """Keeps the text of rules under its hash."""
        with self._lock:
            self._db.execute("INSERT OR IGNORE INTO rules VALUES (?,?)", (sha256, text))

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
        until (UNIX ns of the start), unattributed (bool), tag, verdict (one of the counted names).
        """
        clauses, values = _where(filters)
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

    def of_run(self, run: str) -> list[Session]:
        """The sessions of a run, oldest first."""
        return self._select("WHERE id IN (SELECT session FROM run WHERE run = ?) ORDER BY started, id", (run,))

    def heads(self, session: str) -> list[tuple[Head, bool]]:
        """The newest heads of each segment of a session, each with whether it is a running one."""
        query = "SELECT session, segment, tree_size, root, stored, note, running FROM head WHERE session = ?"
        return [self._head(row) for row in self._rows(query, (session,))]

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
        rows = self._rows(f"SELECT {_COLUMNS} FROM session {where}", values)  # noqa: S608 - constant texts
        try:
            return [_session(row) for row in rows]
        except (ValueError, TypeError, AttributeError) as error:
            raise CatalogueError(f"the catalogue {self.path} holds a malformed row ({error}): restore it") from None

    def _rows(self, query: str, values: Sequence[object]) -> list[tuple[object, ...]]:
        try:
            with self._lock:
                return self._db.execute(query, [_encodable(value) for value in values]).fetchall()
        except sqlite3.Error as error:
            why = f"{error}; mend its rights or restore it"
            raise CatalogueError(f"cannot read the catalogue {self.path}: {why}") from None


def _where(filters: dict[str, object]) -> tuple[list[str], list[object]]:
    clauses: list[str] = []
    values: list[object] = []
    for name, value in filters.items():
        if value is None or value is False:
            continue
        clause = _FILTERS[name]
        clauses.append(clause)
        if "?" in clause:
            values.append(value)
    return clauses, values


_FILTERS = {
    "agent": "agent GLOB ?",
    "on_behalf_of": "on_behalf_of GLOB ?",
    "target": "target GLOB ?",
    "protocol": "protocol GLOB ?",
    "request": "request = ?",
    "run": "id IN (SELECT session FROM run WHERE run = ?)",
    "since": "started >= ?",
    "until": "started < ?",
    "unattributed": "unattributed = 1",
    "tag": "EXISTS (SELECT 1 FROM json_each(tags) WHERE value = ?)",
    "verdict": "EXISTS (SELECT 1 FROM json_each(verdicts) WHERE key = ? AND value > 0)",
}


def _session(row: tuple[object, ...]) -> Session:
    value = dict(zip(_COLUMNS.replace(" ", "").split(","), row, strict=True))
    who = Attribution(
        agent=str(value["agent"]),
        run=str(value["run"]),
        request=_text(value["request"]),
        on_behalf_of=_text(value["on_behalf_of"]),
        credential=_text(value["credential"]),
        client=_text(value["client"]),
        sources={name: Source(source) for name, source in json.loads(str(value["sources"])).items()},
        unattributed=bool(value["unattributed"]),
    )
    return Session(
        id=str(value["id"]),
        protocol=str(value["protocol"]),
        attribution=who,
        target=str(value["target"]),
        login=str(value["login"]),
        started=_number(value["started"]),
        ended=None if value["ended"] is None else _number(value["ended"]),
        state=State(str(value["state"])),
        bytes_in=_number(value["bytes_in"]),
        bytes_out=_number(value["bytes_out"]),
        verdicts=json.loads(str(value["verdicts"])),
        gaps=_number(value["gaps"]),
        not_captured=tuple(json.loads(str(value["not_captured"]))),
        segments=_number(value["segments"]),
        tags=tuple(json.loads(str(value["tags"]))),
        size=_number(value["size"]),
        reason=str(value["reason"]),
    )


def _encodable(value: object) -> object:
    """Strings without lone surrogates, which SQLite does not take; other values as they are."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return value


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
