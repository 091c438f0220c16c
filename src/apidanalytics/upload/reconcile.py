"""What start-up does: bring the ledger to what stands in the directories, which are the truth about what is left.

===============================  ====================================================================
the ledger says                  and the file
===============================  ====================================================================
uploaded, dropped                is still there: removed (the process died before it was)
staged, failed                   stands in the other directory: the ledger follows (a move was cut off)
staged, failed                   is in neither: set aside, counted, said aloud
nothing, or set aside            is there: left to packing, which adopts it (before this runs) or makes it known
===============================  ====================================================================
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from apidanalytics.layout import is_bucket
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.shelves import Shelves, is_of_this_directory, say_stuck
from apidanalytics.upload.states import LedgerFile, State

log = structlog.get_logger()

_NAMED = 10
"""Unknown files are named in the log up to this many."""


@dataclass(slots=True)
class Reconciled:
    """What was found."""

    removed: int = 0
    moved: int = 0
    missing: int = 0
    unknown: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    """Directories that could not be looked into or changed; the others are not kept waiting."""


def reconcile(ledger: Ledger, shelves: Shelves, now: float) -> Reconciled:
    """Compare every bucket directory with the ledger, before anything is uploaded. It blocks.

    Packing may go on meanwhile: it adds files, and then tells the ledger of them.
    """
    found = Reconciled()
    places = shelves.directories()
    for directory in sorted(places.keys() | ledger.unfinished_directories()):
        try:
            if is_bucket(directory) and not _is_as_known(ledger, shelves, directory, places.get(directory, ())):
                _Directory(ledger, shelves, directory, found).reconcile(now)
        except OSError as error:
            if not is_of_this_directory(error):
                raise
            found.stuck.append(directory)
            say_stuck(directory, error)
    _say(found)
    return found


def _is_as_known(ledger: Ledger, shelves: Shelves, directory: str, places: Sequence[State]) -> bool:
    """Tell whether a directory holds what the ledger says, all of it in one place: nearly every one does."""
    if len(places) != 1:
        return False
    (place,) = places
    names = shelves.names(directory, place)
    return bool(names) and ledger.unfinished_in(directory) == dict.fromkeys(names, place)


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
            self._present(name, place, known.get(name), now)
        for name in sorted(known.keys() - places.keys()):
            self._absent(known[name], now)
        self._shelves.remove_if_empty(self._directory)

    def _present(self, name: str, place: State, known: LedgerFile | None, now: float) -> None:
        if known is None or known.state is State.SET_ASIDE:
            self._found.unknown.append(f"{self._directory}/{name}")
        elif known.state in {State.UPLOADED, State.DROPPED}:
            self._shelves.discard((self._directory, name), place)
            self._found.removed += 1
        elif known.state is not place:
            self._follow(known, place, now)
            self._found.moved += 1

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


def _say(found: Reconciled) -> None:
    if found.missing:
        log.error(
            "upload.files_missing",
            files=found.missing,
            hint="Somebody removed files that were not delivered yet. They are counted as set aside.",
        )
    if found.unknown:
        log.info("upload.files_unknown", count=len(found.unknown), names=found.unknown[:_NAMED])
    if found.removed or found.moved or found.stuck:
        log.info("upload.reconciled", removed=found.removed, moved=found.moved, stuck=len(found.stuck))
