"""How long rows of the index of keys stay, and how many there may be.

Rows are numbered as they come, so the oldest are the first ones. The time of an open claim is never over: its batch is
on its way. Only that of a dead worker's may be, where it cannot be looked up (``remove_over``).

The clock may be set back: what was claimed by one that was ahead, the last rows then, counts as claimed now. So it is
kept its whole window, and does not outstay what comes behind it.
"""

import sqlite3
from typing import Final

_PURGE_LEAST: Final = 64
_OLDEST: Final = "SELECT claimed_at FROM keys ORDER BY seq LIMIT 1"
_OLDEST_STORED: Final = "SELECT claimed_at FROM keys WHERE owner IS NULL ORDER BY seq LIMIT 1"


class Window:
    """Removes rows whose time is over. Within the caller's transaction, as every method."""

    def __init__(self, database: sqlite3.Connection, seconds: float, max_keys: int) -> None:
        self._database = database
        self._seconds = seconds
        self._max_keys = max_keys

    def bring_back(self, now: float) -> None:
        """Count what was claimed by a clock that was ahead as claimed now."""
        newest = self._database.execute("SELECT claimed_at FROM keys ORDER BY seq DESC LIMIT 1").fetchone()
        if newest is not None and newest[0] > int(now):
            self._database.execute(
                "UPDATE keys SET claimed_at = :now WHERE seq > coalesce("
                "(SELECT seq FROM keys WHERE claimed_at <= :now ORDER BY seq DESC LIMIT 1), 0)",
                {"now": int(now)},
            )

    def make_room(self, wanted: int, now: float) -> int:
        """Remove the oldest rows whose time is over; return how many may be added."""
        if self._is_oldest_over(now):
            self._database.execute(
                "DELETE FROM keys WHERE seq IN (SELECT seq FROM keys WHERE owner IS NULL ORDER BY seq LIMIT ?)"
                " AND abs(? - claimed_at) >= ?",
                (2 * wanted + _PURGE_LEAST, int(now), self._seconds),
            )
            if self._is_oldest_over(now):
                return wanted  # more than that were removed, and more are to go
        (size,) = self._database.execute("SELECT keys FROM size").fetchone()
        return self._max_keys - int(size)

    def remove_over(self, owner: int, now: float) -> int:
        """Remove the open claims of an owner whose time is over; return how many."""
        self.bring_back(now)
        over = "DELETE FROM keys WHERE owner = ? AND abs(? - claimed_at) >= ?"
        return self._database.execute(over, (owner, int(now), self._seconds)).rowcount

    def _is_oldest_over(self, now: float) -> bool:
        """Tell whether the time of the oldest row that may go is over. Rows in their window cost one look."""
        for query in (_OLDEST, _OLDEST_STORED):
            row = self._database.execute(query).fetchone()
            if row is None or not self.is_over(row[0], now):
                return False
        return True

    def is_over(self, claimed_at: int, now: float) -> bool:
        """Tell whether the time of a stored key is over."""
        # A time far in the future is from before the clock was set back, and was hidden behind keys a spool told of.
        return abs(int(now) - claimed_at) >= self._seconds
