"""The SQLite database: one file, one connection, transactions that are whole or not at all.

WAL with full synchronisation: what a transaction has committed survives the loss of power.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SCHEMA = """
CREATE TABLE watches (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    uid TEXT NOT NULL,
    body TEXT NOT NULL,            -- core Watch
    digest TEXT NOT NULL,          -- the reference that windows and buckets belong to
    epoch REAL NOT NULL,           -- when this reference began
    latest REAL NOT NULL,          -- no bucket is filled before this moment, whatever the clock does
    horizon REAL NOT NULL,         -- boots that began before this are not counted from zero
    rows INTEGER NOT NULL,         -- counted for this reference
    episodes INTEGER NOT NULL,     -- the highest number given
    UNIQUE (namespace, name)
);
CREATE TABLE profiles (
    digest TEXT PRIMARY KEY,
    body TEXT NOT NULL             -- core Profile
);
CREATE TABLE boots (
    watch INTEGER NOT NULL REFERENCES watches ON DELETE CASCADE,
    boot TEXT NOT NULL,
    began REAL NOT NULL,
    seen REAL NOT NULL,
    PRIMARY KEY (watch, boot)
) WITHOUT ROWID;
CREATE TABLE snapshots (           -- the last one of every boot and role
    watch INTEGER NOT NULL,
    boot TEXT NOT NULL,
    role TEXT NOT NULL,
    vector BLOB NOT NULL,
    PRIMARY KEY (watch, boot, role),
    FOREIGN KEY (watch, boot) REFERENCES boots ON DELETE CASCADE
) WITHOUT ROWID;
CREATE TABLE buckets (
    watch INTEGER NOT NULL REFERENCES watches ON DELETE CASCADE,
    role TEXT NOT NULL,
    start INTEGER NOT NULL,
    vector BLOB NOT NULL,
    PRIMARY KEY (watch, role, start)
) WITHOUT ROWID;
CREATE TABLE windows (             -- closed ones, the newest of a scale says where to continue
    watch INTEGER NOT NULL REFERENCES watches ON DELETE CASCADE,
    seconds INTEGER NOT NULL,
    end INTEGER NOT NULL,
    sufficient INTEGER NOT NULL,   -- had enough rows
    tested INTEGER NOT NULL,       -- counts for or against drift
    hit INTEGER NOT NULL,
    quiet INTEGER NOT NULL,
    finding TEXT NOT NULL,         -- core WindowFinding
    problems TEXT NOT NULL,        -- core QualityProblem, a list
    PRIMARY KEY (watch, seconds, end)
) WITHOUT ROWID;
CREATE TABLE episodes (
    watch INTEGER NOT NULL REFERENCES watches ON DELETE CASCADE,
    number INTEGER NOT NULL,
    began REAL NOT NULL,
    ended REAL,
    body TEXT NOT NULL,            -- episode.Track
    PRIMARY KEY (watch, number)
) WITHOUT ROWID;
"""
SCHEMA_VERSION = 1


class Database:
    """The open database.  Used from any thread, by one at a time."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=10
        )
        self._connection.row_factory = sqlite3.Row
        self._lock = threading.RLock()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._prepare()

    def _prepare(self) -> None:
        with self.transaction() as connection:
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if found > SCHEMA_VERSION:
                raise ValueError(f"the database has schema {found}, this program {SCHEMA_VERSION}")
            if found == 0:
                for statement in SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection; all that is written in the block is committed, or nothing is."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection for reading; nobody writes meanwhile."""
        with self._lock:
            yield self._connection

    @property
    def size(self) -> int:
        """The size of the file in bytes."""
        with self.reading() as connection:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            return int(pages * connection.execute("PRAGMA page_size").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
