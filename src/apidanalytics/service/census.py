"""How many records are where at this moment, from the ledger and the spools, at a price that polling can pay.

Spools are read from where the last look ended, the ledger through a connection of its own, and an answer serves
everybody who asks within a second.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from apidanalytics.clock import Clock
from apidanalytics.layout import DataDirectory
from apidanalytics.service.counts import STATES, Counts, Ledger, count_by_tenant
from apidanalytics.service.damaged import count_pieces
from apidanalytics.spool.counting import Content, SpoolCounts
from apidanalytics.upload.states import State
from apidanalytics.upload.view import Backlog, LedgerView

T = TypeVar("T")

FRESH_SECONDS: Final = 1.0
TENANTS_FRESH_SECONDS: Final = 2.0
"""With thousands of tenants this answer costs tens of milliseconds."""
TRIES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """All tenants together."""

    counts: Counts
    """Records, bytes and files by state."""
    oldest_at: Mapping[str, float | None]
    """Start of the oldest bucket that is spooled, staged or failed."""
    last_at: Mapping[str, float | None]
    """When the last file was set aside or dropped."""
    damaged: int | None
    """Pieces in ``damaged/``, up to ``service.damaged.MOST_PIECES``; None: it cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenants:
    """Each tenant by itself."""

    counts: Mapping[str, Counts]
    staged: Mapping[str, Backlog]
    failed: Mapping[str, Backlog]


@dataclass(slots=True)
class _Kept:
    value: Any = None
    at: float = float("-inf")
    lock: threading.Lock = field(default_factory=threading.Lock)


class Census:
    """Counts. Every call may block for some milliseconds; any thread may call.

    Where the directories of the spools could never be listed, calls raise OSError.
    """

    def __init__(self, data: DataDirectory, ledger: Ledger, view: LedgerView, clock: Clock) -> None:
        self._data = data
        self._ledger = ledger
        self._view = view
        self._clock = clock
        self._spools = SpoolCounts()
        self._listed: dict[int, Path] | None = None
        self._looking = threading.Lock()
        self._totals = _Kept()
        self._tenants = _Kept()

    def __repr__(self) -> str:
        return f"<Census {self._spools!r}>"

    def totals(self) -> Totals:
        """Return the sums over all tenants, at most a second old."""
        return self._fresh(self._totals, FRESH_SECONDS, self._count_all)

    def tenants(self) -> Tenants:
        """Return the counts of every tenant, at most two seconds old."""
        return self._fresh(self._tenants, TENANTS_FRESH_SECONDS, self._count_each)

    def _fresh(self, kept: _Kept, seconds: float, count: Callable[[], T]) -> T:
        with kept.lock:
            if self._clock.monotonic() - kept.at >= seconds:
                kept.value = None  # of thousands of tenants: the old answer goes before the new one is made
                kept.value = count()
                kept.at = self._clock.monotonic()
            value: T = kept.value
            return value

    def _count_all(self) -> Totals:
        contents = self._look()
        accepted, sums = self._sums(contents)
        counts: Counts = {state: {"records": 0, "bytes": 0, "files": 0} for state in STATES}
        for state, count in sums.items():
            counts[state] = {"records": count.records, "bytes": count.bytes, "files": count.files}
        if accepted:
            _balance(counts)
        for number in contents.keys() - accepted:
            _add_spool(counts, contents[number])
        starts = [content.oldest_start_at for content in contents.values() if content.oldest_start_at is not None]
        return Totals(
            counts=counts,
            oldest_at={
                "spooled": min(starts, default=None),
                "staged": self._view.oldest(State.STAGED),
                "failed": self._view.oldest(State.FAILED),
            },
            last_at={str(state): self._view.last_settled_at(state) for state in (State.SET_ASIDE, State.DROPPED)},
            damaged=count_pieces(self._data.damaged),
        )

    def _sums(self, contents: Mapping[int, Content]) -> tuple[set[int], Any]:
        """Return which of these spools are accepted, and the ledger's sums, as of one moment."""
        accepted = {number for number in contents if self._ledger.is_accepted(number)}
        for _ in range(TRIES):
            sums = self._view.sums()
            before, accepted = accepted, {number for number in contents if self._ledger.is_accepted(number)}
            if accepted == before:
                break
        return accepted, sums

    def _count_each(self) -> Tenants:
        spools = self._list()
        with self._looking:
            contents = self._spools.look(spools.items())
            by_path = {path: dict(contents[number].tenants) for number, path in spools.items()}
        return Tenants(
            counts=count_by_tenant(self._ledger, list(spools.items()), by_path.__getitem__),
            staged=self._view.backlog(State.STAGED),
            failed=self._view.backlog(State.FAILED),
        )

    def _look(self) -> dict[int, Content]:
        with self._looking:
            return self._spools.look(self._list().items())

    def _list(self) -> dict[int, Path]:
        """Return the spools; those of the last list while a directory cannot be listed, which packing reports."""
        try:
            self._listed = dict(self._data.spools())
        except OSError:
            if self._listed is None:
                raise
        return self._listed


def _balance(counts: Counts) -> None:
    """Count as spooled what is accepted, but not staged yet: a spool is being packed."""
    for amount in ("records", "bytes"):
        known = sum(counts[state][amount] for state in STATES if state != "accepted")
        counts["spooled"][amount] += max(counts["accepted"][amount] - known, 0)


def _add_spool(counts: Counts, content: Content) -> None:
    for state, files in (("spooled", 1), ("accepted", 0)):
        counts[state]["records"] += content.records
        counts[state]["bytes"] += content.line_bytes
        counts[state]["files"] += files
