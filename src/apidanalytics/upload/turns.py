"""Whose turn it is to send: files are opened and their URLs asked for while the bodies of others are on their way.

So that the line is never idle, files are got ready ahead: twice as many as may be sent at a time.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self


class PostponedError(Exception):
    """While the file was got ready, sending was stopped: it goes back to its place."""


class Turns:
    """So many files may be sent at a time."""

    def __init__(self, slots: int) -> None:
        self._free = asyncio.Semaphore(slots)

    @property
    def has_free(self) -> bool:
        """Tell whether a turn would come at once."""
        return not self._free.locked()

    def turn(self, may_go: Callable[[], bool] = lambda: True) -> "Turn":
        """Return the turn of one file, which is still to come; ``may_go`` is asked when it has come."""
        return Turn(self._free, may_go)


class Turn:
    """Entered for as long as the body is sent, and again for another try; it may be given to others meanwhile.

    Entering raises ``PostponedError`` when the file may not go any more.
    """

    def __init__(self, free: asyncio.Semaphore, may_go: Callable[[], bool]) -> None:
        self._free = free
        self._may_go = may_go
        self._has_it = False
        self._needs_it = True
        self.is_waiting = False
        """Everything is ready, and others are being sent."""
        self.entered_at = 0.0
        """When it came last, in the loop's time; 0 before it came at all."""

    def end(self) -> None:
        """Give it back before it is left: the store has the file, and the next one need not wait for who reads that."""
        self._release()

    def give_up(self) -> None:
        """Let others have it; this file goes on beside them. Twice is fine."""
        self._needs_it = False
        self._release()

    async def __aenter__(self) -> Self:
        if self._needs_it:
            self.is_waiting = True
            try:
                await self._free.acquire()
            finally:
                self.is_waiting = False
            self._has_it = True
        self.entered_at = asyncio.get_running_loop().time()
        if not self._may_go():
            self._release()
            raise PostponedError
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._release()

    def _release(self) -> None:
        if self._has_it:
            self._has_it = False
            self._free.release()
