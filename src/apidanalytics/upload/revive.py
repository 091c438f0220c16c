"""When files from ``failed/`` get another chance: after any later success, and on a slow clock of their own.

A pass brings back ten directories, those that failed longest ago. As long as what came back is delivered, one pass
follows the other at once; otherwise there is at most one in an upload interval.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final

from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.shelves import Shelves, is_of_this_directory, say_stuck
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
        self._stuck_since: float | None = None
        self.stuck: dict[str, OSError] = {}
        """Why nothing can be moved out of some directories. They are tried again on the slow clock, and when asked."""

    def __repr__(self) -> str:
        return f"<Revival {len(self._out)} out>"

    def is_due(self, now: float) -> bool:
        """Tell whether to begin a pass now."""
        if now >= self._passed_at + self._slow_seconds:
            return True
        if self._out or not self._succeeded:
            return False
        return self._went_well or now >= self._passed_at + self._interval_seconds

    @property
    def directories(self) -> int:
        """How many directories a pass has to be given, so that there are enough beside those that are stuck."""
        return DIRECTORIES_A_PASS + len(self.stuck)

    def next_at(self) -> float:
        """Return when to ask again at the latest, if nothing is settled before."""
        waits_for_a_success = bool(self._out) or not self._succeeded
        return self._passed_at + (self._slow_seconds if waits_for_a_success else self._interval_seconds)

    def begins(self, now: float) -> None:
        """Note that a pass begins; it tries what has been stuck for long again, however many others were between."""
        if self._stuck_since is not None and now >= self._stuck_since + self._slow_seconds:
            self.stuck.clear()
            self._stuck_since = None

    def begun(self, numbers: Iterable[int], now: float) -> None:
        """Note that a pass brought back these files."""
        self._out = set(numbers)
        if self.stuck and self._stuck_since is None:
            self._stuck_since = now
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
    stuck: dict[str, OSError] | None = None,
) -> None:
    """Bring the chosen files of these directories back from ``failed/`` to ``staging/``. It blocks.

    ``back`` gets those that are back, also when the disk refuses the next. Directories out of which nothing can be
    moved are passed over, and put into ``stuck`` with the reason; those that are there already are not tried.

    Raises:
        sqlite3.OperationalError, OSError: the disk is full or failing; without ``stuck`` also, in the end, why nothing
            could be moved out of some directory.

    """
    refused = {} if stuck is None else stuck
    for directory in directories:
        if directory in refused:
            continue
        failed = [known for known in ledger.files_in(directory).values() if chosen.has(known, at)]
        try:
            shelves.revive([(directory, known.file.name) for known in failed])
        except OSError as error:
            if not is_of_this_directory(error):
                raise
            refused[directory] = error
            say_stuck(directory, error)
            continue
        back += ledger.revived([known.id for known in failed], attempts, at)
    if stuck is None:
        raise_first(refused)


async def revive_past(
    stuck: Mapping[str, OSError],
    look: Callable[[int], list[str]],
    move: Callable[[Sequence[str]], Awaitable[list[Waiting]]],
    limit: int,
) -> int:
    """Bring back files of at most ``limit`` directories (-1: of all), beside those that are stuck; return how many.

    ``look`` returns the first so many directories, ``move`` brings back what is in a few, and adds to ``stuck``.

    Raises:
        OSError: nothing is back: why nothing can be moved out of some directory.

    """
    files, directories, passed_over = 0, list[str](), -1
    while not files and len(stuck) > passed_over:
        passed_over = len(stuck)
        directories = await asyncio.to_thread(look, limit if limit < 0 else limit + passed_over)
        left = [name for name in directories if name not in stuck]
        for first in range(0, len(left), DIRECTORIES_A_PASS):
            files += len(await move(left[first : first + DIRECTORIES_A_PASS]))
    if not files:
        raise_first({name: stuck[name] for name in directories if name in stuck})
    return files


def raise_first(refused: Mapping[str, OSError]) -> None:
    """Say of directories out of which nothing can be moved why that is, if there are any."""
    for error in refused.values():
        raise error
