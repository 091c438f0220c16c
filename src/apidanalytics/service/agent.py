"""The life of the agent, as a list: started from the ground up, stopped from the doors down.

Every step's stop may be called twice and has the deadline to keep: it begins nothing after it. A background task that
ends by itself stops the service. The first SIGTERM or SIGINT drains; a second one ends everything at once, and loses
nothing that was acknowledged. Handing over, to other settings or another program, ends it too, but lets the workers
serve on.
"""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import structlog

from apidanalytics.clock import Clock
from apidanalytics.service.notify import notify

log = structlog.get_logger()

EXIT_OK: Final = 0
EXIT_FAILURE: Final = 1
LEAST_STOP_SECONDS: Final = 1.0
"""What a step gets to stop in when the ones before it used up the time."""


class AgentState(StrEnum):
    """Where the agent is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    """No new batches; what is in hand is finished, sealed, packed and, if it can be, uploaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One part of the service, in the order in which parts need each other."""

    name: str
    start: Callable[[], Awaitable[None]]
    """Raises when the service cannot run without it."""
    stop: Callable[[float], Awaitable[None]]
    """Ends it within so many seconds."""


class Agent:
    """Starts the steps, waits, stops them in reverse."""

    def __init__(self, *, shutdown_seconds: float, clock: Clock, is_successor: bool = False) -> None:
        self.steps: Sequence[Step] = ()
        """To be set before ``run``."""
        self._shutdown_seconds = shutdown_seconds
        self._clock = clock
        self._started: list[Step] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stop = asyncio.Event()
        self._exit_code = EXIT_OK
        self.state = AgentState.STARTING
        self.hands_over = is_successor
        """Whether the stops leave the workers serving. So does a successor that cannot start: another one will."""
        self.on_force: Callable[[], None] = lambda: None
        """Called when a second signal asks for an end at once."""

    def __repr__(self) -> str:
        return f"<Agent {self.state}: {', '.join(step.name for step in self._started)}>"

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run a task that lasts as long as the agent; when it ends by itself, the agent stops."""
        task = asyncio.create_task(work, name=name)
        self._tasks[name] = task
        self.watch(task)

    def watch(self, task: asyncio.Task[None]) -> None:
        """Stop the agent when this task, which somebody else owns, ends by itself."""
        task.add_done_callback(self._task_ended)

    async def cancel(self, name: str) -> None:
        """End a task that ``spawn`` started."""
        task = self._tasks.pop(name, None)
        if task is not None:
            task.remove_done_callback(self._task_ended)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def run(self) -> int:
        """Live: start, serve, stop. Return the exit code; ``hands_over`` says whether life goes on.

        Raises:
            ApidAnalyticsError | OSError: a step could not start; those before it have been stopped again.

        """
        try:
            for step in self.steps:
                await step.start()
                self._started.append(step)
            self.state = AgentState.RUNNING
            self.hands_over = False
            notify("READY=1")
            await self._stop.wait()
        finally:
            await self._shut_down()
        return self._exit_code

    def stop(self, exit_code: int = EXIT_OK) -> None:
        """Begin to drain; a failure stays a failure."""
        self._exit_code = max(self._exit_code, exit_code)
        self._stop.set()

    def hand_over(self) -> None:
        """Begin to end, and leave everything that serves to a successor; nothing, when it stops anyway."""
        if not self._stop.is_set():
            self.hands_over = True
            self._stop.set()

    def signalled(self, number: signal.Signals) -> bool:
        """Follow a signal that asks for the end; False: it hands over, and the signal is for its successor."""
        if self.hands_over and self._stop.is_set():
            return False
        if self._stop.is_set():
            log.warning("agent.forced", signal=number.name, hint="ending at once; the next start recovers")
            self.on_force()
            os._exit(EXIT_FAILURE)
        hint = "no new batches; what is in hand is finished, packed and, as far as that goes, uploaded"
        log.info("agent.draining", signal=number.name, seconds=self._shutdown_seconds, hint=hint)
        self.stop()
        return True

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if self._stop.is_set() or task.cancelled():
            return
        error = task.exception()
        log.error("agent.task_died", task=task.get_name(), exc_info=error, hint="the service stops; start it again")
        self.stop(EXIT_FAILURE)

    async def _shut_down(self) -> None:
        self.state = AgentState.DRAINING
        if self.hands_over:
            notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        else:
            notify("STOPPING=1")
        self._stop.set()
        deadline = self._clock.monotonic() + self._shutdown_seconds
        while self._started:
            step = self._started.pop()
            try:
                await step.stop(max(deadline - self._clock.monotonic(), LEAST_STOP_SECONDS))
            except Exception:
                log.exception("agent.stop_failed", step=step.name, hint="the next start takes up what it left")
                self._exit_code = EXIT_FAILURE
        for name in list(self._tasks):
            await self.cancel(name)


async def wait_until(is_so: Callable[[], bool], seconds: float = float("inf")) -> None:
    """Wait until this is so, or the time is over. It looks often: for what happens once, at start."""
    for _ in range(int(min(seconds, 1e9) / 0.05)):
        if is_so():
            return
        await asyncio.sleep(0.05)
