"""The ledger's file: one SQLite database, ``user_version`` 2, in WAL mode, every commit synced.

One of an older version is brought to this one when it is opened, in one transaction.

A database that cannot be read is moved to ``damaged/`` with the reason beside it, and a new one begins: what is left
to do stands in the directories, so only history is lost. One of a newer version is left alone.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from apidanalytics import durable
from apidanalytics.errors import NewerFormatError
from apidanalytics.instants import format_recovery_time

FORMAT: Final = 2

RESERVE_BYTES: Final = 1 << 20
"""The log is made this long when the ledger is opened, and is written over from its beginning from then on: so commits
succeed on a full disk, and the files that were delivered can be deleted from it."""

_CHECKPOINT_PAGES: Final = 200
"""Of 4 KiB: less than the log holds."""

_CHECKED_BYTES: Final = 64 << 20
"""Up to this size the whole database is checked whenever it is opened; above it, only when it is suspected."""

_SHARED: Final[dict[str, Any]] = {"check_same_thread": False, "timeout": 30}

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
    md5 TEXT,
    xxh3 TEXT,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_at REAL NOT NULL DEFAULT 0,
    staged_at REAL NOT NULL,
    settled_at REAL,
    etag TEXT,
    reason TEXT,
    doubt TEXT,
    UNIQUE (directory, name)
) STRICT;
CREATE INDEX files_staged ON files (start_at, id) WHERE state = 'staged';
CREATE INDEX files_failed ON files (settled_at, id) WHERE state = 'failed';
CREATE INDEX files_uploaded ON files (settled_at) WHERE state = 'uploaded';
CREATE INDEX files_dropped ON files (settled_at) WHERE state = 'dropped';
CREATE TABLE totals (
    tenant TEXT NOT NULL,
    state TEXT NOT NULL,
    records INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    files INTEGER NOT NULL,
    PRIMARY KEY (tenant, state)
) STRICT, WITHOUT ROWID;
-- NULL: not all of it is packed; below zero: the rest was set aside then, and will not be.
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

_MIGRATIONS: Final = {1: "ALTER TABLE files ADD COLUMN md5 TEXT;"}
"""By the format that a script starts from; it leads to the next one."""

_ADDED: Final = """
CREATE TABLE IF NOT EXISTS assumed_headers (spool INTEGER PRIMARY KEY, header BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS pauses (tenant TEXT PRIMARY KEY, since REAL NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS files_tenant ON files (tenant, id);
CREATE INDEX IF NOT EXISTS files_set_aside ON files (settled_at) WHERE state = 'set_aside';
"""
"""Came later. A version that does not know them can do without, so the format's number is the same."""

_ADDED_COLUMNS: Final = ("xxh3", "doubt")
"""The same, of ``files``, for ledgers that began without them."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """The open ledger. Any thread may use them, each by one thread at a time; transactions are the caller's."""

    database: sqlite3.Connection
    reader: sqlite3.Connection
    """Sees what is committed and never waits for a commit. Closed last, it leaves the log and its room in place."""
    is_new: bool


def empty() -> sqlite3.Connection:
    """Return a ledger that knows nothing, in memory: what is read where there is none."""
    database = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    database.executescript(_TABLES + _ADDED)
    return database


def open_ledger(path: Path, damaged: Path, now: float) -> Connections:
    """Open the ledger's database, or begin one.

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


@contextmanager
def suspecting(database: sqlite3.Connection) -> Iterator[None]:
    """On an error that means damage, have the whole database checked when it is opened the next time."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if _is_damage(error):
            _, _, path = database.execute("PRAGMA database_list").fetchone()
            if path:  # not in memory
                _suspicion(Path(path)).touch()
        raise


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    # The rest is the disk's trouble (full, failing, not permitted), and no reason to begin anew.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    return code & 0xFF in {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _open(path: Path) -> Connections:
    new = not path.exists() or path.stat().st_size == 0
    if new:
        path.touch(mode=0o600)
        durable.sync_directory(path.parent)
    database = sqlite3.connect(path, isolation_level=None, **_SHARED)
    try:
        _prepare(database, path)
        return Connections(database=database, reader=_open_reader(path), is_new=new)
    except BaseException:
        database.close()
        raise


def _open_reader(path: Path) -> sqlite3.Connection:
    source = f"{path.absolute().as_uri()}?mode=ro"
    reader: sqlite3.Connection = sqlite3.connect(source, uri=True, isolation_level=None, **_SHARED)
    try:
        reader.execute("SELECT 1 FROM files LIMIT 1").fetchone()  # from its first look on, it holds the log
    except BaseException:
        reader.close()
        raise
    return reader


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version > FORMAT:
        raise NewerFormatError(f"{path} has format {version}, and this version reads up to {FORMAT}")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    if version < FORMAT:
        steps = _TABLES if version == 0 else "".join(_MIGRATIONS[older] for older in range(version, FORMAT))
        database.executescript(f"BEGIN IMMEDIATE; {steps} PRAGMA user_version = {FORMAT}; COMMIT;")
    database.executescript(_ADDED)
    _add_columns(database)
    if path.stat().st_size <= _CHECKED_BYTES or _suspicion(path).exists():
        _check(database)
        _suspicion(path).unlink(missing_ok=True)
    _reserve(database, path.with_name(path.name + "-wal"))


def _add_columns(database: sqlite3.Connection) -> None:
    if not _missing(database):
        return
    database.execute("BEGIN IMMEDIATE")
    try:
        for name in _missing(database):  # another process may open it in the same moment
            database.execute(f"ALTER TABLE files ADD COLUMN {name} TEXT")
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def _missing(database: sqlite3.Connection) -> list[str]:
    there = {name for _, name, *_ in database.execute("PRAGMA table_info(files)")}
    return [name for name in _ADDED_COLUMNS if name not in there]


def _suspicion(path: Path) -> Path:
    return path.with_name(path.name + ".suspect")


def _check(database: sqlite3.Connection) -> None:
    found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(found)


def _reserve(database: sqlite3.Connection, wal: Path) -> None:
    database.execute("PRAGMA wal_checkpoint(RESTART)")
    if wal.exists() and wal.stat().st_size >= RESERVE_BYTES:
        return
    try:
        database.execute("INSERT INTO reserve VALUES (zeroblob(?))", (RESERVE_BYTES,))
        database.execute("PRAGMA wal_checkpoint(RESTART)")
        database.execute("DELETE FROM reserve")
    except sqlite3.OperationalError as error:
        if _is_damage(error):
            raise
        log.warning("upload.ledger_has_no_reserve", reason=str(error), hint="The disk is full. Free some space.")


def _move_away(path: Path, damaged: Path, now: float, reason: str) -> None:
    name = f"{path.name}.{format_recovery_time(now)}"
    _suspicion(path).unlink(missing_ok=True)
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
