"""The ledger as of one moment, read only: for those who compare it with everything else while the service goes on."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from apidanalytics.upload import rows, schema, spools
from apidanalytics.upload.states import Count, State

Totals = dict[str, dict[State, Count]]

_COLUMNS: Final = "directory, name, tenant, start_at, records, bytes, size_bytes, sha256, state, settled_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFile:
    """What the ledger says of one file."""

    directory: str
    name: str
    tenant: str
    start_at: int
    records: int
    bytes: int
    size_bytes: int
    sha256: str
    state: State
    settled_at: float | None


class LedgerSnapshot:
    """One read transaction. It neither waits for the agent nor makes the agent wait."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the ledger as it is now; one that is not there is empty.

        Raises:
            sqlite3.DatabaseError: it cannot be read.

        """
        if path.exists():
            source = f"{path.absolute().as_uri()}?mode=ro"
            database = sqlite3.connect(source, uri=True, isolation_level=None, timeout=30)
        else:
            database = schema.empty()
        try:
            database.execute("BEGIN")
            database.execute("SELECT 1 FROM files LIMIT 1").fetchone()  # from now on, it stays at this moment
        except BaseException:
            database.close()
            raise
        return cls(database)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._database.close()

    def problems(self) -> list[str]:
        """Return what SQLite finds wrong with the file itself; it reads all of it."""
        found = [text for (text,) in self._database.execute("PRAGMA quick_check(5)")]
        return [] if found == ["ok"] else found

    def totals(self) -> Totals:
        """Return the running totals by tenant and state."""
        return rows.by_tenant(self._database.execute("SELECT tenant, state, records, bytes, files FROM totals"))

    def sums(self) -> Totals:
        """Return what the rows add up to, by tenant and state. It reads every row."""
        query = (
            "SELECT tenant, state, sum(records), sum(bytes), count(*) FROM"
            " (SELECT tenant, state, records, bytes FROM files UNION ALL"
            " SELECT tenant, 'set_aside', records, bytes FROM set_aside) GROUP BY tenant, state"
        )
        return rows.by_tenant(self._database.execute(query))

    def unreadable_bytes(self) -> dict[str, int]:
        """Return by tenant how much was set aside of which nobody can tell the records; it was never accepted."""
        query = "SELECT tenant, sum(bytes) FROM set_aside WHERE records = 0 GROUP BY tenant"
        return dict(self._database.execute(query))

    def spools(self) -> dict[int, bool]:
        """Return the spools that were counted, each with whether all of it was staged."""
        query = "SELECT number, packed_at IS NOT NULL AND packed_at >= 0 FROM spools"
        return {number: bool(is_packed) for number, is_packed in self._database.execute(query)}

    def made_of(self, spool: int) -> dict[str, tuple[int, int]]:
        """Return (records, bytes) by tenant of what a spool became, or what was set aside of it, so far."""
        return spools.made_of(self._database, spool)

    def files(self, *states: State, since: float = 0.0) -> Iterator[KnownFile]:
        """Yield the files in these states that came into them since then (STAGED: all), oldest start first."""
        marks = ", ".join("?" * len(states))
        query = f"state IN ({marks}) AND coalesce(settled_at, ?) >= ? ORDER BY start_at, directory, name"
        yield from self._select(query, (*states, since, since))

    def find(self, directory: str, name: str) -> KnownFile | None:
        """Return one file."""
        return next(self._select("directory = ? AND name = ?", (directory, name)), None)

    def remembers_since(self) -> float | None:
        """Return when the oldest uploaded file that is not forgotten was uploaded: later ones are all known."""
        (at,) = self._database.execute("SELECT min(settled_at) FROM files WHERE state = 'uploaded'").fetchone()
        return None if at is None else float(at)

    def _select(self, where: str, values: Sequence[object]) -> Iterator[KnownFile]:
        for row in self._database.execute(f"SELECT {_COLUMNS} FROM files WHERE {where}", values):  # noqa: S608 - ``where`` is ours # nosec B608
            yield _known(row)


def _known(row: Sequence[Any]) -> KnownFile:
    directory, name, tenant, start_at, records, size, size_bytes, sha256, state, settled_at = row
    return KnownFile(
        directory=directory,
        name=name,
        tenant=tenant,
        start_at=start_at,
        records=records,
        bytes=size,
        size_bytes=size_bytes,
        sha256=sha256,
        state=State(state),
        settled_at=settled_at,
    )
