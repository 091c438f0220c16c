"""The database behind the servers: rows, transactions with their ids, and the log of committed changes.

A transaction takes its id when it begins and its place in the log when it commits, so that a snapshot taken in
between does not hold it, and says so: ``xmin:xmax:running,running``. All methods may be called from any thread.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from tests.apigeesync.tables import SELECTOR, TABLES, Table
from tests.apigeesync.values import UNCHANGED_TOAST, Value

Row: TypeAlias = dict[str, Value]
Key: TypeAlias = tuple[Value, ...]
Sequence: TypeAlias = tuple[int, int]
"""LSN of the commit, index within it. Compared as numbers."""

FIRST_TXID = 1_142_790
FIRST_LSN = 0x1380AA00
_LSN_STEP = 0x40


class Operation(IntEnum):
    """What a change did."""

    INSERT = 1
    UPDATE = 2
    DELETE = 3


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change of one row, as the log keeps it."""

    operation: Operation
    table: Table
    sequence: Sequence
    row_lsn: int
    txid: int
    stored_at: int
    new: Row | None = None
    old: Row | None = None

    @property
    def selector(self) -> str:
        """The scope it is filed under: that of the old row where there is one, and only there."""
        row = self.old if self.old is not None else self.new or {}
        return str(row.get(SELECTOR) or "")


@dataclass(frozen=True, kw_only=True)
class _Step:
    """What a transaction will do to a row when it commits."""

    operation: Operation
    table: Table
    key: Key
    values: Mapping[str, Value]
    unchanged: tuple[str, ...] = ()


class Transaction:
    """Several changes that are committed at once."""

    def __init__(self, txid: int, tables: Mapping[str, Table]) -> None:
        self.txid = txid
        self.steps: list[_Step] = []
        self._tables = tables

    def insert(self, table: str, **values: Value) -> None:
        """Add a row; columns that are not named are NULL."""
        self._add(Operation.INSERT, table, (), values)

    def update(self, table: str, *key: Value, unchanged: tuple[str, ...] = (), **values: Value) -> None:
        """Set columns of the row with this key; those ``unchanged`` arrive as the marker of an untouched long value."""
        self._add(Operation.UPDATE, table, key, values, unchanged)

    def delete(self, table: str, *key: Value) -> None:
        """Remove the row with this key."""
        self._add(Operation.DELETE, table, key, {})

    def _add(
        self, operation: Operation, table: str, key: Key, values: Mapping[str, Value], unchanged: tuple[str, ...] = ()
    ) -> None:
        named = self._tables[table]
        assert set(values) <= set(named.columns), f"{table} has no {set(values) - set(named.columns)}"
        self.steps.append(_Step(operation=operation, table=named, key=key, values=values, unchanged=unchanged))


