"""The uploader: takes staged files from the queue, delivers them, and has the results settled.

::

    ledger --look--> FairQueue --take--> deliver (a few at a time) --decide--> settle (ledger, then the file)
       ^               ^   ^                                           |          |
       |               |   +------ hold, return, breaker --------------+          |
       |               +---------- defer -----------------------------------------+
       +-- revive <-- failed/ <--- give up ---------------------------------------+

Deciding is pure (``decide``, ``breaker``, ``queue``); here are the loops that act. Everything that touches the disk
runs in a thread, and what changes the disk in one thread at a time.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import structlog

from apidanalytics.clock import Clock
from apidanalytics.layout import DataDirectory
from apidanalytics.upload.decide import Defer, Done, GiveUp
from apidanalytics.upload.disk import DISK_TROUBLE, DiskWatch
from apidanalytics.upload.dispatch import Dispatcher
from apidanalytics.upload.housekeeping import keep_house
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.overview import UploadState, state_of
from apidanalytics.upload.pausing import Pausing
from apidanalytics.upload.ports import Collection
from apidanalytics.upload.prepare import note_doubt, prepare, set_changed_aside
from apidanalytics.upload.reconcile import reconcile
from apidanalytics.upload.revive import EVERYTHING, Revival, revive, revive_past
from apidanalytics.upload.room import Room
from apidanalytics.upload.sender import Notes, Sender
from apidanalytics.upload.settings import UploadSettings
from apidanalytics.upload.settle import Result
from apidanalytics.upload.settler import Settler
from apidanalytics.upload.shelves import Shelves
from apidanalytics.upload.states import Chosen, Waiting

_ADDED_AT_ONCE: Final = 1000
"""Files put into the queue before other work gets its turn."""

log = structlog.get_logger()


class Uploader:
    """Delivers what is staged. ``run`` it as a task, ``stop`` it; the rest may be called while it runs."""

    def __init__(
        self,
        *,
        data: DataDirectory,
        ledger: Ledger,
        collection: Collection,
        settings: UploadSettings,
        clock: Clock,
        random: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._clock = clock
        shelves = self._shelves = Shelves(data)
        self._disk = DiskWatch()
        self._settler = Settler(
            ledger,
            self._shelves,
            clock=clock,
            disk=self._disk,
            is_busy=lambda: self._sender.is_busy,
            on_settled=self._settled,
        )
        self.files = self._settler.files
        """Held by whoever moves or removes files."""
        self._dispatcher = Dispatcher(
            slots=settings.concurrency, ahead=settings.ahead, policy=settings.policy, random=random
        )
        self._wake = asyncio.Event()
        self.pausing = Pausing(ledger, self._dispatcher, clock=clock, on_change=self._wake.set)
        room, alone = Room(), self._settler.alone
        self._sender = Sender(
            prepare=lambda numbers: prepare(ledger, self._shelves, numbers, clock.now(), room),
            notes=Notes(
                set_aside=lambda file, why: alone(partial(set_changed_aside, ledger, shelves, file, why, clock.now())),
                doubt=lambda known, reason: asyncio.to_thread(note_doubt, ledger, shelves, known, reason),
            ),
            collection=collection,
            dispatcher=self._dispatcher,
            submit=self._settler.submit,
            clock=clock,
            disk=self._disk,
            crawl_seconds=settings.policy.crawl_seconds,
            on_finished=self._finished,
            on_skipped=lambda number: self._revival.settled(number, delivered=False),
        )
        interval, slow = settings.interval_seconds, settings.failed_retry_seconds
        self._revival = Revival(interval_seconds=interval, slow_seconds=slow, now=clock.monotonic())
        self._seen = 0
        self._looks = 0
        self._look_at = 0.0
        self._draining = self._stopping = False
        self._changed = asyncio.Event()
        self._ready = asyncio.Event()
        self._stopped = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Uploader {self._sender!r}, {self._dispatcher!r}, {self._settler!r}>"

    async def run(self) -> None:
        """Upload until ``stop``; what start-up finds in the directories comes first.

        Raises:
            Exception: a defect, or a ledger that became unreadable; the service cannot go on without.

        """
        try:
            await self._reconcile()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._settler.run())
                housekeeping = group.create_task(
                    keep_house(
                        self._ledger,
                        retention_seconds=self._settings.retention_seconds,
                        clock=self._clock,
                        disk=self._disk,
                    )
                )
                await self._loop(group)
                await self._sender.wait()
                self._settler.close()
                housekeeping.cancel()
        finally:
            self._stopped.set()
            self._ready.set()
            self._changed.set()

    def notify(self) -> None:
        """Tell that files were staged, so that nobody waits for the next look. From the loop's thread."""
        self._look_at = 0.0
        self._wake.set()

    async def retry_failed(self, chosen: Chosen = EVERYTHING, limit: int = -1, *, again: bool = False) -> int:
        """Bring back what is chosen from ``failed/``, of so many directories, attempts anew; return the files.

        Directories that are stuck are tried too, but not ``again``, by one who goes on.

        Raises:
            sqlite3.OperationalError, OSError: the disk is full or failing, some may be back; or all is stuck, none is.

        """
        await self._ready.wait()
        if not again:
            self._revival.stuck.clear()
        look = partial(self._ledger.failed_directories, chosen=chosen, now=self._clock.now())
        move = partial(self._revive, attempts=0, chosen=chosen)
        return await revive_past(self._revival.stuck, look, move, limit)

    def send_now(self) -> None:
        """Try at once what is staged, also what was put off after a failure; what failed for good stays in failed/."""
        self._dispatcher.send_now(self._clock.monotonic())
        self.notify()

    async def drain_pass(self) -> None:
        """Try once what is staged and need not wait; return when that is through, or the breaker is open."""
        await self._ready.wait()
        self._draining = True
        self._dispatcher.probe_now()
        opened, looks = self._dispatcher.open, self._looks
        self.notify()
        while not (self._stopped.is_set() or self._is_through(opened, looks)):
            self._changed.clear()
            await self._changed.wait()

    async def stop(self, timeout_seconds: float) -> None:
        """Send nothing new, let what is on its way finish within this time, and settle it. Stopping twice is fine."""
        self._stopping = True
        self._dispatcher.stop()
        self._wake.set()
        await self._sender.finish(timeout_seconds)
        await self._stopped.wait()

    def state(self) -> UploadState:
        """Return what is going on."""
        return state_of(self._dispatcher, self._sender.uploading, self._clock)

    # The loop: look, bring back, send, wait.

    async def _loop(self, group: asyncio.TaskGroup) -> None:
        while not self._stopping:
            self._wake.clear()
            now = self._clock.monotonic()
            if now >= self._look_at:
                await self._look(now)
            if self._revival.is_due(now) and self._dispatcher.open is None and not self._draining:
                await self._revive_some(now)
            # What was awaited above may have taken its time.
            if not self._stopping and not self._settler.is_full:
                self._sender.send(group)
            self._changed.set()
            await self._sleep()

    async def _reconcile(self) -> None:
        while not self._stopping:
            try:
                await asyncio.to_thread(reconcile, self._ledger, self._shelves, self._clock.now())
            except DISK_TROUBLE as error:
                self._disk.refused(error)
                await asyncio.sleep(self._settings.interval_seconds)
            else:
                return

    async def _look(self, now: float) -> None:
        self._look_at = now + self._settings.interval_seconds
        try:
            files = await asyncio.to_thread(self._ledger.waiting, self._seen)
        except DISK_TROUBLE as error:
            self._disk.refused(error)
            return
        for added, file in enumerate(files, start=1):
            self._add(file)
            if added % _ADDED_AT_ONCE == 0:
                await asyncio.sleep(0)
        self._seen = max([self._seen, *(file.id for file in files)])
        self._looks += 1
        self._ready.set()

    def _add(self, file: Waiting) -> None:
        # A clock that was set back must not make a file wait for longer than any pause can be.
        wait = min(file.next_attempt_at - self._clock.now(), self._settings.policy.longest_deferral_seconds)
        self._dispatcher.add(file, None if wait <= 0 else self._clock.monotonic() + wait)

    async def _revive_some(self, now: float) -> None:
        # One more attempt each: what fails again for the same reason should not cost three.
        attempts = self._settings.policy.attempts - 1
        self._revival.begins(now)
        try:
            directories = await asyncio.to_thread(
                self._ledger.failed_directories, self._revival.directories, now=self._clock.now()
            )
            back = await self._revive(directories, attempts=attempts)
        except DISK_TROUBLE as error:
            self._disk.refused(error)
            back = []
        self._revival.begun([file.id for file in back], now)

    async def _revive(self, directories: Sequence[str], *, attempts: int, chosen: Chosen = EVERYTHING) -> list[Waiting]:
        if not directories:
            return []
        back: list[Waiting] = []
        do = partial(revive, self._ledger, self._shelves, directories, back, attempts=attempts, chosen=chosen)
        try:
            await self._settler.alone(partial(do, at=self._clock.now(), stuck=self._revival.stuck))
        finally:
            for file in back:
                self._dispatcher.add(file)
            self._wake.set()
        log.info("upload.failed_retried", files=len(back), directories=len(directories))
        return back

    async def _sleep(self) -> None:
        now = self._clock.monotonic()
        times = [self._look_at, None if self._settler.is_full else self._dispatcher.next_at()]
        if self._dispatcher.open is None and not self._draining:
            times.append(self._revival.next_at())
        until = min(at for at in times if at is not None)
        try:
            async with asyncio.timeout(max(0.0, until - now)):
                await self._wake.wait()
        except TimeoutError:
            pass  # it is time to look

    def _finished(self) -> None:
        if not self._sender.is_busy:
            self._settler.hurry()
        self._wake.set()

    def _settled(self, results: Sequence[Result]) -> None:
        failed: dict[str, list[str]] = {}
        for result in results:
            file, decision = result.known.file, result.decision
            if isinstance(decision, Defer):
                waiting = Waiting(id=result.known.id, tenant=file.tenant, start_at=file.start_at)
                self._dispatcher.add(waiting, self._clock.monotonic() + decision.pause_seconds)
                continue
            self._revival.settled(result.known.id, delivered=isinstance(decision, Done))
            if isinstance(decision, GiveUp):
                failed.setdefault(file.tenant, []).append(decision.reason)
        for tenant, reasons in failed.items():
            hint = "They are in failed/, and tried again after a later success, by the clock, or when asked."
            log.warning("upload.failed", tenant=tenant, files=len(reasons), reason=reasons[-1], hint=hint)
        self._wake.set()

    def _is_through(self, opened: object, looks: int) -> bool:
        if self._looks <= looks or self._sender.is_busy or not self._settler.is_idle:
            return False
        now_open = self._dispatcher.open
        has_probed = now_open is not None and now_open is not opened
        return has_probed or not self._dispatcher.has_due(self._clock.monotonic())
