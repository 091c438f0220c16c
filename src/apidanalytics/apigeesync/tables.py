"""The tables of a snapshot: all that it knows of, and the few that are kept, with the columns that are kept of them.

A snapshot has many tables, consumer secrets and passwords among them. What look-ups need is copied into a file of our
own, with the keys by which changes find their rows; the rest never stays on disk.
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
    SCOPES: (*COLUMNS["data_scope"], "apid_cluster_id", "org_scope", "env_scope"),
    MAPPER: COLUMNS["app_credential_apiproduct_mapper"],
    PRODUCT: COLUMNS["api_product"],
    APP: COLUMNS["app"],
    DEVELOPER: COLUMNS["developer"],
}
"""The tables that are kept, and what look-ups and the choice of selectors read of them."""

MAY_BE_MISSING: Final = frozenset({"apid_cluster_id", "org_scope", "env_scope"})
LOOKED_UP_BY: Final[Mapping[str, tuple[str, ...]]] = {
    SCOPES: ("id",),
    MAPPER: ("tenant_id", "appcred_id", "apiprdt_id", "app_id"),
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

    @property
    def kept(self) -> tuple[str, ...]:
        """Columns that are kept: those that are read, the key, the selector. Nothing of most tables."""
        if self.name not in KEPT:
            return ()
        wanted = dict.fromkeys((*KEPT[self.name], *self.key, SELECTOR))
        return tuple(column for column in wanted if column in self.columns)

    @property
    def file_key(self) -> tuple[str, ...]:
        """The key, in the order in which look-ups search it. A table without one is a set of rows."""
        first = [column for column in LOOKED_UP_BY[self.name] if column in self.key or not self.key]
        return tuple(dict.fromkeys((*first, *self.key)))


def read_tables(connection: sqlite3.Connection, schema: str = "main") -> dict[str, Table]:
    """Return what a snapshot says of its tables.

    Raises:
        sqlite3.Error: it does not.

    """
    rows = connection.execute(f"SELECT tableName, columnName, typid, primaryKey FROM {schema}._transicator_tables")  # noqa: S608 - ours
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
    return Table(name=name, columns=dict.fromkeys((*KEPT[name], SELECTOR), _TEXT), key=LOOKED_UP_BY[name])


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
