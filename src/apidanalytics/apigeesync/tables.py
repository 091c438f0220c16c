"""The tables of a snapshot: all that it knows of, and the few that look-ups read and changes go into.

A snapshot has many more tables; they stay as they came, and changes of them are only held against its description.
"""

import re
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from apidanalytics.scopes.tables import COLUMNS

SELECTOR: Final = "_change_selector"
CLUSTER: Final = "edgex_apid_cluster"
SCOPES: Final = "edgex_data_scope"
MAPPER: Final = "kms_app_credential_apiproduct_mapper"
PRODUCT: Final = "kms_api_product"
APP: Final = "kms_app"
DEVELOPER: Final = "kms_developer"

KEPT: Final[Mapping[str, tuple[str, ...]]] = {
    SCOPES: (*COLUMNS["data_scope"], "apid_cluster_id"),
    MAPPER: COLUMNS["app_credential_apiproduct_mapper"],
    PRODUCT: COLUMNS["api_product"],
    APP: COLUMNS["app"],
    DEVELOPER: COLUMNS["developer"],
}
"""The tables that changes go into, and the columns that are read of them."""

USUAL_KEY: Final[Mapping[str, tuple[str, ...]]] = {
    SCOPES: ("id",),
    MAPPER: ("tenant_id", "appcred_id", "app_id", "apiprdt_id"),
    PRODUCT: ("tenant_id", "id"),
    APP: ("tenant_id", "id"),
    DEVELOPER: ("tenant_id", "id"),
}

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_TEXT: Final = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table as the snapshot describes it; all names in lower case."""

    name: str
    columns: Mapping[str, int]
    """Every column with its PostgreSQL type."""
    key: tuple[str, ...]
    """Primary key; empty: it has none."""


def read_tables(connection: sqlite3.Connection, schema: str = "main") -> dict[str, Table]:
    """Return what a snapshot says of its tables.

    Raises:
        sqlite3.Error: it does not.

    """
    rows = connection.execute(f"SELECT tableName, columnName, typid, primaryKey FROM {schema}._transicator_tables")  # noqa: S608 - ours # nosec B608
    columns: dict[str, dict[str, int]] = {}
    keys: dict[str, list[str]] = {}
    for table, column, oid, is_key in rows:
        name = str(table).lower()
        columns.setdefault(name, {})[str(column).lower()] = int(oid or _TEXT)
        if str(is_key) in ("1", "t", "true", "True"):
            keys.setdefault(name, []).append(str(column).lower())
    return {
        name: Table(name=name, columns=columns[name], key=tuple(dict.fromkeys(keys.get(name, ())))) for name in columns
    }


def stand_in(name: str) -> Table:
    """Return the table for one that the snapshot does not have: empty, in its usual form."""
    return Table(name=name, columns=dict.fromkeys((*KEPT[name], SELECTOR), _TEXT), key=USUAL_KEY[name])


def quoted(columns: Iterable[str]) -> str:
    """Return column names as they stand in a statement.

    Raises:
        ValueError: one of them is no plain name.

    """
    names = list(columns)
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError("a column has a name that is none")
    return ", ".join(f'"{name}"' for name in names)
