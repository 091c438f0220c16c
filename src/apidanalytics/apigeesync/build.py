"""From a snapshot as it came to the file that workers read and change lists go into.

The file has the kept tables under their prefixed names, clustered by key, text only, NULL as ``''``; the description
of all tables; and the tables of ``scopes.live``. It is in WAL mode, so that readers and the one writer do not wait
for each other.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from apidanalytics import failpoints
from apidanalytics.apigeesync.errors import SyncError
from apidanalytics.apigeesync.tables import (
    CLUSTER,
    KEPT,
    LOOKED_UP_BY,
    MAPPER,
    MAY_BE_MISSING,
    SCOPES,
    Table,
    quoted,
    read_tables,
    stand_in,
)
from apidanalytics.apigeesync.wire import read_txid
from apidanalytics.scopes import live
from apidanalytics.scopes.known_keys import write_keys
from apidanalytics.scopes.tables import file_uri

FORMAT: Final = "1"
"""Of the file; another one is not taken up at start, but a new snapshot is asked for."""
CACHE_KIB: Final = 16384


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What is known of a snapshot that was checked."""

    txid: str
    tables: dict[str, Table]


def check(path: Path, header_txid: str) -> Snapshot:
    """Look whether a downloaded file is a whole snapshot, and return what it says of itself.

    Raises:
        SyncError: it is none.

    """
    failpoints.hit("sync.before_verify")
    try:
        with closing(_open(path)) as connection:
            (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if verdict != "ok":
                raise SyncError("snapshot: the database is damaged")
            (clusters,) = connection.execute(f"SELECT count(*) FROM {CLUSTER}").fetchone()  # noqa: S608 - ours
            if clusters != 1:
                raise SyncError(f"snapshot: {clusters} rows of {CLUSTER} instead of one")
            return Snapshot(txid=_txid(connection, header_txid), tables=read_tables(connection))
    except sqlite3.Error as error:
        raise SyncError(f"snapshot: not a database with the tables of one ({error})") from error


def selectors_in(path: Path, cluster_id: str) -> list[str]:
    """Return the selectors that a snapshot's scopes name, sorted, and the cluster's own last.

    Raises:
        SyncError: they cannot be read.

    """
    try:
        with closing(_open(path)) as connection:
            return read_selectors(connection, cluster_id)
    except sqlite3.Error as error:
        raise SyncError("snapshot: its scopes cannot be read") from error


def read_selectors(connection: sqlite3.Connection, cluster_id: str) -> list[str]:
    """Return the distinct ``scope``, ``org_scope`` and ``env_scope`` of this cluster, sorted, and its own id last."""
    rows = connection.execute(f"SELECT * FROM {SCOPES} WHERE apid_cluster_id = ?", (cluster_id,))  # noqa: S608 - ours
    columns = {column[0] for column in rows.description}
    found: set[str] = set()
    for row in rows:
        found.update(row[name] or "" for name in ("scope", "org_scope", "env_scope") if name in columns)
    return [*sorted(found - {"", cluster_id}), cluster_id]


def build(source: Path, snapshot: Snapshot, target: Path, facts: dict[str, str]) -> None:
    """Write the file of this snapshot, and the file of its API keys beside it. Neither is synced.

    Raises:
        SyncError: the snapshot lacks something that is needed.
        OSError, sqlite3.Error: it cannot be written.

    """
    failpoints.hit("sync.before_build")
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(_open(target, writable=True)) as connection:
        connection.execute("ATTACH ? AS source", (file_uri(source),))
        connection.executescript(f"PRAGMA main.journal_mode = OFF; PRAGMA main.synchronous = OFF; BEGIN; {live.SCHEMA}")
        try:
            for statement in _statements(snapshot.tables):
                connection.execute(statement)
        except ValueError as error:
            raise SyncError(f"snapshot: {error}") from error
        live.write(connection, {"format": FORMAT, "snapshot": snapshot.txid, **facts})
        connection.execute("COMMIT")
        connection.execute("DETACH source")
        write_keys(connection, MAPPER, target)
        connection.execute("PRAGMA main.journal_mode = WAL")
    failpoints.hit("sync.after_build")


def _statements(tables: dict[str, Table]) -> Iterator[str]:
    yield "CREATE TABLE _transicator_tables AS SELECT * FROM source._transicator_tables"
    for name in KEPT:
        table = tables.get(name)
        if table is None and name == SCOPES:
            raise SyncError(f"snapshot: table {SCOPES} is missing")
        yield from _make(table or stand_in(name), is_there=table is not None)
    yield f"CREATE INDEX data_scope_org_env ON {SCOPES} (org, env)"


def _make(table: Table, *, is_there: bool) -> Iterator[str]:
    missing = [column for column in KEPT[table.name] if column not in table.columns and column not in MAY_BE_MISSING]
    if missing:
        raise SyncError(f"snapshot: table {table.name} lacks {', '.join(missing)}")
    columns, key = quoted(table.kept), quoted(table.file_key)
    more = "".join(f", \"{name}\" TEXT DEFAULT ''" for name in KEPT[table.name] if name not in table.columns)
    declared = ", ".join(f"{quoted([column])} TEXT" for column in table.kept)
    yield f"CREATE TABLE main.{table.name} ({declared}{more}, PRIMARY KEY ({key})) WITHOUT ROWID"
    if is_there:
        texts = ", ".join(f"coalesce(CAST({quoted([column])} AS TEXT), '')" for column in table.kept)
        yield (
            f"INSERT OR REPLACE INTO main.{table.name} ({columns}) "  # noqa: S608 - checked names
            f"SELECT {texts} FROM source.{table.name} ORDER BY {key}"
        )
    if not _serves_lookups(table):
        looked_up = quoted(LOOKED_UP_BY[table.name])
        yield f"CREATE INDEX main.{table.name}_looked_up ON {table.name} ({looked_up})"


def _serves_lookups(table: Table) -> bool:
    """Return whether look-ups find their rows by the key alone."""
    looked_up = LOOKED_UP_BY[table.name]
    if table.name == MAPPER:
        return table.file_key[:2] == looked_up[:2]
    return set(table.file_key) <= set(looked_up)


def _txid(connection: sqlite3.Connection, header_txid: str) -> str:
    row = connection.execute("SELECT value FROM _transicator_metadata WHERE key = 'snapshot'").fetchone()
    try:
        return read_txid(str(row[0]) if row and row[0] else header_txid)
    except ValueError as error:
        raise SyncError(f"snapshot: {error}") from error


def _open(path: Path, *, writable: bool = False) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode=rw" if writable else file_uri(path)
    connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    return connection
