"""The agent's workers and their sockets: those of now, and those of the agent before, which drain."""

import asyncio
import os
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from apidanalytics.clock import Clock
from apidanalytics.config import Settings
from apidanalytics.control.channel import Message
from apidanalytics.control.former import FormerWorkers
from apidanalytics.control.handover import Handover
from apidanalytics.control.sockets import Listeners
from apidanalytics.control.spawn import worker_command
from apidanalytics.control.supervisor import Supervisor
from apidanalytics.control.tally import total
from apidanalytics.service.agent import Agent
from apidanalytics.service.masking import read_mask_key
from apidanalytics.service.parts import start_message

log = structlog.get_logger()


class Crew:
    """Started and stopped as one step of the agent."""

    def __init__(
        self,
        settings: Settings,
        agent: Agent,
        handover: Handover,
        clock: Clock,
        on_event: Callable[[Mapping[str, Any]], None],
    ) -> None:
        """``on_event`` is told what the workers logged."""
        self._settings = settings
        self._agent = agent
        self._handover = handover
        self._clock = clock
        self._on_event = on_event
        self._counted_before = handover.counters
        self._listeners: Listeners | None = None
        self._supervisor: Supervisor | None = None
        self._former = FormerWorkers(())
        self._instance_id = ""
        self._mask_key = b""
        self.greeting: Callable[[], list[Message]] = list
        """What a new worker is told after its settings, before it takes connections, and one of before at once."""

    def __repr__(self) -> str:
        return f"<Crew {self._supervisor!r}, {self._former!r}>"

    async def start(self, instance_id: str, wake: Callable[[], None], hear: Callable[[Message], bool]) -> None:
        """Start the workers; ``wake`` is called when one has news that ``hear`` does not take, or died.

        Raises:
            OSError: the address is taken or not ours.

        """
        self._instance_id = instance_id
        self._mask_key = await asyncio.to_thread(read_mask_key, self._settings)

        def on_message(message: Message) -> None:
            if not hear(message):
                wake()

        count = self._settings.workers or len(os.sched_getaffinity(0))
        listeners = self._listeners = self._open(count)
        self._supervisor = Supervisor(
            command=worker_command(),
            listeners=listeners,
            count=count,
            timeout_seconds=self._settings.worker_timeout,
            clock=self._clock,
            greeting=lambda index: self._greeting(index, listeners),
            on_message=on_message,
            on_death=wake,
            on_event=self._on_event,
        )
        self._former, self._handover.workers = FormerWorkers(self._handover.workers), []
        self._agent.on_force = self._kill
        await self._former.start(on_message, self.greeting())
        self._supervisor.start()
        for task in self._supervisor.tasks:
            self._agent.watch(task)
        if self._former:
            self._agent.spawn("succession", self._succeed(self._supervisor))

    async def stop(self, seconds: float) -> None:
        """Drain every worker and close the sockets; when the agent hands over, leave them all to its successor."""
        await self._agent.cancel("succession")
        if self._supervisor is not None and self._agent.hands_over:
            former, present = await asyncio.gather(self._former.detach(), self._supervisor.detach())
            self._handover.workers = former + present
        elif self._supervisor is not None:
            await asyncio.gather(self._supervisor.stop(seconds), self._former.drain(seconds))
        self._handover.counters = self.counters()
        if self._listeners is None:
            return
        if self._agent.hands_over:
            self._handover.address, self._handover.sockets = self._settings.api_listen, self._listeners.detach()
        else:
            self._listeners.close_all()

    def broadcast(self, message: Message) -> None:
        """Tell every worker, also those of the agent before: they answer until they are gone."""
        self._former.broadcast(message)
        if self._supervisor is not None:
            self._supervisor.broadcast(message)

    def send(self, pid: int, message: Message) -> None:
        """Tell one worker, also one of the agent before."""
        self._former.send(pid, message)
        if self._supervisor is not None:
            self._supervisor.send(pid, message)

    @property
    def is_serving(self) -> bool:
        """Whether batches are accepted."""
        return self._supervisor is not None and self._supervisor.is_serving

    @property
    def holds_back(self) -> bool:
        """Whether a worker holds floods back for the sake of others; as of its last heartbeat."""
        return any(worker.get("holds_back", False) for worker in self.status())

    @property
    def url(self) -> str:
        """Where the data API listens, as clients write it; empty before it does."""
        if self._listeners is None:
            return ""
        url = self._listeners.url
        return url if self._settings.api_tls_cert is None else url.replace("http:", "https:")

    @property
    def is_exposed(self) -> bool:
        """Whether other machines can reach the data API."""
        return self._listeners is not None and self._listeners.is_exposed

    def status(self) -> list[dict[str, Any]]:
        """Return what is known of each worker."""
        return self._supervisor.status() if self._supervisor is not None else []

    def counters(self) -> dict[str, Any]:
        """Return the sum of what all workers of this process counted, under the agents before this one too."""
        return total([self._counted_before, self._supervisor.counters() if self._supervisor is not None else {}])

    def everyone(self) -> list[dict[str, Any]]:
        """Return what is known of each worker, with those of the agent before, which still write."""
        return [*self.status(), *self._former.reports()]

    def draining(self) -> list[dict[str, Any]]:
        """Return what is known of each worker of the agent before."""
        return self._former.status()

    def _open(self, count: int) -> Listeners:
        address = self._settings.api_listen
        listeners = Listeners(
            address, count, self._handover.sockets_for(address), is_activated=self._handover.is_activated
        )
        if listeners.is_shared_with_others():
            hint = "both serve a share of the connections: workers of an agent that just died, or another service?"
            log.warning("agent.address_shared", address=address, hint=hint)
        listeners.open_all()
        return listeners

    def _greeting(self, index: int, listeners: Listeners) -> list[Message]:
        first = start_message(self._settings, index, self._instance_id, shares_sockets=listeners.is_shared)
        more = self.greeting()
        return [{**first, "mask_key": self._mask_key.hex(), "follows": len(more)}, *more]

    async def _succeed(self, supervisor: Supervisor) -> None:
        await self._former.hand_over(lambda: supervisor.all_serve, self._settings.shutdown_timeout)
        log.info("agent.succeeded", hint="the new workers serve, and those of before are gone")
        await asyncio.Event().wait()  # a task that ends by itself would stop the agent

    def _kill(self) -> None:
        self._former.kill()
        if self._supervisor is not None:
            self._supervisor.kill()
