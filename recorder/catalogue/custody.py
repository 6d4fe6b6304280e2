"""The custody table: who viewed, revealed or exported which session. Entries are added, never changed."""

import contextlib
import json
import sqlite3
from pathlib import Path

from recorder.catalogue.rows import encodable
from recorder.model import Custody, Handling

OF_SESSION = "SELECT seq, at, person, uid, action, session, detail FROM custody WHERE session = ? ORDER BY seq"
_BUSY_S = 5.0


def insert(db: sqlite3.Connection, entry: Custody) -> int:
    """Adds an entry; its number, whatever `entry.seq` is."""
    row = (entry.at, entry.person, entry.uid, entry.action.value, entry.session, json.dumps(entry.detail))
    statement = "INSERT INTO custody (at, person, uid, action, session, detail) VALUES (?,?,?,?,?,?)"
    return db.execute(statement, [encodable(value) for value in row]).lastrowid or 0


def entry_of(row: tuple[object, ...]) -> Custody:
    """The entry in a row of OF_SESSION; ValueError or TypeError when it is malformed."""
    match row:
        case (
            int() as seq,
            int() as at,
            str() as person,
            int() as uid,
            str() as action,
            str() as session,
            str() as detail,
        ):
            return Custody(seq, at, person, uid, Handling(action), session, dict(json.loads(detail)))
    raise ValueError("an entry of the custody table")


def add_directly(path: Path, entry: Custody) -> None:
    """Adds an entry to the catalogue at `path` while no gateway has it open. sqlite3.Error."""
    # Not as the gateway opens it: leaving WAL mode again could fail beside another reviewer, and a catalogue that
    # stays in it cannot be opened by those who may not write there.
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_BUSY_S, isolation_level=None)
    try:
        insert(db, entry)
        with contextlib.suppress(sqlite3.OperationalError):  # somebody reads it: then it stays as it was
            db.execute("PRAGMA journal_mode=DELETE")  # a gateway that was killed left it in WAL mode
    finally:
        db.close()
