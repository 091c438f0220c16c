"""From a snapshot as it came to the file that workers read and change lists go into.

It stays the file that it is: copying a million keys into a layout of our own took 20 s, and the primary keys of the
server's tables serve look-ups as they are. What is missing is added: an index where no key serves, tables that the
server does not have, and those of ``scopes.live``. It is in WAL mode, so that readers and the one writer do not wait
for each other.
"""

import sqlite3
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from apidanalytics import failpoints
from apidanalytics.apigeesync.errors import SyncError
from apidanalytics.apigeesync.tables import (
    APP,
    CLUSTER,
    DEVELOPER,
    KEPT,
    MAPPER,
    PRODUCT,
    SCOPES,
    Table,
    quoted,
    read_tables,
    stand_in,
)
from apidanalytics.apigeesync.wire import read_txid
from apidanalytics.scopes import live
from apidanalytics.scopes.known_keys import write_keys

FORMAT: Final = "2"
"""Of the file; another one is not taken up at start, but a new snapshot is asked for."""
CACHE_KIB: Final = 16384

_SERVED_BY: Final = {
    SCOPES: (("id",),),
    MAPPER: (("tenant_id", "appcred_id"),),
    PRODUCT: (("id",), ("tenant_id", "id")),
    APP: (("id",), ("tenant_id", "id")),
    DEVELOPER: (("id",), ("tenant_id", "id")),
}
"""Look-ups are quick with an index that begins with one of these, in any order; the last one is made if none does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What is known of a snapshot that was checked."""

    txid: str
    selectors: tuple[str, ...]
    """Those that its scopes name."""
    tables: dict[str, Table]


def check(path: Path, header_txid: str, *, cluster_id: str) -> Snapshot:
    """Look whether a downloaded file is a snapshot, and return what it says of itself. ``prepare`` looks at the rest.

    Raises:
        SyncError: it is none.

    """
    failpoints.hit("sync.before_verify")
    try:
        with closing(_open(path)) as connection:
            (clusters,) = connection.execute(f"SELECT count(*) FROM {CLUSTER}").fetchone()  # noqa: S608 - ours # nosec B608
            if clusters != 1:
                raise SyncError(f"snapshot: {clusters} rows of {CLUSTER} instead of one")
            return Snapshot(
                txid=_txid(connection, header_txid),
                selectors=tuple(read_selectors(connection, cluster_id)),
                tables=read_tables(connection),
            )
    except sqlite3.Error as error:
        raise SyncError(f"snapshot: not a database with the tables of one ({error})") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise SyncError(f"snapshot: a value of another kind than its column has ({error})") from error


def read_selectors(connection: sqlite3.Connection, cluster_id: str) -> list[str]:
    """Return the distinct ``scope``, ``org_scope`` and ``env_scope`` of this cluster, sorted, and its own id last."""
    rows = connection.execute(f"SELECT * FROM {SCOPES} WHERE apid_cluster_id = ?", (cluster_id,))  # noqa: S608 - ours # nosec B608
    columns = {column[0] for column in rows.description}
    found: set[str] = set()
    for row in rows:
        found.update(row[name] or "" for name in ("scope", "org_scope", "env_scope") if name in columns)
    return [*sorted(found - {"", cluster_id}), cluster_id]


def prepare(path: Path, snapshot: Snapshot, facts: dict[str, str], *, is_verified: bool) -> None:
    """Make the file of a checked snapshot one that can be served, and write the file of its API keys beside it.

    Meanwhile another thread looks whether the database is whole. ``is_verified``: its SHA-256 is that of the ETag.
    Then only its structure is checked, not that every index fits to its table: that takes half a minute for a million
    keys, and would find the server's faults only. Neither file is synced.

    Raises:
        SyncError: the snapshot lacks something that is needed.
        OSError, sqlite3.Error: it cannot be written.

    """
    failpoints.hit("sync.before_build")
    with closing(_open(path)) as connection, ThreadPoolExecutor(1, "examine") as another:
        connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;")
        examination = another.submit(_examine, path, "quick" if is_verified else "integrity")
        connection.executescript(f"BEGIN; {live.SCHEMA}")
        try:
            for statement in _additions(connection, snapshot.tables):
                connection.execute(statement)
        except ValueError as error:
            raise SyncError(f"snapshot: {error}") from error
        live.write(connection, {"format": FORMAT, "snapshot": snapshot.txid, **facts})
        connection.execute("COMMIT")
        write_keys(connection, MAPPER, path)
        examination.result()  # while it reads, the log cannot be emptied
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    failpoints.hit("sync.after_build")


def _examine(path: Path, depth: str) -> None:
    try:
        with closing(_open(path)) as connection:
            (verdict,) = connection.execute(f"PRAGMA {depth}_check(1)").fetchone()
    except sqlite3.Error as error:
        raise SyncError(f"snapshot: the database is damaged ({error})") from error
    if verdict != "ok":
        raise SyncError("snapshot: the database is damaged")


def _additions(connection: sqlite3.Connection, tables: dict[str, Table]) -> Iterator[str]:
    for name, wanted in KEPT.items():
        table = tables.get(name)
        if table is None and name == SCOPES:
            raise SyncError(f"snapshot: table {SCOPES} is missing")
        if table is None:
            table = stand_in(name)
            columns = ", ".join(f"{quoted([column])} TEXT" for column in table.columns)
            yield f"CREATE TABLE {name} ({columns}, PRIMARY KEY ({quoted(table.key)}))"
        missing = [column for column in wanted if column not in table.columns]
        if missing:
            raise SyncError(f"snapshot: table {name} lacks {', '.join(missing)}")
        if not any(_has_index(connection, name, columns) for columns in _SERVED_BY[name]):
            yield f"CREATE INDEX apidanalytics_{name} ON {name} ({quoted(_SERVED_BY[name][-1])})"
    yield f"CREATE INDEX apidanalytics_org_env ON {SCOPES} (org, env)"


def _has_index(connection: sqlite3.Connection, table: str, columns: Collection[str]) -> bool:
    """Return whether an index of this table begins with these columns, in any order."""
    for (index,) in connection.execute("SELECT name FROM pragma_index_list(?) WHERE NOT partial", (table,)).fetchall():
        rows = connection.execute("SELECT name FROM pragma_index_info(?) ORDER BY seqno", (index,)).fetchmany(
            len(columns)
        )
        if {str(row[0]).lower() for row in rows} == set(columns):
            return True
    return False


def _txid(connection: sqlite3.Connection, header_txid: str) -> str:
    row = connection.execute("SELECT value FROM _transicator_metadata WHERE key = 'snapshot'").fetchone()
    try:
        return read_txid(str(row[0]) if row and row[0] else header_txid)
    except ValueError as error:
        raise SyncError(f"snapshot: {error}") from error


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    return connection
