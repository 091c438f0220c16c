"""From a number in the queue to an open file; one that is not as it was made is set aside on the way.

Every file is read for that, a millisecond or two for each megabyte: no store that says nothing of what it got, and no
reader, would notice a bit that flipped on the disk.
"""

from dataclasses import dataclass

import structlog

from apidanalytics.model import StagedFile
from apidanalytics.upload.content import Content
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.outcome import Unreadable
from apidanalytics.upload.shelves import Shelves
from apidanalytics.upload.states import LedgerFile, State

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A file that may be sent."""

    known: LedgerFile
    content: Content | Unreadable
    """Open; whoever has it closes it."""
    md5: str = ""
    """Of the content, as it is on disk now; empty when that cannot be read."""


def prepare(ledger: Ledger, shelves: Shelves, number: int, now: float) -> Prepared | None:
    """Open a staged file; None when there is nothing to send under this number (any more). It blocks.

    Raises:
        sqlite3.Error, OSError: the ledger or the disk is failing.

    """
    known = ledger.file(number)
    if known is None or known.state is not State.STAGED:
        return None
    try:
        content = Content.open(shelves.path((known.file.directory, known.file.name)))
    except FileNotFoundError:
        _not_there(ledger, shelves, known, now)
        return None
    except OSError as error:
        return Prepared(known=known, content=Unreadable(reason=f"the file cannot be read: {error.strerror}"))
    try:
        md5 = content.md5()
    except OSError as error:
        content.close()
        return Prepared(known=known, content=Unreadable(reason=f"the file cannot be read: {error.strerror}"))
    change = _change(known.file, content.size_bytes, md5)
    if change is not None:
        content.close()
        _not_the_same(ledger, shelves, known, change, now)
        return None
    return Prepared(known=known, content=content, md5=md5)


def _change(made: StagedFile, size_bytes: int, md5: str) -> str | None:
    """Return how a file is another one than was made; None: it is the same. Early versions noted no checksum."""
    if size_bytes != made.size_bytes:
        return f"it has {size_bytes} bytes, and had {made.size_bytes} when it was made"
    if made.md5 not in (None, md5):
        return f"its MD5 is {md5}, and was {made.md5} when it was made"
    return None


def _not_there(ledger: Ledger, shelves: Shelves, known: LedgerFile, now: float) -> None:
    if shelves.where((known.file.directory, known.file.name)) is State.FAILED:
        ledger.failed(known.id, known.attempts, known.reason or "moved to failed/", now)
        return
    if not ledger.lost(known.id, "it is gone from staging/", now):
        return  # it was dropped meanwhile to make room
    log.error(
        "upload.file_missing",
        directory=known.file.directory,
        file=known.file.name,
        records=known.file.records,
        hint="Somebody removed it before it was delivered. It is counted as set aside.",
    )


def _not_the_same(ledger: Ledger, shelves: Shelves, known: LedgerFile, reason: str, now: float) -> None:
    shelves.set_aside((known.file.directory, known.file.name), State.STAGED, reason)
    ledger.lost(known.id, reason, now)
    log.error(
        "upload.file_changed",
        directory=known.file.directory,
        file=known.file.name,
        records=known.file.records,
        reason=reason,
        hint="It was moved to damaged/ and is counted as set aside.",
    )
