"""What may be asked of a ledger from outside, on a connection of its own: nobody waits for a long answer here.

It reads only, and also the ledger of a service that does not run.
"""

import sqlite3
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from apidanalytics.upload import schema
from apidanalytics.upload.states import Count, State

_SUMS: Final = "SELECT state, sum(records), sum(bytes), sum(files) FROM totals GROUP BY state"

_BACKLOG: Final = (
    "count(*), sum(records), sum(size_bytes), min(start_at), max(CASE WHEN reason IS NOT NULL THEN id END)"
)

_COLUMNS: Final = (
    "id, directory, name, tenant, start_at, records, bytes, size_bytes, sha256,"
    " state, attempts, next_attempt_at, staged_at, settled_at, etag, reason"
)

_IN: Final = {state: f"FROM files WHERE state = '{state}'" for state in State}

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
    last_error_id: int | None = None
    """The newest of them whose last attempt failed."""


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

    @classmethod
    def open_stopped(cls, path: Path) -> Self:
        """Open the ledger of a service that does not run; where there is none, one that knows nothing.

        Raises:
            sqlite3.OperationalError: it cannot be read.

        """
        return cls.open(path) if path.exists() else cls(schema.empty())

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
        query = f"SELECT tenant, {_BACKLOG} {_IN[state]} GROUP BY tenant"
        return {
            tenant: Backlog(files=files, records=records, size_bytes=size, oldest_start_at=oldest, last_error_id=error)
            for tenant, files, records, size, oldest, error in self._ask(query)
        }

    def reasons(self, numbers: Collection[int]) -> dict[int, str]:
        """Return why the last attempt of each of these files failed, by number."""
        marks = ", ".join("?" * len(numbers))
        query = f"SELECT id, reason FROM files WHERE id IN ({marks}) AND reason IS NOT NULL"  # noqa: S608 - marks only # nosec B608
        return dict(self._ask(query, list(numbers)))

    def last_id(self) -> int:
        """Return the number of the file that was staged last; 0: none ever was."""
        return self._ask("SELECT max(id) FROM files")[0][0] or 0

    def standing(self, state: State, up_to: int, tenants: Collection[str] | None = None) -> Count:
        """Return what stands in a state, STAGED or FAILED, of the files up to this number; None: of all tenants."""
        of = "" if tenants is None else f" AND tenant IN ({', '.join('?' * len(tenants))})"
        query = f"SELECT count(*), sum(records), sum(bytes) {_IN[state]} AND id <= ?{of}"
        files, records, size = self._ask(query, [up_to, *(tenants or ())])[0]
        return Count(records or 0, size or 0, files)

    def pauses(self) -> dict[str, float]:
        """Return since when uploads are paused by hand, by tenant; ``""`` stands for all of them."""
        try:
            return dict(self._ask("SELECT tenant, since FROM pauses"))
        except sqlite3.OperationalError:
            return {}  # the ledger of a version that knew none

    def oldest(self, state: State) -> int | None:
        """Return the start of the oldest bucket that stands in a state, STAGED or FAILED."""
        start_at: int | None = self._ask(f"SELECT min(start_at) {_IN[state]}")[0][0]
        return start_at

    def last_settled_at(self, state: State) -> float | None:
        """Return when the last file came to a state, SET_ASIDE or DROPPED; None: it has none, or they are forgotten."""
        settled_at: float | None = self._ask(f"SELECT max(settled_at) {_IN[state]}")[0][0]
        return settled_at

    def files(
        self,
        *,
        tenant: str | None = None,
        state: str | None = None,
        name: str | None = None,
        order: str = "newest",
        offset: int,
        limit: int,
    ) -> list[dict[str, Any]]:
        """Return files as mappings of the ledger's columns, in an order of ``ORDERS``; ``name`` may be a beginning."""
        wanted = {"tenant = ?": tenant, "state = ?": state, "substr(name, 1, length(?)) = ?": name}
        where = " AND ".join(name for name, value in wanted.items() if value is not None) or "1"
        values = [value for value in (tenant, state, name, name) if value is not None]
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
