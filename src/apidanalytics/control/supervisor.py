r"""Keeps the ingest workers alive: starts them, hears from them, replaces those that die or hang, stops them.

::

    down --spawn--> starting --first heartbeat--> running --exit, or silence for worker_timeout--> down
                        \____________________________________exit_____________________________________/

The pause before the next spawn grows while a worker keeps dying young. Its listening socket stays open meanwhile,
unless that takes over a second and others live to serve its share.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import structlog

from apidanalytics.backoff import growing
from apidanalytics.clock import Clock
from apidanalytics.control.channel import Channel, Message
from apidanalytics.control.child import Child, describe_end
from apidanalytics.control.former import detached
from apidanalytics.control.handover import FormerWorker
from apidanalytics.control.sockets import Listeners
from apidanalytics.control.spawn import spawn_worker
from apidanalytics.control.tally import Counters, added, total

log = structlog.get_logger()

_REPLACED: Final = "replaced; what it acknowledged is in its spool"
HEALTHY_SECONDS: Final = 10.0
"""A worker that lived this long starts with a clean record."""
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 30.0
SOCKET_GRACE_SECONDS: Final = 1.0
"""How long the socket of a worker that is down stays open while others live."""


class WorkerState(StrEnum):
    """Where a worker is in its life."""

    DOWN = "down"
    """No process; the next one is on its way."""
    STARTING = "starting"
    """A process that has not said yet that it serves."""
    RUNNING = "running"
    """Serving."""


def restart_pause(early_deaths: int) -> float:
    """Return the seconds to wait before the next spawn after so many deaths in a row within ``HEALTHY_SECONDS``."""
    return growing(early_deaths - 1, first=FIRST_PAUSE_SECONDS, longest=LONGEST_PAUSE_SECONDS)


@dataclass(slots=True)
class _Worker:
    index: int
    state: WorkerState = WorkerState.DOWN
    process: Child | None = None
    channel: Channel | None = None
    restarts: int = 0
    early_deaths: int = 0
    spawned_at: float = 0.0
    heard_at: float = 0.0
    report: Mapping[str, Any] | None = None
    counters: Counters = field(default_factory=dict)
    """Of the present process, as it reported them last."""
    past_counters: Counters = field(default_factory=dict)
    """The sum of all former processes."""

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process is not None else None

    @property
    def serves(self) -> bool:
        return self.state is WorkerState.RUNNING and bool((self.report or {}).get("ready"))


class Supervisor:
    """Owns the worker processes. All of it runs on the agent's loop."""

    def __init__(
        self,
        *,
        command: Sequence[str],
        listeners: Listeners,
        count: int,
        timeout_seconds: float,
        clock: Clock,
        greeting: Callable[[int], Sequence[Message]],
        on_message: Callable[[Message], None],
        on_death: Callable[[], None],
        on_event: Callable[[Mapping[str, Any]], None] = lambda _: None,
    ) -> None:
        """``greeting`` gives the first messages to a new worker of this index; ``on_event`` hears what workers log."""
        self._command = command
        self._listeners = listeners
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._greeting = greeting
        self._on_message = on_message
        self._on_death = on_death
        self._on_event = on_event
        self._workers = [_Worker(index) for index in range(count)]
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self._farewell: tuple[Message, ...] = ()

    def __repr__(self) -> str:
        return f"<Supervisor {', '.join(f'{w.index}: {w.state}' for w in self._workers)}>"

    def start(self) -> None:
        """Start every worker and watch over them."""
        self._tasks = [asyncio.create_task(self._keep(worker)) for worker in self._workers]
        self._tasks.append(asyncio.create_task(self._watch()))

    @property
    def tasks(self) -> Sequence[asyncio.Task[None]]:
        """Tasks that never end by themselves; one that does is a defect."""
        return self._tasks

    def broadcast(self, message: Message) -> None:
        """Send a message to every worker that lives."""
        for worker in self._workers:
            if worker.channel is not None:
                worker.channel.send(message)

    def send(self, pid: int, message: Message) -> None:
        """Send a message to one worker, if it lives."""
        for worker in self._workers:
            if worker.pid == pid and worker.channel is not None:
                worker.channel.send(message)

    def status(self) -> list[dict[str, Any]]:
        """Return what is known of each worker."""
        return [
            {
                "index": worker.index,
                "pid": worker.pid,
                "state": worker.state.value,
                "restarts": worker.restarts,
                **(worker.report or {}),
            }
            for worker in self._workers
        ]

    def counters(self) -> dict[str, Any]:
        """Return the sum of what all workers counted, those that are gone too."""
        return total(part for worker in self._workers for part in (worker.past_counters, worker.counters))

    @property
    def is_serving(self) -> bool:
        """Whether any worker accepts batches."""
        return any(worker.serves for worker in self._workers)

    @property
    def all_serve(self) -> bool:
        """Whether every worker runs and accepts batches."""
        return all(worker.serves for worker in self._workers)

    async def stop(self, timeout_seconds: float) -> None:
        """Drain every worker; kill those that are not gone in time."""
        self._stopping = True
        self._farewell = ({"type": "drain", "timeout_seconds": timeout_seconds},)
        self.broadcast(*self._farewell)
        processes = [worker.process for worker in self._workers if worker.process is not None]
        waiting = [asyncio.ensure_future(process.wait()) for process in processes]
        if waiting:
            await asyncio.wait(waiting, timeout=timeout_seconds + 2)
        self.kill()
        if waiting:
            await asyncio.wait(waiting, timeout=5)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def detach(self) -> list[FormerWorker]:
        """Let go of every worker that lives, and return them: they serve on, for their next agent to drain."""
        self._stopping = True
        living = [(w.process, w.channel) for w in self._workers if w.process is not None and w.channel is not None]
        for worker in self._workers:
            worker.channel = None  # or its keeper would close it
        for task in self._tasks:
            task.cancel()
        workers = await detached([process for process, _ in living], [channel for _, channel in living])
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return workers

    def kill(self) -> None:
        """End every worker at once. What it has acknowledged is in its spool."""
        self._stopping = True
        for worker in self._workers:
            if worker.process is not None:
                worker.process.kill()

    async def _keep(self, worker: _Worker) -> None:
        while not self._stopping:
            pause = restart_pause(worker.early_deaths)
            if pause:
                await self._wait_down(worker, pause)
            try:
                status = await self._live(worker)
            except OSError as error:
                self._note_end(worker, error)
            else:
                self._note_end(worker, status)

    async def _live(self, worker: _Worker) -> int:
        """Run one process of this worker to its end; return its exit status.

        Raises:
            OSError: it could not be started; there is no process.

        """
        worker.spawned_at = worker.heard_at = self._clock.monotonic()
        ours, theirs = socket.socketpair()
        try:
            with theirs:  # the pipe first: nothing may fail once there is a process
                channel = await Channel.open(ours, lambda message: self._hear(worker, message), lambda: None)
                worker.channel = channel
                worker.process = spawn_worker(self._command, theirs, self._listeners.get(worker.index))
            worker.state = WorkerState.STARTING
            for message in (*self._greeting(worker.index), *self._farewell):
                channel.send(message)
            return await worker.process.wait()
        finally:
            worker.state = WorkerState.DOWN
            worker.report = None
            worker.past_counters = added(worker.past_counters, worker.counters)
            worker.counters = {}
            if worker.channel is not None:
                worker.channel.close()
                worker.channel = None

    async def _wait_down(self, worker: _Worker, pause: float) -> None:
        meanwhile = "others serve meanwhile" if self._others_run() else "nobody serves meanwhile"
        log.warning(
            "worker.waiting",
            worker=worker.index,
            seconds=pause,
            hint=f"it keeps dying, or cannot be started: the lines above say why; {meanwhile}",
        )
        await asyncio.sleep(min(pause, SOCKET_GRACE_SECONDS))
        if pause > SOCKET_GRACE_SECONDS:
            if self._others_run():
                self._listeners.close(worker.index)
            await asyncio.sleep(pause - SOCKET_GRACE_SECONDS)

    def _others_run(self) -> bool:
        return any(other.state is WorkerState.RUNNING for other in self._workers)

    def _note_end(self, worker: _Worker, end: int | OSError) -> None:
        """Take note that a worker is down: of its exit status, or of why it could not be started."""
        if self._stopping:
            return
        young = self._clock.monotonic() - worker.spawned_at < HEALTHY_SECONDS
        worker.early_deaths = worker.early_deaths + 1 if young else 1
        worker.restarts += 1
        fields = {"worker": worker.index, "restarts": worker.restarts}
        if isinstance(end, OSError):
            hint = "tried again, with growing pauses; is a limit of processes, memory or open files used up?"
            log.warning("worker.start_failed", **fields, error=str(end), hint=hint)
        else:
            log.warning("worker.died", **fields, worker_pid=worker.pid, how=describe_end(end), hint=_REPLACED)
        worker.process = None
        self._on_death()

    def _hear(self, worker: _Worker, message: Message) -> None:
        worker.heard_at = self._clock.monotonic()
        if message["type"] == "heartbeat":
            self._take_report(worker, message["report"])
            if worker.state is WorkerState.STARTING:
                worker.state = WorkerState.RUNNING
                log.info("worker.running", worker=worker.index, worker_pid=worker.pid)
            return
        self._on_message(message)

    def _take_report(self, worker: _Worker, report: dict[str, Any]) -> None:
        worker.counters = report.pop("counters", {})
        for event in report.pop("events", ()):
            self._on_event(event)
        worker.report = report

    async def _watch(self) -> None:
        """Kill a worker that has not been heard of for too long; its keeper then replaces it."""
        while True:
            await asyncio.sleep(min(1.0, self._timeout_seconds / 4))
            now = self._clock.monotonic()
            for worker in self._workers:
                if worker.channel is None or now - worker.heard_at < self._timeout_seconds:
                    continue
                silent = round(now - worker.heard_at, 1)
                log.warning("worker.hung", worker=worker.index, silent_seconds=silent, hint=_REPLACED)
                worker.heard_at = now
                if worker.process is not None:
                    worker.process.kill()
