"""When files from ``failed/`` get another chance: after any later success, and on a slow clock of their own.

A pass brings back ten directories, those that failed longest ago. As long as what came back is delivered, one pass
follows the other at once; otherwise there is at most one in an upload interval.
"""

from collections.abc import Iterable
from typing import Final

from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.shelves import Shelves
from apidanalytics.upload.states import Chosen, Waiting

DIRECTORIES_A_PASS: Final = 10

EVERYTHING: Final = Chosen()


class Revival:
    """Knows when the next pass is due. Instants are monotonic seconds."""

    def __init__(self, *, interval_seconds: float, slow_seconds: float, now: float) -> None:
        self._interval_seconds = interval_seconds
        self._slow_seconds = slow_seconds
        self._passed_at = now
        self._out: set[int] = set()
        self._succeeded = False
        self._went_well = False

    def __repr__(self) -> str:
        return f"<Revival {len(self._out)} out>"

    def is_due(self, now: float) -> bool:
        """Tell whether to begin a pass now."""
        if now >= self._passed_at + self._slow_seconds:
            return True
        if self._out or not self._succeeded:
            return False
        return self._went_well or now >= self._passed_at + self._interval_seconds

    def next_at(self) -> float:
        """Return when to ask again at the latest, if nothing is settled before."""
        waits_for_a_success = bool(self._out) or not self._succeeded
        return self._passed_at + (self._slow_seconds if waits_for_a_success else self._interval_seconds)

    def begun(self, numbers: Iterable[int], now: float) -> None:
        """Note that a pass brought back these files."""
        self._out = set(numbers)
        self._passed_at = now
        self._succeeded = self._went_well = False

    def settled(self, number: int, *, delivered: bool) -> None:
        """Note what became of any file."""
        self._succeeded |= delivered
        if number in self._out:
            self._out.discard(number)
            self._went_well |= delivered


def revive(
    ledger: Ledger,
    shelves: Shelves,
    directories: Iterable[str],
    back: list[Waiting],
    *,
    attempts: int,
    at: float,
    chosen: Chosen = EVERYTHING,
) -> None:
    """Bring the chosen files of these directories back from ``failed/`` to ``staging/``. It blocks.

    ``back`` gets those that are back, also when the disk refuses the next.

    Raises:
        sqlite3.OperationalError, OSError: the disk is full or failing.

    """
    for directory in directories:
        failed = [known for known in ledger.files_in(directory).values() if chosen.has(known, at)]
        shelves.revive([(directory, known.file.name) for known in failed])
        back += ledger.revived([known.id for known in failed], attempts, at)
