"""From a number in the queue to an open file; one that is not as it was made is set aside, now or while it is sent.

A bit that flipped on the disk, no reader would notice, nor a store that says nothing of what it got: so what is read is
held against the checksum of when the file was made (see ``content``).
"""

import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import structlog

from apidanalytics.model import StagedFile
from apidanalytics.upload.checksum import ChangedError, Checksum
from apidanalytics.upload.content import Content
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.outcome import Unreadable
from apidanalytics.upload.room import Room
from apidanalytics.upload.shelves import Shelves
from apidanalytics.upload.states import LedgerFile, State

log = structlog.get_logger()

_MARKED: Final = "an earlier attempt, by a process that ended before it could say why, left it in doubt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A file that may be sent."""

    known: LedgerFile
    content: Content | Unreadable | ChangedError
    """Open; whoever has it closes it. Or why there is none."""
    md5: str = ""
    """Of the content, as it was made; empty when it cannot be read."""


def prepare(
    ledger: Ledger, shelves: Shelves, numbers: Sequence[int], now: float, room: Room | None = None
) -> list[Prepared | Exception | None]:
    """Open staged files; None when there is nothing to send under a number (any more). It blocks.

    ``room`` is for those that are held whole. Each one's own error, when the disk is failing, stands in its place.

    Raises:
        sqlite3.Error: the ledger is failing.

    """
    known = ledger.numbered(numbers)
    prepared: list[Prepared | Exception | None] = []
    for number in numbers:
        try:
            prepared.append(_prepare(ledger, shelves, known.get(number), now, room))
        except Exception as error:  # noqa: BLE001 - raised by whoever waits for this file
            prepared.append(error)
    return prepared


def _prepare(
    ledger: Ledger, shelves: Shelves, known: LedgerFile | None, now: float, room: Room | None
) -> Prepared | None:
    if known is None or known.state is not State.STAGED:
        return None
    made = known.file
    try:
        content, md5 = _open(shelves.path_of((made.directory, made.name)), made, room)
    except FileNotFoundError:
        _not_there(ledger, shelves, known, now)
    except ChangedError as change:
        return Prepared(known=known, content=change)
    except OSError as error:
        return Prepared(known=known, content=Unreadable(reason=f"the file cannot be read: {error.strerror or error}"))
    else:
        if content.is_marked and known.doubt is None:
            known = replace(known, doubt=_MARKED)
        return Prepared(known=known, content=content, md5=md5)
    return None


def _open(path: str, made: StagedFile, room: Room | None) -> tuple[Content, str]:
    """Return the content, and its MD5."""
    content = Content.open(path, Checksum.of(made), room)
    try:
        _compare_size(content.size_bytes, made.size_bytes)
        return content, made.md5 or content.md5()  # early versions noted none
    except BaseException:
        content.close()
        raise


def _compare_size(found: int, made: int) -> None:
    if found != made:
        raise ChangedError(f"it has {found} bytes, and had {made} when it was made")


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


def note_doubt(ledger: Ledger, shelves: Shelves, known: LedgerFile, reason: str) -> None:
    """Note for good that the store may keep other bytes under a file's name. It blocks.

    First at the file, whose owner may no longer write to it: that takes no room, and holds when the process is killed
    before the ledger has it, or the ledger is lost.

    Raises:
        sqlite3.Error, OSError: the ledger is failing; call again.

    """
    with suppress(OSError):  # it was dropped just now, or the volume knows no modes
        Path(shelves.path_of((known.file.directory, known.file.name))).chmod(stat.S_IRUSR)
    ledger.doubted(known.file, reason)


def set_changed_aside(ledger: Ledger, shelves: Shelves, known: LedgerFile, reason: str, now: float) -> None:
    """Move a file to ``damaged/`` that has other bytes than when it was made; it is not delivered.

    It blocks, and nobody else may move files meanwhile. One that is not staged any more is left alone.

    Raises:
        sqlite3.Error, OSError: the ledger or the disk is failing; call again.

    """
    now_known = ledger.file(known.id)
    if now_known is None or now_known.state is not State.STAGED:
        return
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
