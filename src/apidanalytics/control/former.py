"""The workers of the agent before this one: they serve until the new ones do, then they are drained."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import structlog

from apidanalytics.control.channel import Channel, Message
from apidanalytics.control.child import Child
from apidanalytics.control.handover import FormerWorker

log = structlog.get_logger()

LOOK_SECONDS: Final = 0.05
PATIENCE_SECONDS: Final = 15.0
"""After this long without new workers that serve, the log says so. The former ones serve on."""
GRACE_SECONDS: Final = 2.0
"""What a worker gets beyond its time to drain before it is killed."""


class FormerWorkers:
    """Owns them until they are gone."""

    def __init__(self, workers: Sequence[FormerWorker]) -> None:
        self._workers = list(workers)
        self._channels: list[Channel] = []
        self._reports: dict[int, Mapping[str, Any]] = {}

    def __repr__(self) -> str:
        return f"<FormerWorkers {[worker.child.pid for worker in self._workers]}>"

    def __bool__(self) -> bool:
        return bool(self._workers)

    async def start(self, on_message: Callable[[Message], None], greeting: Sequence[Message] = ()) -> None:
        """Listen to them. What they count was counted when they were handed over; the rest is for ``on_message``.

        ``greeting`` is told to each of them: what may have changed while they had no agent.
        """
        for worker in self._workers:
            hear = partial(self._hear, worker.child.pid, on_message)
            self._channels.append(await Channel.open(worker.pipe, hear, lambda: None))
        for message in greeting:
            self.broadcast(message)

    def broadcast(self, message: Message) -> None:
        """Send a message to each that lives."""
        for channel in self._channels:
            channel.send(message)

    def send(self, pid: int, message: Message) -> None:
        """Send a message to one of them, if it lives."""
        for worker, channel in zip(self._workers, self._channels, strict=True):
            if worker.child.pid == pid:
                channel.send(message)

    async def hand_over(self, succeeded: Callable[[], bool], drain_seconds: float) -> None:
        """Wait until the new workers serve, drain these, and wait until they are gone; kill what is not in time."""
        await self._wait_for(succeeded)
        await self.drain(drain_seconds)

    async def drain(self, seconds: float) -> None:
        """Drain them now."""
        for channel in self._channels:
            channel.send({"type": "drain", "timeout_seconds": seconds})
        if not self._workers:
            return
        ended = [asyncio.ensure_future(worker.child.wait()) for worker in self._workers]
        _, late = await asyncio.wait(ended, timeout=seconds + GRACE_SECONDS)
        self.kill()
        if late:
            hint = "their connections did not end in time; what they acknowledged is in their spools"
            log.warning("worker.former_killed", workers=len(late), hint=hint)
            await asyncio.wait(late)
        self._forget()

    def kill(self) -> None:
        """End them at once. What they acknowledged is in their spools."""
        for worker in self._workers:
            worker.child.kill()

    async def detach(self) -> list[FormerWorker]:
        """Let go of those that live, and return them."""
        workers, channels = self._workers, self._channels
        self._workers, self._channels = [], []
        return await detached([worker.child for worker in workers], channels)

    def status(self) -> list[dict[str, Any]]:
        """Return what is known of each."""
        return [{"pid": worker.child.pid, "state": "draining"} for worker in self._workers]

    def reports(self) -> list[dict[str, Any]]:
        """Return what is known of each, with what it last said of itself."""
        return [{**worker, **self._reports.get(worker["pid"], {})} for worker in self.status()]

    def _hear(self, pid: int, on_message: Callable[[Message], None], message: Message) -> None:
        if message["type"] == "heartbeat":
            self._reports[pid] = message["report"]
        else:
            on_message(message)

    async def _wait_for(self, succeeded: Callable[[], bool]) -> None:
        looks = 0
        while not succeeded():
            await asyncio.sleep(LOOK_SECONDS)
            looks += 1
            if looks == PATIENCE_SECONDS / LOOK_SECONDS:
                log.error(
                    "worker.no_successor",
                    seconds=PATIENCE_SECONDS,
                    hint="the new workers do not serve yet, see the log above; those of before serve on meanwhile",
                )

    def _forget(self) -> None:
        for channel in self._channels:
            channel.close()
        self._workers, self._channels = [], []


async def detached(children: Sequence[Child], channels: Sequence[Channel]) -> list[FormerWorker]:
    """Let go of workers, all at once, and return those that live."""
    pipes = await asyncio.gather(*(channel.detach() for channel in channels))
    both = zip(children, pipes, strict=True)
    return [FormerWorker(child=child, pipe=pipe) for child, pipe in both if pipe is not None]
