"""What start-up does: bring the ledger to what stands in the directories, which are the truth about what is left.

===============================  ====================================================================
the ledger says                  and the file
===============================  ====================================================================
uploaded                         is still there: removed (the process died before it was)
staged, failed                   stands in the other directory: the ledger follows (a move was cut off)
staged, failed                   is in neither: set aside, counted, said aloud
set aside                        is back: staged or failed again
nothing                          is there: unknown, see ``adopt``; unless its spool waits to be packed
===============================  ====================================================================
"""

from dataclasses import dataclass, field

import structlog

from apidanalytics.layout import BucketName, DataDirectory, FileName, SpoolName
from apidanalytics.upload.adopt import spool_number
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.shelves import FileKey, Shelves
from apidanalytics.upload.states import LedgerFile, State

log = structlog.get_logger()

_NAMED = 10
"""Strange names are listed in the log up to this many."""


@dataclass(slots=True)
class Reconciled:
    """What was found."""

    unknown: list[tuple[FileKey, State]] = field(default_factory=list)
    """Files to adopt."""
    removed: int = 0
    moved: int = 0
    missing: int = 0
    strange: list[str] = field(default_factory=list)
    """Names that are not ours; left alone."""


def reconcile(ledger: Ledger, shelves: Shelves, data: DataDirectory, now: float) -> Reconciled:
    """Compare every bucket directory with the ledger, before anything is uploaded.

    Packing may go on meanwhile: it makes a file durable, then tells the ledger, then removes the spool; this looks in
    the same order, so that a file of which the ledger knows nothing yet is found to have its spool still.
    """
    found = Reconciled()
    for directory in sorted(shelves.directories() | ledger.unfinished_directories()):
        if _is_bucket(directory):
            _Directory(ledger, shelves, directory, found).reconcile(now)
        else:
            found.strange.append(directory)
    _leave_to_packing(ledger, data, found)
    _say(found)
    return found


class _Directory:
    """One bucket directory, in both places."""

    def __init__(self, ledger: Ledger, shelves: Shelves, directory: str, found: Reconciled) -> None:
        self._ledger = ledger
        self._shelves = shelves
        self._directory = directory
        self._found = found

    def reconcile(self, now: float) -> None:
        known = self._ledger.files_in(self._directory)
        places = dict.fromkeys(self._shelves.names(self._directory, State.FAILED), State.FAILED)
        places |= dict.fromkeys(self._shelves.names(self._directory, State.STAGED), State.STAGED)
        for name, place in sorted(places.items()):
            self._present((self._directory, name), place, known.get(name), now)
        for name in known.keys() - places.keys():
            self._absent(known[name], now)
        self._shelves.remove_if_empty(self._directory)

    def _present(self, key: FileKey, place: State, known: LedgerFile | None, now: float) -> None:
        if known is None or known.state is State.SET_ASIDE:
            self._unknown(key, place)
        elif known.state is State.UPLOADED:
            self._shelves.discard(key, place)
            self._found.removed += 1
        elif known.state is not place:
            self._follow(known, place, now)
            self._found.moved += 1

    def _unknown(self, key: FileKey, place: State) -> None:
        try:
            FileName.parse(key[1])
        except ValueError:
            self._found.strange.append("/".join(key))
        else:
            self._found.unknown.append((key, place))

    def _follow(self, known: LedgerFile, place: State, now: float) -> None:
        if place is State.FAILED:
            self._ledger.failed(known.id, known.attempts, known.reason or "moved to failed/", now)
        else:
            self._ledger.revived([known.id], known.attempts, now)

    def _absent(self, known: LedgerFile, now: float) -> None:
        if known.state not in {State.STAGED, State.FAILED}:
            return
        # Staged a moment ago, after the directory was listed?
        if self._shelves.where((self._directory, known.file.name)) is None:
            reason = f"it is gone from {'staging' if known.state is State.STAGED else 'failed'}/"
            self._found.missing += self._ledger.lost(known.id, reason, now)


def _is_bucket(directory: str) -> bool:
    try:
        BucketName.parse(directory)
    except ValueError:
        return False
    return True


def _leave_to_packing(ledger: Ledger, data: DataDirectory, found: Reconciled) -> None:
    spools = _spool_numbers(data)
    orphans = [(key, state) for key, state in found.unknown if spool_number(key[1]) not in spools]
    found.unknown = [(key, state) for key, state in orphans if not ledger.known(key[0], [key[1]])]


def _spool_numbers(data: DataDirectory) -> set[int]:
    numbers = set()
    for directory in (data.tmp, data.sealed, data.recovered):
        for path in directory.iterdir():
            try:
                numbers.add(SpoolName.parse(path.name).number)
            except ValueError:
                continue  # not a spool
    return numbers


def _say(found: Reconciled) -> None:
    if found.missing:
        log.error(
            "upload.files_missing",
            files=found.missing,
            hint="Somebody removed files that were not delivered yet. They are counted as set aside.",
        )
    if found.strange:
        log.warning(
            "upload.strange_names",
            count=len(found.strange),
            names=found.strange[:_NAMED],
            hint="These do not look like files of this service; they are left alone.",
        )
    if found.removed or found.moved:
        log.info("upload.reconciled", removed=found.removed, moved=found.moved)
