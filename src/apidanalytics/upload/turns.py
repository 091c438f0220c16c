"""Whose turn it is to send: files are opened and their URLs asked for while the bodies of others are on their way.

So that the line is never idle, files are got ready ahead: three times as many as may be sent at a time.
"""

import asyncio
from collections.abc import Callable
from itertools import count
from types import TracebackType
from typing import Self, TypeAlias


class PostponedError(Exception):
    """While the file was got ready, sending was stopped: it goes back to its place."""


MayGo: TypeAlias = Callable[[], bool | None]
"""Whether a file may be sent now: False sends it back to its place, None lets it stay ready until something ends."""


class Turns:
    """So many files may be sent at a time; those that wait go as they were taken, but for those that may not go yet.

    Not as they came to wait: URLs are asked for at the same time, and answered in any order.
    """

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._numbers = count()
        self._waiting: dict[Turn, asyncio.Future[bool]] = {}

    def __repr__(self) -> str:
        return f"<Turns {self._free} free, {len(self._waiting)} waiting>"

    @property
    def has_free(self) -> bool:
        """Tell whether there is one that nobody may take now who waits."""
        return self._free > 0

    def turn(self, may_go: MayGo = lambda: True) -> "Turn":
        """Return the turn of one file, which is still to come; ``may_go`` is asked when it has come."""
        return Turn(self, next(self._numbers), may_go)

    def look_again(self) -> None:
        """Ask those that wait: something ended, or was put back, and they may go now."""
        if not self._free:
            return
        for turn in sorted(self._waiting, key=lambda turn: turn.number):
            come = self._waiting[turn]
            may_go = None if come.done() else turn.may_go()
            if may_go is None:
                continue
            del self._waiting[turn]
            come.set_result(may_go)
            if not may_go:
                return  # what else follows from that shows when it is put back
            self._free -= 1
            if not self._free:
                return

    async def wait(self, turn: "Turn") -> bool:
        """Return when the turn has come, and takes one; or that the file may not go any more, and takes none."""
        come: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[turn] = come
        self.look_again()
        try:
            return await come
        except asyncio.CancelledError:
            self._waiting.pop(turn, None)
            if not come.cancelled() and come.result():
                self.give_back()
            raise

    def give_back(self) -> None:
        """Let the next one go, once it is decided what follows for others from how this one ended."""
        self._free += 1
        asyncio.get_running_loop().call_soon(self.look_again)


class Turn:
    """Entered for as long as the body is sent, and again for another try; it may be given to others meanwhile.

    Entering raises ``PostponedError`` when the file may not go any more.
    """

    def __init__(self, turns: Turns, number: int, may_go: MayGo) -> None:
        self._turns = turns
        self.number = number
        """Lower ones go first."""
        self.may_go = may_go
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
        if not await self._comes():
            raise PostponedError
        self.entered_at = asyncio.get_running_loop().time()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._release()

    async def _comes(self) -> bool:
        if not self._needs_it:
            return bool(self.may_go())
        self.is_waiting = True
        try:
            self._has_it = await self._turns.wait(self)
        finally:
            self.is_waiting = False
        return self._has_it

    def _release(self) -> None:
        if self._has_it:
            self._has_it = False
            self._turns.give_back()
