"""The ledger's file: one SQLite database, ``user_version`` 1, in WAL mode, every commit synced.

A database that cannot be read is moved to ``damaged/`` with the reason beside it, and a new one begins: what is left
to do stands in the directories, so only history is lost. One of a newer version is left alone.
"""

import sqlite3
from pathlib import Path
from typing import Final

import msgspec
import structlog

from apidanalytics import durable, layout
from apidanalytics.errors import NewerFormatError

FORMAT: Final = 1

RESERVE_BYTES: Final = 1 << 20
"""Room the ledger takes when it is opened, so that commits succeed on a full disk and files can be deleted."""

_CHECKED_BYTES: Final = 64 << 20
"""Up to this size the whole database is checked whenever it is opened; above it, only after a crash."""

_TABLES: Final = """
CREATE TABLE files (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    directory TEXT NOT NULL,
    name TEXT NOT NULL,
    tenant TEXT NOT NULL,
    start_at INTEGER NOT NULL,
    records INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_at REAL NOT NULL DEFAULT 0,
    staged_at REAL NOT NULL,
    settled_at REAL,
    etag TEXT,
    reason TEXT,
    UNIQUE (directory, name)
) STRICT;
CREATE INDEX files_staged ON files (start_at, id) WHERE state = 'staged';
CREATE INDEX files_failed ON files (settled_at, id) WHERE state = 'failed';
CREATE INDEX files_uploaded ON files (settled_at) WHERE state = 'uploaded';
CREATE TABLE totals (
    tenant TEXT NOT NULL,
    state TEXT NOT NULL,
    records INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    files INTEGER NOT NULL,
    PRIMARY KEY (tenant, state)
) STRICT, WITHOUT ROWID;
CREATE TABLE spools (number INTEGER PRIMARY KEY, packed_at REAL) STRICT;
CREATE TABLE set_aside (
    name TEXT NOT NULL,
    reason TEXT NOT NULL,
    tenant TEXT NOT NULL,
    records INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (name, reason)
) STRICT, WITHOUT ROWID;
CREATE TABLE reserve (room BLOB) STRICT;
"""

log = structlog.get_logger()


def open_database(path: Path, damaged: Path, now: float) -> tuple[sqlite3.Connection, bool]:
    """Open the ledger's database, or begin one; tell whether it is new.

    The connection may be used by any thread, one at a time, and leaves transactions to the caller.

    Raises:
        NewerFormatError: a newer version wrote it.
        sqlite3.OperationalError: the disk is full or failing.

    """
    try:
        return _open(path)
    except sqlite3.DatabaseError as error:
        if not _is_damage(error):
            raise
        _move_away(path, damaged, now, str(error))
    return _open(path)


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a second connection that sees what is committed and never waits for a commit."""
    reader = _connect(path)
    reader.execute("PRAGMA query_only = ON")
    return reader


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    # The rest is the disk's trouble (full, failing, not permitted), and no reason to begin anew.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    return code & 0xFF in {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)


def _open(path: Path) -> tuple[sqlite3.Connection, bool]:
    new = not path.exists() or path.stat().st_size == 0
    suspect = not new and (path.stat().st_size <= _CHECKED_BYTES or path.with_name(path.name + "-wal").exists())
    if new:
        path.touch(mode=0o600)
        durable.sync_directory(path.parent)
    database = _connect(path)
    try:
        _prepare(database, path, suspect=suspect)
    except BaseException:
        database.close()
        raise
    return database, new


def _prepare(database: sqlite3.Connection, path: Path, *, suspect: bool) -> None:
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version > FORMAT:
        raise NewerFormatError(f"{path} has format {version}, and this version reads up to {FORMAT}")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    if version == 0:
        database.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {FORMAT}; COMMIT;")
    if suspect:
        _check(database)
    _reserve(database)


def _check(database: sqlite3.Connection) -> None:
    found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(found)


def _reserve(database: sqlite3.Connection) -> None:
    # The pages written here stay with the log and with the database's free list, and are written over later.
    database.execute("BEGIN IMMEDIATE")
    database.execute("INSERT INTO reserve VALUES (zeroblob(?))", (RESERVE_BYTES,))
    database.execute("DELETE FROM reserve")
    database.execute("COMMIT")


def _move_away(path: Path, damaged: Path, now: float, reason: str) -> None:
    name = f"{path.name}.{layout.format_recovery_time(now)}"
    for suffix in ("-wal", "-shm", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(damaged / f"{name}{suffix}")
    note = {"reason": reason, "was": path.name, "at": now}
    durable.write(damaged / f"{name}.reason.json", msgspec.json.encode(note))
    durable.sync_directory(path.parent)
    log.error(
        "upload.ledger_damaged",
        reason=reason,
        moved_to=str(damaged / name),
        hint="History and totals begin anew; what is left to deliver is found in the directories.",
    )
