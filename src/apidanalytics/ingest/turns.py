"""One at a time, and whose turn it is: for work of which a worker does no two pieces at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from apidanalytics.ingest.lanes import Lanes


class Turns:
    """``async with turns.one(lane):`` waits until nobody else is inside. Lanes take turns."""

    def __init__(self) -> None:
        self._waiting: Lanes[asyncio.Future[None]] = Lanes()
        self._is_taken = False

    def __len__(self) -> int:
        return len(self._waiting)

    @asynccontextmanager
    async def one(self, lane: str) -> AsyncIterator[None]:
        """Wait for a turn of this lane."""
        if self._is_taken:
            await self._wait(lane)
        self._is_taken = True
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, lane: str) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.add(lane, turn)
        try:
            await turn
        except asyncio.CancelledError:
            self._waiting.remove(turn)
            if turn.done() and not turn.cancelled():
                self._pass_on()  # it was given one just before
            raise

    def _pass_on(self) -> None:
        self._is_taken = False
        while self._waiting and not self._is_taken:
            turn = self._waiting.take()
            if not turn.done():
                self._is_taken = True  # by whoever waits for it, from now on
                turn.set_result(None)