class Database:
    """Tables held as dictionaries. ``insert``, ``update`` and ``delete`` are transactions of one change."""

    def __init__(self, tables: Iterable[Table] = TABLES) -> None:
        self.lock = threading.RLock()
        self.tables: dict[str, Table] = {}
        self.log: list[Change] = []
        self.first_sequence: Sequence = (0, 0)
        self.last_sequence: Sequence = (0, 0)
        self.on_commit: list[Callable[[], None]] = []
        self._rows: dict[str, dict[Key, Row]] = {}
        self._next_txid = FIRST_TXID
        self._running: set[int] = set()
        self._lsn = FIRST_LSN
        for table in tables:
            self.create(table)

    def __repr__(self) -> str:
        return f"<Database next txid {self._next_txid}, {len(self.log)} changes up to {self.last_sequence}>"

    def create(self, table: Table) -> None:
        """Add a table, or give one another definition; its rows stay."""
        with self.lock:
            self.tables[table.name] = table
            self._rows.setdefault(table.name, {})

    # -- changing it

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Commit everything that is done with it, at the end of the block; nothing, if that raises."""
        with self.lock:
            transaction = Transaction(self._next_txid, self.tables)
            self._next_txid += 1
            self._running.add(transaction.txid)
        try:
            yield transaction
            self._commit(transaction)
        finally:
            with self.lock:
                self._running.discard(transaction.txid)

    def insert(self, table: str, **values: Value) -> None:
        with self.transaction() as transaction:
            transaction.insert(table, **values)

    def update(self, table: str, *key: Value, unchanged: tuple[str, ...] = (), **values: Value) -> None:
        with self.transaction() as transaction:
            transaction.update(table, *key, unchanged=unchanged, **values)

    def delete(self, table: str, *key: Value) -> None:
        with self.transaction() as transaction:
            transaction.delete(table, *key)

    def load(self, table: str, rows: Iterable[Mapping[str, Value]]) -> None:
        """Add rows that were there before the log began."""
        with self.lock:
            self._rows[table].update({_key(self.tables[table], row): dict(row) for row in rows})

    def _commit(self, transaction: Transaction) -> None:
        with self.lock:
            committed_at = self._lsn + _LSN_STEP * (len(transaction.steps) + 1)
            for index, step in enumerate(transaction.steps):
                self._lsn += _LSN_STEP
                self._append(self._apply(step, (committed_at, index), transaction.txid))
            self._lsn = committed_at
            self._running.discard(transaction.txid)
        self._wake()

    def _wake(self) -> None:
        for wake in list(self.on_commit):
            wake()

    def _append(self, change: Change) -> None:
        self.log.append(change)
        self.last_sequence = change.sequence
        if self.first_sequence == (0, 0):
            self.first_sequence = change.sequence

    def _apply(self, step: _Step, sequence: Sequence, txid: int) -> Change:
        rows, table = self._rows[step.table.name], step.table
        old = None if step.operation is Operation.INSERT else dict(rows.pop(step.key))
        new = (
            None
            if step.operation is Operation.DELETE
            else {**dict.fromkeys(table.columns), **(old or {}), **step.values}
        )
        if new is not None:
            key = _key(table, new)
            assert key not in rows, f"duplicate key {key} in {table.name}"
            rows[key] = new
        return Change(
            operation=step.operation,
            table=table,
            sequence=sequence,
            row_lsn=self._lsn,
            txid=txid,
            stored_at=int(time.time()),
            new=new and {**new, **dict.fromkeys(step.unchanged, UNCHANGED_TOAST)},
            old=_replicated(table, old, new),
        )

    # -- reading it

    def get(self, table: str, *key: Value) -> Row | None:
        """Return a copy of the row with this key."""
        with self.lock:
            row = self._rows[table].get(key)
            return None if row is None else dict(row)

    def rows(self, table: str, selectors: Iterable[str] | None = None) -> list[Row]:
        """Return copies of the rows of these scopes; without, of all."""
        with self.lock:
            wanted = None if selectors is None else set(selectors)
            rows = self._rows[table].values()
            return [dict(row) for row in rows if wanted is None or row.get(SELECTOR) in wanted]

    def snapshot_info(self) -> str:
        """Return which transactions can be seen now: ``xmin:xmax:xips``."""
        with self.lock:
            running = sorted(self._running)
            return f"{min(running, default=self._next_txid)}:{self._next_txid}:{','.join(map(str, running))}"

    # -- what happens to the change server

    def purge(self) -> None:
        """Drop all changes that are stored; a marker keeps the last sequence."""
        with self.lock:
            self.log.clear()
            self.first_sequence = self.last_sequence

    def reset(self) -> None:
        """Lose the log and begin a new one with low sequences, as a server does whose store was set up anew."""
        with self.lock:
            self.log.clear()
            self.first_sequence = self.last_sequence = (0, 0)
            self._lsn = _LSN_STEP
        self._wake()


def _key(table: Table, row: Mapping[str, Value]) -> Key:
    """Return what a row is found by: all of it, in a table without a primary key."""
    return tuple(row.get(column) for column in table.key or table.columns)


def _replicated(table: Table, old: Row | None, new: Row | None) -> Row | None:
    """Return what of the old row is sent: all of it, its key when that changes or the row goes, or nothing."""
    if old is None or table.is_identity_full:
        return old
    key = {column: old.get(column) for column in table.key}
    is_kept = new is not None and all(new[column] == value for column, value in key.items())
    return None if is_kept else key
