"""A thread for things that block, one after the other: a lighter ``asyncio.to_thread`` for what is asked often.

What is asked in one turn of the loop is handed over together, when the turn is over: a thread that is woken in the
middle of it takes the interpreter away from those that were about to ask. What is asked while the thread is at work
waits, is carried out in one go, and is answered in one go: many askers at once cost one change of threads, and not one
each.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Final, Generic, TypeVar

Errand = TypeVar("Errand")
Result = TypeVar("Result")

_MOST: Final = 64
"""Carried out in one go."""


class Errands(Generic[Errand, Result]):
    """One thread, started by the first errand, and asked from one event loop.

    ``carry_out`` is called in the thread with what waits; it returns a result for each, or the error to be raised where
    that one was asked. What it raises itself is raised everywhere. ``left_over`` gets, in the loop, the results of
    those who went away meanwhile.
    """

    def __init__(
        self,
        name: str,
        carry_out: Callable[[Sequence[Errand]], Sequence[Result | Exception]],
        left_over: Callable[[Result], None] = lambda _: None,
    ) -> None:
        self._name = name
        self._carry_out = carry_out
        self._left_over = left_over
        self._gathered: list[tuple[Errand, asyncio.Future[Result]]] = []
        """What was asked in this turn of the loop."""
        self._asked: SimpleQueue[tuple[Errand, asyncio.Future[Result]] | None] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return f"<Errands {self._name!r} {'running' if self._loop else 'not running'}>"

    async def do(self, errand: Errand) -> Result:
        """Have it carried out, after what was asked before, even if who asked goes away meanwhile."""
        if self._loop is None:
            loop = asyncio.get_running_loop()
            threading.Thread(target=self._run, args=(loop,), name=self._name, daemon=True).start()
            self._loop = loop  # only now: a thread that cannot be started is tried again
        answered: asyncio.Future[Result] = self._loop.create_future()
        if not self._gathered:
            self._loop.call_soon(self._hand_over)
        self._gathered.append((errand, answered))
        return await answered

    def close(self) -> None:
        """Let the thread end once it has done what it was asked; another errand starts one anew. Twice is fine."""
        if self._loop is not None:
            self._hand_over()
            self._loop = None
            self._asked.put(None)

    def _hand_over(self) -> None:
        for asked in self._gathered:
            self._asked.put(asked)
        self._gathered.clear()

    # In the thread.

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        goes_on = True
        while goes_on and (first := self._asked.get()) is not None:
            errands = [first]
            goes_on = self._gather(errands)
            answers = self._answers([errand for errand, _ in errands])
            try:
                loop.call_soon_threadsafe(self._tell, [answered for _, answered in errands], answers)
            except RuntimeError:
                return  # the loop is closed, and nobody waits

    def _gather(self, errands: list[tuple[Errand, "asyncio.Future[Result]"]]) -> bool:
        """Add what waits; tell whether more may come."""
        while len(errands) < _MOST:
            try:
                errand = self._asked.get_nowait()
            except Empty:
                break
            if errand is None:
                return False
            errands.append(errand)
        return True

    def _answers(self, errands: Sequence[Errand]) -> Sequence[Result | Exception]:
        try:
            return self._carry_out(errands)
        except Exception as error:  # noqa: BLE001 - it is raised where it was asked
            return [error] * len(errands)

    # In the loop.

    def _tell(self, futures: Sequence["asyncio.Future[Result]"], answers: Sequence[Result | Exception]) -> None:
        for answered, answer in zip(futures, answers, strict=True):
            if isinstance(answer, Exception):
                if not answered.done():
                    answered.set_exception(answer)
            elif answered.done():  # who asked has gone away
                self._left_over(answer)
            else:
                answered.set_result(answer)
