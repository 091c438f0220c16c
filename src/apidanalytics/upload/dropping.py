"""Making room by giving up the oldest files, where ``apidanalytics_full_policy: drop_oldest`` was chosen.

The ledger says dropped (committed), then the file goes; after a crash in between, ``reconcile`` removes it. A file that
was on its way meanwhile and arrives is uploaded after all, and counted so.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from typing import Final

from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.shelves import Shelves
from apidanalytics.upload.states import LedgerFile, State

REASON: Final = "dropped to make room (apidanalytics_full_policy: drop_oldest)"
_AT_ONCE: Final = 100
"""Files in one transaction."""


@dataclass(slots=True)
class Dropped:
    """How much was given up."""

    files: int = 0
    records: int = 0
    bytes: int = 0
    """Of lines."""
    freed_bytes: int = 0
    """Of disk."""


def drop_oldest(ledger: Ledger, shelves: Shelves, need_bytes: int, now: float, tenant: str | None = None) -> Dropped:
    """Drop the oldest staged and failed files, of one tenant or of all, until so much of the disk is free.

    It blocks, and whoever calls it holds ``Uploader.files``.

    Raises:
        sqlite3.Error, OSError: the disk is failing; what is gone is in the ledger.

    """
    dropped = Dropped()
    oldest = _oldest(ledger, shelves, tenant)
    while dropped.freed_bytes < need_bytes:
        chosen = _choose(oldest, need_bytes - dropped.freed_bytes)
        if not chosen:
            break
        for known in ledger.dropped([known.id for known in chosen], REASON, now):
            for state in (State.STAGED, State.FAILED):
                shelves.discard((known.file.directory, known.file.name), state)
            _count(dropped, known)
    return dropped


def _choose(oldest: Iterator[LedgerFile], need_bytes: int) -> list[LedgerFile]:
    """Return the next ones, as many as are needed, or as fit one transaction."""
    chosen: list[LedgerFile] = []
    while need_bytes > 0 and len(chosen) < _AT_ONCE and (known := next(oldest, None)) is not None:
        chosen.append(known)
        need_bytes -= known.file.size_bytes
    return chosen


def _oldest(ledger: Ledger, shelves: Shelves, tenant: str | None) -> Iterator[LedgerFile]:
    """Yield those that can be removed, however many cannot come before them: to give up those would make no room."""
    pages = [_in_order(ledger, state, tenant) for state in (State.STAGED, State.FAILED)]
    can: dict[tuple[str, State], bool] = {}
    for known in merge(*pages, key=_place):
        key = (known.file.directory, known.state)
        if key not in can:
            can[key] = shelves.can_discard(*key)
        if can[key]:
            yield known


def _in_order(ledger: Ledger, state: State, tenant: str | None) -> Iterator[LedgerFile]:
    page = ledger.files(state, tenant=tenant, limit=_AT_ONCE)
    while page:
        yield from page
        page = ledger.files(state, tenant=tenant, limit=_AT_ONCE, after=_place(page[-1]))


def _place(known: LedgerFile) -> tuple[int, int]:
    return known.file.start_at, known.id


def _count(dropped: Dropped, known: LedgerFile) -> None:
    dropped.files += 1
    dropped.records += known.file.records
    dropped.bytes += known.file.bytes
    dropped.freed_bytes += known.file.size_bytes
