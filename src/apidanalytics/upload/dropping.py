"""Making room by giving up the oldest files, where ``apidanalytics_full_policy: drop_oldest`` was chosen.

The ledger says dropped (committed), then the file goes; after a crash in between, ``reconcile`` removes it. A file that
was on its way meanwhile and arrives is uploaded after all, and counted so.
"""

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
    while dropped.freed_bytes < need_bytes:
        chosen = _choose(ledger, shelves, need_bytes - dropped.freed_bytes, tenant)
        if not chosen:
            break
        for known in ledger.dropped([known.id for known in chosen], REASON, now):
            for state in (State.STAGED, State.FAILED):
                shelves.discard((known.file.directory, known.file.name), state)
            _count(dropped, known)
    return dropped


def _choose(ledger: Ledger, shelves: Shelves, need_bytes: int, tenant: str | None) -> list[LedgerFile]:
    """Return the oldest that can be removed: to give up another one would make no room."""
    oldest = [ledger.files(state, tenant=tenant, limit=_AT_ONCE) for state in (State.STAGED, State.FAILED)]
    chosen: list[LedgerFile] = []
    for known in merge(*oldest, key=lambda known: (known.file.start_at, known.id)):
        if need_bytes <= 0 or len(chosen) == _AT_ONCE:
            break
        if not shelves.can_discard(known.file.directory, known.state):
            continue
        chosen.append(known)
        need_bytes -= known.file.size_bytes
    return chosen


def _count(dropped: Dropped, known: LedgerFile) -> None:
    dropped.files += 1
    dropped.records += known.file.records
    dropped.bytes += known.file.bytes
    dropped.freed_bytes += known.file.size_bytes
