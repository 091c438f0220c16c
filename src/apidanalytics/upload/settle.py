"""What a decision changes on disk. It blocks, runs in a thread, one call at a time, and may be repeated.

The order is the promise: the ledger says uploaded (committed), then the file goes; a file that was given up moves to
``failed/``, then the ledger says so. After a crash in between, ``reconcile`` finishes either.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import structlog

from apidanalytics import failpoints
from apidanalytics.upload.decide import Decision, Defer, Done, GiveUp
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.shelves import FileKey, Shelves
from apidanalytics.upload.states import LedgerFile

_REMOVERS: Final = 4
"""Files removed at a time. Each removal waits for the file system's journal, a millisecond or two on a busy disk, and
one after the other they would be the slowest step of a small file."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A file, and what was decided about it."""

    known: LedgerFile
    decision: Decision

    @property
    def key(self) -> FileKey:
        """Its directory and name."""
        return self.known.file.directory, self.known.file.name


def settle(ledger: Ledger, shelves: Shelves, results: Sequence[Result], now: float) -> None:
    """Carry out decisions, all uploads in one transaction.

    Raises:
        sqlite3.Error, OSError: the disk is full or failing; call again with the same results.

    """
    _settle_done(ledger, shelves, [(r, r.decision.etag) for r in results if isinstance(r.decision, Done)], now)
    for result in results:
        if isinstance(result.decision, Defer):
            decision = result.decision
            at = now + decision.pause_seconds
            ledger.deferred(result.known.id, decision.attempts, at, decision.reason)
    _settle_given_up(ledger, shelves, [(r, r.decision) for r in results if isinstance(r.decision, GiveUp)], now)


def _settle_done(ledger: Ledger, shelves: Shelves, done: Sequence[tuple[Result, str | None]], now: float) -> None:
    if not done:
        return
    ledger.uploaded({result.known.id: etag for result, etag in done}, now)
    failpoints.hit("upload.after_ledger")
    _discard_all(shelves, [result.key for result, _ in done])


def _discard_all(shelves: Shelves, keys: Sequence[FileKey]) -> None:
    shares = [share for n in range(_REMOVERS) if (share := keys[n::_REMOVERS])]
    if len(shares) == 1:
        _discard_some(shelves, shares[0])
        return
    with ThreadPoolExecutor(len(shares), thread_name_prefix="remove") as removers:
        for removed in [removers.submit(_discard_some, shelves, share) for share in shares]:
            removed.result()


def _discard_some(shelves: Shelves, keys: Sequence[FileKey]) -> None:
    for key in keys:
        _discard(shelves, key)
        failpoints.hit("upload.after_delete")


def _discard(shelves: Shelves, key: FileKey) -> None:
    try:
        shelves.discard(key)
    except OSError as error:
        # The ledger has it as uploaded: it is not sent again, and the next start removes it.
        log.error(  # noqa: TRY400 - the reason says it all
            "upload.delete_failed",
            directory=key[0],
            file=key[1],
            reason=str(error),
            hint="Check the permissions and the disk of the data directory.",
        )


def _settle_given_up(ledger: Ledger, shelves: Shelves, failed: Sequence[tuple[Result, GiveUp]], now: float) -> None:
    if not failed:
        return
    shelves.fail([result.key for result, _ in failed])
    for result, decision in failed:
        ledger.failed(result.known.id, decision.attempts, decision.reason, now)
