"""The one task through which all results reach the disk, many in one transaction when many wait."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from apidanalytics.clock import Clock
from apidanalytics.upload.disk import DISK_TROUBLE, DiskWatch
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.settle import Result, settle
from apidanalytics.upload.shelves import Shelves

_PAUSE_SECONDS: Final = 2.0
"""Between tries while the disk refuses."""

_LINGER_SECONDS: Final = 1.0
"""How long results wait for others while uploads are on their way: a commit costs as much as an upload of a small file,
one for many as much as one for one, and a store on the same disk waits for each. A crash meanwhile repeats some
uploads, which changes nothing."""

_MANY: Final = 1024
"""Results that do not wait for others."""

_MOST: Final = 2048
"""Results that may wait."""


class Settler:
    """Settles results, again and again until the disk takes them."""

    def __init__(
        self,
        ledger: Ledger,
        shelves: Shelves,
        *,
        clock: Clock,
        disk: DiskWatch,
        is_busy: Callable[[], bool],
        on_settled: Callable[[Sequence[Result]], None],
    ) -> None:
        self.files = asyncio.Lock()
        """Held by whoever moves or removes files."""
        self._ledger = ledger
        self._shelves = shelves
        self._clock = clock
        self._disk = disk
        self._is_busy = is_busy
        self._on_settled = on_settled
        self._waiting: list[Result] = []
        self._settling: list[Result] = []
        self._wake = asyncio.Event()
        self._is_lingering = False
        self._closing = False

    def __repr__(self) -> str:
        return f"<Settler {len(self._waiting)} waiting, {len(self._settling)} at it>"

    @property
    def is_idle(self) -> bool:
        """Tell whether every result is settled."""
        return not (self._waiting or self._settling)

    @property
    def is_full(self) -> bool:
        """Tell whether the disk is behind, so that nothing new should be sent."""
        return len(self._waiting) + len(self._settling) >= _MOST

    async def alone(self, do: Callable[[], None]) -> None:
        """Do something in a thread while nobody else moves or removes files."""
        async with self.files:
            await asyncio.to_thread(do)

    def submit(self, result: Result) -> None:
        """Hand over a result."""
        self._waiting.append(result)
        if not self._is_lingering or len(self._waiting) >= _MANY:
            self._wake.set()

    def hurry(self) -> None:
        """Tell that no more results are on their way for now."""
        self._wake.set()

    async def run(self) -> None:
        """Settle what comes, until ``close``; then what is left, in one try."""
        while not (self._closing and self.is_idle):
            await self._wake.wait()
            self._wake.clear()
            await self._linger()
            if await self._settle():
                continue
            if self._closing:
                return  # the files are where they were, and the next start goes on from there
            self._wake.set()
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _linger(self) -> None:
        """Wait for more results, as long as there may be some and nobody waits for these."""
        if not self._is_busy() or self._closing or len(self._waiting) >= _MANY:
            return
        self._is_lingering = True
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            pass  # that is long enough
        finally:
            self._is_lingering = False
        self._wake.clear()

    def close(self) -> None:
        """Let ``run`` end."""
        self._closing = True
        self._wake.set()

    async def _settle(self) -> bool:
        """Settle all that waits; tell whether the disk took it."""
        self._settling += self._waiting
        self._waiting = []
        if not self._settling:
            return True
        settled: list[Result] = []
        do = partial(settle, self._ledger, self._shelves, self._settling, self._clock.now())
        try:
            await self.alone(lambda: settled.extend(do()))
        except DISK_TROUBLE as error:
            self._disk.refused(error)
            return False
        self._disk.worked()
        self._settling = []
        self._on_settled(settled)
        return True
