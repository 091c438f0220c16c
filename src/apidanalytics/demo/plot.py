"""The whole play, act by act: start, traffic with a kill in the middle, delivery, stop, comparison."""

import asyncio
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from rich.console import Console

from apidanalytics.demo import lake
from apidanalytics.demo.accounts import Account
from apidanalytics.demo.check import Oracle
from apidanalytics.demo.child import Service, Stage
from apidanalytics.demo.play import Play
from apidanalytics.demo.scene import Kill, Scene
from apidanalytics.demo.show import Show, show_for
from apidanalytics.demo.summary import Result
from apidanalytics.demo.traffic import Traffic

if TYPE_CHECKING:
    from apidanalytics.demo.chain import S3Chain  # at run time it needs an extra

DELIVERY_SECONDS: Final = 40.0
REPLACED_SECONDS: Final = 30.0
FLIGHT_SECONDS: Final = (0.004, 0.001)
"""Pauses after two volleys, then the kill: the first is about to be answered, the second has just left."""

UNDELIVERED: Final = ("spooled", "staged", "failed")
"""States, in ``status --json``, of records on their way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to play."""

    stage: Stage
    seconds: float
    records_per_second: float
    connections: int
    seed: int
    chain: "S3Chain | None" = None
    """What the objects are in, if it is not the folder of the embedded endpoint."""


