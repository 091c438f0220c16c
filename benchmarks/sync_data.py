"""A snapshot as large as real ones get: 10,000 scopes, and API keys by the million, each with an app of its own."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.wrk import KEY_FORM
from tests.apigeesync.accounts import CLUSTER
from tests.apigeesync.tables import SELECTOR, TABLES, Table
from tests.apigeesync.values import declared_type

TENANT: Final = "0b1c9f3e-5a47-4d8e-9a55-7d0f4e1b2c3d"
TXID: Final = "229444:229444:"
PRIME: Final = 7_368_787
"""Rows come in the order of their number times this: no server sends them sorted."""
PRODUCTS: Final = 1000
KEYS_PER_DEVELOPER: Final = 10


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much a snapshot holds."""

    scopes: int
    api_keys: int


def scope(number: int) -> str:
    """Return a scope uuid."""
    return f"scope-{number:05d}"


def api_key(number: int) -> str:
    """Return an API key of 32 characters."""
    return KEY_FORM % number


def app_id(number: int) -> str:
    """Return the id of the app of the API key with this number."""
    return f"10000000-cafe-4000-8000-{number:012d}"


def developer_id(number: int) -> str:
    """Return the id of the developer of that app."""
    return f"20000000-cafe-4000-8000-{number // KEYS_PER_DEVELOPER:012d}"


def write(path: Path, size: Size) -> None:
    """Write the snapshot, as the server makes it: raw, without indexes but the primary keys."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; BEGIN;")
        connection.execute("CREATE TABLE _transicator_metadata (key varchar primary key, value varchar)")
        connection.execute("INSERT INTO _transicator_metadata VALUES ('snapshot', ?)", (TXID,))
        connection.execute(
            "CREATE TABLE _transicator_tables (tableName varchar, columnName varchar, typid integer, primaryKey bool)"
        )
        for table in TABLES:
            _create(connection, table)
        connection.execute(f"CREATE TEMP TABLE numbers AS {_NUMBERS}", (size.api_keys, PRIME, size.api_keys))
        for name, count, values in _content(size):
            _fill(connection, name, count, values)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


_NUMBERS: Final = """
    WITH RECURSIVE counter(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM counter WHERE i + 1 < ?)
    SELECT i * ? % ? AS n FROM counter
"""


def _content(size: Size) -> list[tuple[str, int, dict[str, str]]]:
    """Return for each table how many rows it has, and their columns as expressions of the number n."""
    tenant = {"tenant_id": f"'{TENANT}'", SELECTOR: f"'{TENANT}'"}
    key = f"printf('{KEY_FORM}', n)"
    app, developer = _uuid("1", "n"), _uuid("2", f"n / {KEYS_PER_DEVELOPER}")
    product = _uuid("3", f"n % {PRODUCTS}")
    cluster = {"apid_cluster_id": f"'{CLUSTER}'", SELECTOR: f"'{CLUSTER}'"}
    scope = {"id": "printf('scope-%05d', n)", "org": "printf('org-%d', n / 10)", "env": "printf('env-%d', n % 10)"}
    person = {"username": "printf('team-%d', n)", "email": "printf('team-%d@shop.example', n)"}
    approved = {"app_id": app, "status": "'APPROVED'", **tenant}
    secret = "hex(randomblob(16))"
    return [
        ("edgex_apid_cluster", 1, {"id": f"'{CLUSTER}'", "name": "'bench'", SELECTOR: f"'{CLUSTER}'"}),
        ("edgex_data_scope", size.scopes, {"scope": f"'{TENANT}'", **scope, **cluster}),
        ("kms_app_credential_apiproduct_mapper", size.api_keys, {"appcred_id": key, "apiprdt_id": product, **approved}),
        ("kms_app_credential", size.api_keys, {"id": key, "consumer_secret": secret, **approved}),
        (
            "kms_app",
            size.api_keys,
            {"id": app, "name": "printf('storefront-%d', n)", "developer_id": developer, **tenant},
        ),
        (
            "kms_developer",
            size.api_keys // KEYS_PER_DEVELOPER,
            {"id": _uuid("2", "n"), "password": secret, **person, **tenant},
        ),
        ("kms_api_product", PRODUCTS, {"id": _uuid("3", "n"), "name": "printf('catalogue-%d', n)", **tenant}),
    ]


def _uuid(kind: str, number: str) -> str:
    return f"printf('{kind}0000000-cafe-4000-8000-%012d', {number})"


def _create(connection: sqlite3.Connection, table: Table) -> None:
    columns = ",".join(f"{name} {declared_type(oid)}" for name, oid in table.columns.items())
    connection.execute(f"CREATE TABLE {table.sqlite_name} ({columns}, primary key ({','.join(table.key)}))")
    connection.executemany(
        "INSERT INTO _transicator_tables VALUES (?, ?, ?, ?)",
        [(table.sqlite_name, name, oid, name in table.key) for name, oid in table.columns.items()],
    )


def _fill(connection: sqlite3.Connection, table: str, count: int, values: dict[str, str]) -> None:
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    expressions = ", ".join(values.get(column, "''") for column in columns)
    connection.execute(f"INSERT INTO {table} SELECT {expressions} FROM numbers WHERE n < {count}")
