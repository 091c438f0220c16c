"""The tables of scope data as apid lays them out: which ones, with which columns, under which names.

======================================  ==========================================  ============================
table                                   columns read                                in a snapshot of Apigee Sync
======================================  ==========================================  ============================
``data_scope``                          id, scope, org, env                         ``edgex_data_scope``
``app_credential_apiproduct_mapper``    tenant_id, appcred_id, app_id, apiprdt_id   ``kms_...``
``api_product``                         id, tenant_id, name                         ``kms_api_product``
``app``                                 id, tenant_id, name, developer_id           ``kms_app``
``developer``                           id, tenant_id, username, email              ``kms_developer``
======================================  ==========================================  ============================

Upper and lower case mean the same. Where a table stands under both names, the one with the prefix is read.
``data_scope.scope`` is the tenant id that the other tables carry as ``tenant_id``.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from apidanalytics.errors import LookupFailedError

COLUMNS: Final = {
    "data_scope": ("id", "scope", "org", "env"),
    "app_credential_apiproduct_mapper": ("tenant_id", "appcred_id", "app_id", "apiprdt_id"),
    "api_product": ("id", "tenant_id", "name"),
    "app": ("id", "tenant_id", "name", "developer_id"),
    "developer": ("id", "tenant_id", "username", "email"),
}
"""Every table and the columns that are read from it."""

_COLUMNS_OF: Final = "SELECT lower(name) FROM pragma_table_xinfo(?, ?)"


class LayoutError(LookupFailedError):
    """Tables or columns are missing; ``problems`` names each. The same file fails again."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The name of each table in one database, ready to stand in a statement."""

    data_scope: str
    mapper: str
    api_product: str
    app: str
    developer: str


def file_uri(path: Path) -> str:
    """Return the URI that opens a database file for reading, whatever characters its path has."""
    return f"{path.absolute().as_uri()}?mode=ro"


def find_tables(connection: sqlite3.Connection, schema: str = "main") -> Tables:
    """Look where the tables stand in this database, or in one attached to it as ``schema``.

    Raises:
        LayoutError: a table or a column is missing; all of them are named.
        sqlite3.Error: the database cannot be read.

    """
    found: dict[str, str] = {}
    problems: list[str] = []
    for table, columns in COLUMNS.items():
        name, present = _find(connection, schema, table)
        found[table] = f"{schema}.{name}"
        problems += _missing(table, name, columns, present)
    if problems:
        raise LayoutError(problems)
    return Tables(
        data_scope=found["data_scope"],
        mapper=found["app_credential_apiproduct_mapper"],
        api_product=found["api_product"],
        app=found["app"],
        developer=found["developer"],
    )


def _prefixed(table: str) -> str:
    return f"edgex_{table}" if table == "data_scope" else f"kms_{table}"


def _find(connection: sqlite3.Connection, schema: str, table: str) -> tuple[str, set[str]]:
    """Return the name a table stands under and its columns; no columns: it is not there."""
    for name in (_prefixed(table), table):
        if present := {column for (column,) in connection.execute(_COLUMNS_OF, (name, schema))}:
            return name, present
    return table, set()


def _missing(table: str, name: str, columns: Sequence[str], present: set[str]) -> list[str]:
    if not present:
        return [f"table {table} (or {_prefixed(table)}) is missing"]
    return [f"column {column} of table {name} is missing" for column in columns if column not in present]