class Performance:
    """One run of the play. Use it once."""

    def __init__(self, plan: Plan, accounts: Sequence[Account], console: Console) -> None:
        self._plan = plan
        self._service = Service(plan.stage)
        self._oracle = Oracle(accounts)
        self._traffic = Traffic(accounts, seed=plan.seed)
        self._lake = lake.LineCount(plan.stage.lake)
        self._scene = Scene(directory=plan.stage.directory, tenants=tuple(account.name for account in accounts))
        self._show: Show = show_for(console, self._scene)
        self._complaints: list[str] = []

    async def run(self) -> Result:
        """Play, and return how it went; the service is gone afterwards, however it ended.

        Raises:
            ServiceError: the service did not start, or ended by itself.

        """
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        try:
            with self._show.opened():
                return await self._acts()
        finally:
            self._service.kill()

    async def _acts(self) -> Result:
        watch = asyncio.create_task(self._watch())
        try:
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
                await self._start(session)
                play = Play(
                    session,
                    f"http://{self._plan.stage.listen}",
                    self._traffic,
                    self._oracle,
                    self._plan.records_per_second,
                )
                self._scene.tallies = play.tallies
                kill, play_seconds = await self._traffic_and_kill(play)
            delivery_seconds = await self._deliver()
            await self._stop()
        finally:
            watch.cancel()
        return await self._judge(play, kill, play_seconds, delivery_seconds)

    async def _watch(self) -> None:
        """Keep the scene up to date."""
        before, then = 0, time.monotonic()
        while True:
            await asyncio.sleep(0.5)
            if self._plan.chain is not None:
                await asyncio.to_thread(self._plan.chain.fetch_new, self._plan.stage.lake)
            self._scene.lake_lines = await asyncio.to_thread(self._lake.look)
            acknowledged, now = self._scene.total().acknowledged, time.monotonic()
            self._scene.rates.append((acknowledged - before) / (now - then))
            self._scene.share = min(1.0, self._scene.seconds / (self._plan.seconds + 8))
            before, then = acknowledged, now
            self._show.look()

    async def _start(self, session: aiohttp.ClientSession) -> None:
        self._service.start()
        await self._service.wait_ready(session)
        workers = (await self._service.status()).get("workers", ())
        pids = ", ".join(str(worker["pid"]) for worker in workers)
        self._show.tell(f"the service is ready at {self._plan.stage.listen}; ingest workers: {pids}")

    async def _traffic_and_kill(self, play: Play) -> tuple[Kill | None, float]:
        self._scene.phase = "playing traffic"
        started_at = time.monotonic()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(play.run(self._plan.seconds, self._plan.connections))
                attack = tasks.create_task(self._attack(play))
        except ExceptionGroup as group:
            raise group.exceptions[0] from None  # the first says why; the others only follow
        self._complaints += summed_up(play.surprises)
        return attack.result(), time.monotonic() - started_at

    async def _attack(self, play: Play) -> Kill | None:
        """Kill the busiest worker half-way, while many requests are in flight."""
        await asyncio.sleep(self._plan.seconds / 2)
        victim = busiest_worker(await self._service.status())
        if victim is None:
            self._complaints.append("status named no running worker to kill")
            return None
        volley: list[asyncio.Task[None]] = []
        for seconds in FLIGHT_SECONDS:
            volley += play.volley(self._plan.connections)
            await asyncio.sleep(seconds)
        killed_at = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        self._show.tell(
            f"SIGKILL to ingest worker {victim}, with {play.in_flight} requests in flight", is_alarming=True
        )
        await asyncio.gather(*volley)
        return Kill(pid=victim, replaced_seconds=await self._replaced(victim, killed_at))

    async def _replaced(self, victim: int, killed_at: float) -> float | None:
        async def is_replaced() -> bool:
            workers = (await self._service.status()).get("workers", ())
            return bool(workers) and all(w["state"] == "running" and w["pid"] != victim for w in workers)

        if not await self._service.wait_until(is_replaced, REPLACED_SECONDS):
            self._complaints.append(f"worker {victim} was not replaced within {REPLACED_SECONDS:.0f} s")
            return None
        seconds = time.monotonic() - killed_at
        self._show.tell(f"another worker runs in its place, {seconds:.1f} s after the kill")
        return seconds

    async def _deliver(self) -> float:
        self._scene.phase = "waiting for the last buckets"
        self._show.tell("traffic ended; the last buckets close and upload")
        started_at = time.monotonic()

        async def is_delivered() -> bool:
            return not missing(await self._service.status())

        if not await self._service.wait_until(is_delivered, DELIVERY_SECONDS):
            self._complaints += missing(await self._service.status())
        return time.monotonic() - started_at

    async def _stop(self) -> None:
        self._scene.phase = "stopping the service"
        code = await self._service.stop()
        self._show.tell(f"the service drained and ended with exit code {code}", is_alarming=code != 0)
        if code != 0:
            self._complaints.append(f"the service ended with exit code {code}")
        if self._plan.chain is not None and (code := await asyncio.to_thread(self._plan.chain.stop_collection)) != 0:
            self._complaints.append(f"the collection service ended with exit code {code}")

    async def _judge(self, play: Play, kill: Kill | None, play_seconds: float, delivery_seconds: float) -> Result:
        self._scene.phase = "comparing the lake with what was sent"
        if self._plan.chain is not None:
            count = await asyncio.to_thread(self._plan.chain.read_back, self._plan.stage.lake)
            self._show.tell(f"all {count} objects of the bucket are read back")
        files = lake.files(self._plan.stage.lake)
        return Result(
            report=await asyncio.to_thread(self._oracle.compare, files),
            complaints=self._complaints,
            kill=kill,
            posts=play.posts,
            zipped=play.zipped,
            unanswered=play.unanswered,
            play_seconds=play_seconds,
            delivery_seconds=delivery_seconds,
            directory=self._plan.stage.directory,
            files=files,
        )


def busiest_worker(status: Mapping[str, Any]) -> int | None:
    """Return the pid of the running worker with the most connections."""
    running = [worker for worker in status.get("workers", ()) if worker["state"] == "running"]
    return max(running, key=lambda worker: worker["connections"])["pid"] if running else None


def missing(status: Mapping[str, Any]) -> list[str]:
    """Return what keeps the service from having delivered everything, by its own books; nothing when it has."""
    if "totals" not in status:
        return ["the service does not say what is on its way"]
    on_their_way = {state: status["totals"][state]["records"] for state in UNDELIVERED}
    late = [f"{count} records are still {state}" for state, count in on_their_way.items() if count]
    return late + [
        f"its books for {tenant} say {counts['accepted']['records']} accepted, {counts['uploaded']['records']} uploaded"
        for tenant, counts in status["tenants"].items()
        if counts["accepted"]["records"] != counts["uploaded"]["records"]
    ]


def summed_up(surprises: Sequence[str]) -> list[str]:
    """Return each kind of wrong answer once, with how often it came."""
    return [f"{surprises.count(text)} x answered {text}" for text in dict.fromkeys(surprises)]
