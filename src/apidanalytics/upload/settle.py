"""What a decision changes on disk. It blocks, runs in a thread, one call at a time, and may be repeated.

The order is the promise: the ledger says uploaded (committed), then the file goes; a file that was given up moves to
``failed/``, then the ledger says so. After a crash in between, ``reconcile`` finishes either.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from apidanalytics import failpoints
from apidanalytics.upload.decide import Decision, Defer, Done, GiveUp
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.shelves import FileKey, Shelves
from apidanalytics.upload.states import LedgerFile

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
    for result, _ in done:
        _discard(shelves, result.key)
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
