"""The database as a snapshot: the SQLite file that apid takes, and the JSON form for reading by eye."""

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.apigeesync.database import Database, Row
from tests.apigeesync.tables import Table
from tests.apigeesync.values import declared_type, in_change, in_snapshot


def write_sqlite(path: Path, database: Database, selectors: Sequence[str]) -> str:
    """Write the rows of these scopes, all of one moment, into a new file; return the snapshot info.

    Raises:
        UnreadableValueError: a value is of the kind on which the server fails.

    """
    with database.lock:
        info = database.snapshot_info()
        tables = [(table, database.rows(table.name, selectors)) for table in database.tables.values()]
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        _write_metadata(connection, info)
        for table, rows in tables:
            _write_table(connection, table, rows)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return info


def sha256(path: Path) -> str:
    """Return the checksum of a file, as an ETag carries it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_metadata(connection: sqlite3.Connection, info: str) -> None:
    connection.execute("create table _transicator_metadata (key varchar primary key, value varchar)")
    connection.execute("insert into _transicator_metadata values ('snapshot', ?)", (info,))
    connection.execute(
        "create table _transicator_tables "
        "(tableName varchar not null, columnName varchar not null, typid integer, primaryKey bool)"
    )


def _write_table(connection: sqlite3.Connection, table: Table, rows: Iterable[Row]) -> None:
    columns = [f"{name} {declared_type(oid)}" for name, oid in table.columns.items()]
    if table.key:
        columns.append(f"primary key ({','.join(table.key)})")
    connection.execute(f"create table {table.sqlite_name} ({','.join(columns)})")
    connection.executemany(
        "insert into _transicator_tables values (?, ?, ?, ?)",
        [(table.sqlite_name, name, oid, name in table.key) for name, oid in table.columns.items()],
    )
    places = ",".join("?" * len(table.columns))
    connection.executemany(
        f"insert into {table.sqlite_name} values ({places})",
        ([in_snapshot(row.get(name), oid) for name, oid in table.columns.items()] for row in rows),
    )


def as_json(database: Database, selectors: Sequence[str]) -> dict[str, Any]:
    """Return the JSON form."""
    with database.lock:
        return {
            "snapshotInfo": database.snapshot_info(),
            "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "tables": [
                {
                    "name": table.name,
                    "rows": [_members(table, row) for row in database.rows(table.name, selectors)] or None,
                }
                for table in database.tables.values()
            ],
        }


def _members(table: Table, row: Row) -> dict[str, Any]:
    return {name: {"value": in_change(row.get(name), oid), "type": oid} for name, oid in sorted(table.columns.items())}
