"""What may be asked of a ledger from outside, on a connection of its own: nobody waits for a long answer here.

It reads only, and also the ledger of a service that does not run.
"""

import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from apidanalytics.upload.states import Count, State

_SUMS: Final = "SELECT state, sum(records), sum(bytes), sum(files) FROM totals GROUP BY state"

_COLUMNS: Final = (
    "id, directory, name, tenant, start_at, records, bytes, size_bytes, sha256,"
    " state, attempts, next_attempt_at, staged_at, settled_at, etag, reason"
)

_IN: Final = {state: f"FROM files WHERE state = '{state}'" for state in (State.STAGED, State.FAILED)}

ORDERS: Final = {"oldest": "id", "newest": "id DESC"}
"""In which files are listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """Files of one tenant in one state."""

    files: int
    records: int
    size_bytes: int
    oldest_start_at: int
    """Start of the oldest bucket, in Unix seconds."""


class LedgerView:
    """Any thread may ask; every call blocks."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._database.row_factory = sqlite3.Row
        self._asking = threading.Lock()

    def __repr__(self) -> str:
        return "<LedgerView>"

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the ledger at ``path`` for reading.

        Raises:
            sqlite3.OperationalError: it is not there, or cannot be read.

        """
        source = f"{path.absolute().as_uri()}?mode=ro"
        return cls(sqlite3.connect(source, uri=True, isolation_level=None, check_same_thread=False, timeout=30))

    def close(self) -> None:
        """Close it; closing twice is fine."""
        with self._asking:
            self._database.close()

    def sums(self) -> dict[State, Count]:
        """Return the totals of all tenants together, by state."""
        return {State(state): Count(*amounts) for state, *amounts in self._ask(_SUMS)}

    def backlog(self, state: State) -> dict[str, Backlog]:
        """Return what stands in a state, STAGED or FAILED, by tenant."""
        # The state stands in the text, so that its partial index can be used.
        query = f"SELECT tenant, count(*), sum(records), sum(size_bytes), min(start_at) {_IN[state]} GROUP BY tenant"
        return {
            tenant: Backlog(files=files, records=records, size_bytes=size, oldest_start_at=oldest)
            for tenant, files, records, size, oldest in self._ask(query)
        }

    def oldest(self, state: State) -> int | None:
        """Return the start of the oldest bucket that stands in a state, STAGED or FAILED."""
        start_at: int | None = self._ask(f"SELECT min(start_at) {_IN[state]}")[0][0]
        return start_at

    def files(
        self, *, tenant: str | None = None, state: str | None = None, order: str = "newest", offset: int, limit: int
    ) -> list[dict[str, Any]]:
        """Return files as mappings of the ledger's columns, in an order of ``ORDERS``."""
        wanted = {"tenant = ?": tenant, "state = ?": state}
        where = " AND ".join(name for name, value in wanted.items() if value is not None) or "1"
        values = [value for value in wanted.values() if value is not None]
        query = f"SELECT {_COLUMNS} FROM files WHERE {where} ORDER BY {ORDERS[order]} LIMIT ? OFFSET ?"  # noqa: S608 - the names are ours # nosec B608
        return [dict(row) for row in self._ask(query, [*values, limit, offset])]

    def file(self, number: int) -> dict[str, Any] | None:
        """Return one file by its number."""
        found = self._ask(f"SELECT {_COLUMNS} FROM files WHERE id = ?", [number])  # noqa: S608 - the columns are ours # nosec B608
        return dict(found[0]) if found else None

    def set_aside(self, limit: int) -> list[dict[str, Any]]:
        """Return what was set aside last, with the reasons."""
        return [dict(row) for row in self._ask("SELECT * FROM set_aside ORDER BY at DESC LIMIT ?", [limit])]

    def _ask(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        with self._asking:
            return self._database.execute(query, values).fetchall()
