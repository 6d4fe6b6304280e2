"""The catalogue's schema as a list of migrations: `PRAGMA user_version` counts those applied; none is ever edited."""

MIGRATIONS = (
    """
    CREATE TABLE session (
        id TEXT PRIMARY KEY,
        run TEXT NOT NULL,
        request TEXT,
        on_behalf_of TEXT,
        protocol TEXT NOT NULL,
        agent TEXT NOT NULL,
        credential TEXT,
        client TEXT,
        sources TEXT NOT NULL,          -- JSON: field -> verified | asserted | observed
        unattributed INTEGER NOT NULL,
        target TEXT NOT NULL,
        login TEXT NOT NULL,
        started INTEGER NOT NULL,       -- UNIX ns UTC
        ended INTEGER,
        state TEXT NOT NULL,
        reason TEXT NOT NULL DEFAULT '',
        bytes_in INTEGER NOT NULL DEFAULT 0,
        bytes_out INTEGER NOT NULL DEFAULT 0,
        verdicts TEXT NOT NULL DEFAULT '{}',
        gaps INTEGER NOT NULL DEFAULT 0,
        not_captured TEXT NOT NULL DEFAULT '[]',
        segments INTEGER NOT NULL DEFAULT 1,
        tags TEXT NOT NULL DEFAULT '[]',
        size INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID;
    CREATE INDEX session_started ON session (started DESC);
    CREATE INDEX session_run ON session (run);
    CREATE TABLE run (                  -- every run that a channel of a session asserted (ControlMaster shares one)
        session TEXT NOT NULL,
        run TEXT NOT NULL,
        PRIMARY KEY (session, run)
    ) WITHOUT ROWID;
    CREATE INDEX run_name ON run (run);
    CREATE TABLE head (                 -- the newest signed head of each segment, and of its open chunk
        session TEXT NOT NULL,
        segment INTEGER NOT NULL,
        running INTEGER NOT NULL,
        tree_size INTEGER NOT NULL,
        root BLOB NOT NULL,
        stored INTEGER NOT NULL,
        note TEXT NOT NULL,
        PRIMARY KEY (session, segment, running)
    ) WITHOUT ROWID;
    CREATE TABLE rules (                -- each text of rules that was in force, under its SHA-256
        sha256 BLOB PRIMARY KEY,
        text TEXT NOT NULL
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE custody (              -- who viewed, revealed or exported which session; numbers are never used again
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,            -- UNIX ns UTC
        person TEXT NOT NULL,
        uid INTEGER NOT NULL,
        action TEXT NOT NULL,
        session TEXT NOT NULL,
        detail TEXT NOT NULL            -- JSON object
    );
    CREATE INDEX custody_session ON custody (session);
    """,
)
