"""What a decision changes on disk. It blocks, runs in a thread, one call at a time, and may be repeated.

The order is the promise: the ledger says uploaded (committed), then the file goes; a file that was given up moves to
``failed/``, then the ledger says so. After a crash in between, ``reconcile`` finishes either.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import structlog

from apidanalytics import failpoints
from apidanalytics.outgoing.trouble import os_reason
from apidanalytics.upload.decide import Decision, Defer, Done, GiveUp
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.shelves import FileKey, Shelves, is_of_this_directory, say_stuck
from apidanalytics.upload.states import LedgerFile

_REMOVERS: Final = 4
"""Files removed at a time. Each removal waits for the file system's journal, a millisecond or two on a busy disk, and
one after the other they would be the slowest step of a small file."""

_PUT_OFF_SECONDS: Final = 300.0
"""Until a file is tried again that cannot be moved to ``failed/``."""

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


def settle(ledger: Ledger, shelves: Shelves, results: Sequence[Result], now: float) -> list[Result]:
    """Carry out decisions, all uploads in one transaction; return what was done.

    That is what was decided, but for files that cannot be moved to ``failed/``: they are put off, where they are.

    Raises:
        sqlite3.Error, OSError: the disk is full or failing; call again with the same results.

    """
    _settle_done(ledger, shelves, [(r, r.decision.etag) for r in results if isinstance(r.decision, Done)], now)
    for result in results:
        if isinstance(result.decision, Defer):
            decision = result.decision
            at = now + decision.pause_seconds
            ledger.deferred(result.known.id, decision.attempts, at, decision.reason)
    given_up = [(r, r.decision) for r in results if isinstance(r.decision, GiveUp)]
    return [
        *(r for r in results if not isinstance(r.decision, GiveUp)),
        *_settle_given_up(ledger, shelves, given_up, now),
    ]


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


def _settle_given_up(
    ledger: Ledger, shelves: Shelves, failed: Sequence[tuple[Result, GiveUp]], now: float
) -> Iterator[Result]:
    refused = _move_to_failed(shelves, [result.key for result, _ in failed]) if failed else {}
    for result, decision in failed:
        error = refused.get(result.known.file.directory)
        if error is not None:
            yield _put_off(ledger, result, decision, error, now)
            continue
        ledger.failed(result.known.id, decision.attempts, decision.reason, now)
        yield result


def _move_to_failed(shelves: Shelves, keys: Sequence[FileKey]) -> dict[str, OSError]:
    """Move these files; return of which directories none can be moved, and why."""
    try:
        shelves.fail(keys)
    except OSError as error:
        if not is_of_this_directory(error):
            raise
    else:
        return {}
    refused: dict[str, OSError] = {}
    for directory in dict.fromkeys(directory for directory, _ in keys):
        try:
            shelves.fail([key for key in keys if key[0] == directory])
        except OSError as error:
            if not is_of_this_directory(error):
                raise
            refused[directory] = error
            say_stuck(directory, error)
    return refused


def _put_off(ledger: Ledger, result: Result, decision: GiveUp, error: OSError, now: float) -> Result:
    """Have a file tried again in place of being moved to where it cannot be."""
    reason = f"{decision.reason}; and it cannot be moved to failed/: {os_reason(error)}"
    deferred = Defer(attempts=max(decision.attempts - 1, 0), pause_seconds=_PUT_OFF_SECONDS, reason=reason)
    ledger.deferred(result.known.id, deferred.attempts, now + deferred.pause_seconds, reason)
    return Result(known=result.known, decision=deferred)
