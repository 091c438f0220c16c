"""What a change does to the row that it concerns. Pure: no database.

The row as it is goes in, the row as it has to be comes out, or why that cannot be told: then only a new snapshot
helps.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from apidanalytics.apigeesync.errors import SnapshotNeededError
from apidanalytics.apigeesync.tables import CLUSTER, KEPT, SELECTOR, Table
from apidanalytics.apigeesync.values import UNCHANGED_TOAST, canonical
from apidanalytics.apigeesync.wire import Change, Operation, Row

Texts: TypeAlias = dict[str, str]
"""All columns of a row, each in its one form (``values``)."""
Key: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What becomes of a row."""

    before: Texts | None
    """None: there was none."""
    after: Texts | None
    """None: there is none any more."""


def check_fit(change: Change, tables: Mapping[str, Table]) -> Table:
    """Return the table that a change is for.

    Raises:
        SnapshotNeededError: the snapshot has no such table or column, or the cluster itself changed.

    """
    name = change.table_name
    if name == CLUSTER:
        raise SnapshotNeededError("the cluster itself changed")
    table = tables.get(name)
    if table is None:
        raise SnapshotNeededError(f"a change of a table that the snapshot does not have: {name[:80]!r}")
    for row in (change.new_row, change.old_row):
        for column in row or ():
            if column.lower() not in table.columns:
                raise SnapshotNeededError(f"a change of {name} has a column that the snapshot does not have")
    return table


def effect_of(change: Change, table: Table, find: Callable[[Key], Texts | None], selectors: Collection[str]) -> Effect:
    """Return what this change does. ``find`` gives the row of a key as it is now.

    Raises:
        SnapshotNeededError: it cannot be told.

    """
    if not table.key:
        raise SnapshotNeededError(f"a change of {table.name}, which has no key")
    key = _key(change.old_row, table) or _key(change.new_row, table)
    if key is None:
        raise SnapshotNeededError(f"a change of {table.name} without its key")
    before = find(key)
    if change.operation is Operation.DELETE:
        return Effect(before=before, after=None)
    if change.new_row is None:
        raise SnapshotNeededError(f"a change of {table.name} without a row")
    after = _merged(before, change.new_row, table)
    is_ours = SELECTOR not in after or after[SELECTOR] in selectors
    return Effect(before=before, after=after if is_ours else None)


def key_of(row: Texts, table: Table) -> Key:
    """Return the key of a row."""
    return tuple(row[column] for column in table.key)


def _key(row: Row | None, table: Table) -> Key | None:
    given = {column.lower(): value.value for column, value in (row or {}).items()}
    if any(given.get(column) is None for column in table.key):
        return None
    return tuple(canonical(given[column], table.columns[column]) for column in table.key)


def _merged(before: Texts | None, row: Row, table: Table) -> Texts:
    given = {column.lower(): value.value for column, value in row.items()}
    after = dict.fromkeys(table.columns, "") if before is None else dict(before)
    for column, value in given.items():
        if value != UNCHANGED_TOAST:
            after[column] = canonical(value, table.columns[column])
        elif before is None and column in KEPT.get(table.name, ()):
            raise SnapshotNeededError(f"a change of {table.name} leaves out what is not known here")
    return after
