"""The uploads that are on their way: open the file, deliver it, decide, hand the result over."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from apidanalytics.clock import Clock
from apidanalytics.errands import Errands
from apidanalytics.upload.checksum import ChangedError
from apidanalytics.upload.client import Delivery
from apidanalytics.upload.content import Content
from apidanalytics.upload.decide import Defer, Done, GiveUp
from apidanalytics.upload.disk import DISK_TROUBLE, DiskWatch
from apidanalytics.upload.dispatch import Dispatcher, Sending
from apidanalytics.upload.outcome import Outcome, Party, Refused, Unreachable, Unreadable
from apidanalytics.upload.overview import Uploading
from apidanalytics.upload.ports import Collection
from apidanalytics.upload.prepare import Prepared
from apidanalytics.upload.settle import Result
from apidanalytics.upload.states import LedgerFile
from apidanalytics.upload.turns import PostponedError, Turn, Turns

_DISK_PAUSE_SECONDS: Final = 5.0
"""Before a file is opened again that the disk refused."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """Notes durably what turned out about a file on its way, and why; they raise what the disk raises."""

    set_aside: Callable[[LedgerFile, str], Awaitable[None]]
    """It is not what was made."""
    doubt: Callable[[LedgerFile, str], Awaitable[None]]
    """The store may keep other bytes under its name."""


class Sender:
    """Runs as many uploads as the dispatcher hands out."""

    def __init__(
        self,
        *,
        prepare: Callable[[Sequence[int]], list[Prepared | Exception | None]],
        notes: Notes,
        collection: Collection,
        dispatcher: Dispatcher,
        submit: Callable[[Result], None],
        clock: Clock,
        disk: DiskWatch,
        crawl_seconds: float,
        on_finished: Callable[[], None],
        on_skipped: Callable[[int], None],
    ) -> None:
        self._notes = notes
        self._opening: Errands[int, Prepared | None] = Errands("upload-open", prepare, left_over=_close)
        self._collection = collection
        self._dispatcher = dispatcher
        self._submit = submit
        self._clock = clock
        self._disk = disk
        self._turns = Turns(dispatcher.slots)
        self._crawl_seconds = crawl_seconds
        self._on_finished = on_finished
        self._on_skipped = on_skipped
        self._tasks: dict[asyncio.Task[None], Uploading | None] = {}

    def __repr__(self) -> str:
        return f"<Sender {len(self._tasks)} running>"

    @property
    def is_busy(self) -> bool:
        """Tell whether anything is on its way."""
        return bool(self._tasks)

    @property
    def uploading(self) -> tuple[Uploading, ...]:
        """What is on its way."""
        return tuple(uploading for uploading in self._tasks.values() if uploading)

    def send(self, group: asyncio.TaskGroup) -> None:
        """Start all uploads that may start now."""
        while sending := self._dispatcher.take(self._clock.monotonic()):
            task = group.create_task(self._upload(sending))
            self._tasks[task] = None
            task.add_done_callback(self._forget)

    async def finish(self, timeout_seconds: float) -> None:
        """Let what is on its way finish within this time; then break it off."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=timeout_seconds)
        for task in self._tasks:
            task.cancel()

    async def wait(self) -> None:
        """Wait until nothing is on its way, for good."""
        if self._tasks:
            await asyncio.wait(set(self._tasks))
        self._opening.close()

    async def _upload(self, sending: Sending) -> None:
        prepared = await self._open(sending)
        if prepared is None:
            return
        turn = self._turns.turn(lambda: self._dispatcher.lets_go(sending, self._clock.monotonic()))
        try:
            with self._watched(sending, turn):
                outcome = await self._deliver(sending, prepared, turn)
        except PostponedError:
            self._dispatcher.postponed(sending)
            return
        except ChangedError as change:
            await self._changed(sending, prepared.known, str(change))
            return
        if isinstance(outcome, Refused | Unreachable) and outcome.is_doubtful:
            await self._note_doubt(prepared.known, outcome.reason)
        now = self._clock.monotonic()
        decision = self._dispatcher.judge(sending, outcome, attempts=prepared.known.attempts, now=now)
        if isinstance(decision, Done | Defer | GiveUp):
            self._submit(Result(known=prepared.known, decision=decision))

    @contextmanager
    def _watched(self, sending: Sending, turn: Turn) -> Iterator[None]:
        """Have the upload give its place to others, should it crawl; waiting for its turn is none of it."""
        loop = asyncio.get_running_loop()
        begun_at = loop.time()
        timer: asyncio.TimerHandle

        def look() -> None:
            nonlocal timer
            left = max(begun_at, turn.entered_at) + self._crawl_seconds - loop.time()
            if turn.is_waiting or left > 0:
                timer = loop.call_later(self._crawl_seconds if turn.is_waiting else left, look)
            elif self._dispatcher.crawls(sending):
                turn.give_up()
                self._on_finished()
            else:
                timer = loop.call_later(self._crawl_seconds, look)

        timer = loop.call_later(self._crawl_seconds, look)
        try:
            yield
        finally:
            timer.cancel()

    async def _open(self, sending: Sending) -> Prepared | None:
        try:
            prepared = await self._opening.do(sending.file.id)
        except DISK_TROUBLE as error:
            self._refused(sending, error)
            return None
        if prepared is None:
            self._skip(sending)
        return prepared

    async def _changed(self, sending: Sending, known: LedgerFile, change: str) -> None:
        """Set a file aside that turned out to be another one while it was sent."""
        try:
            await self._notes.set_aside(known, change)
        except DISK_TROUBLE as error:
            self._refused(sending, error)
        else:
            self._skip(sending)

    async def _note_doubt(self, known: LedgerFile, reason: str) -> None:
        """Have it noted for good that the store may keep other bytes, before the file can be sent again."""
        while known.doubt is None:
            try:
                await self._notes.doubt(known, reason)
            except DISK_TROUBLE as error:
                self._disk.refused(error)
                await asyncio.sleep(_DISK_PAUSE_SECONDS)
            else:
                return

    def _refused(self, sending: Sending, error: Exception) -> None:
        self._disk.refused(error)
        self._dispatcher.add(sending.file, self._clock.monotonic() + _DISK_PAUSE_SECONDS)
        self._dispatcher.skipped(sending)

    def _skip(self, sending: Sending) -> None:
        """Let a file go that cannot be delivered, or was settled by others."""
        self._dispatcher.skipped(sending)
        self._on_skipped(sending.file.id)

    async def _deliver(self, sending: Sending, prepared: Prepared, turn: Turn) -> Outcome:
        file, content = prepared.known.file, prepared.content
        if isinstance(content, Unreadable):
            return content
        if isinstance(content, ChangedError):
            raise content
        if self._dispatcher.may_go(sending, self._clock.monotonic()) is False:
            content.close()
            raise PostponedError
        self._say_uploading(prepared)
        delivery = Delivery(
            tenant=file.tenant,
            start_at=file.start_at,
            name=file.name,
            content=content,
            md5=prepared.md5,
            turn=turn,
            doubt=prepared.known.doubt,
        )
        try:
            return await self._collection.deliver(delivery)
        except (PostponedError, ChangedError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a server answers, it must not end the service
            return _defect(error)
        finally:
            content.close()

    def _say_uploading(self, prepared: Prepared) -> None:
        task = asyncio.current_task()
        assert task is not None
        file = prepared.known.file
        self._tasks[task] = Uploading(
            tenant=file.tenant,
            name=file.name,
            records=file.records,
            bytes=file.bytes,
            size_bytes=file.size_bytes,
            since=self._clock.now(),
        )

    def _forget(self, task: "asyncio.Task[None]") -> None:
        del self._tasks[task]
        self._turns.look_again()
        if self._dispatcher.wants_more or self._turns.has_free:
            self._on_finished()


def _close(prepared: Prepared | None) -> None:
    if prepared is not None and isinstance(prepared.content, Content):
        prepared.content.close()


def _defect(error: Exception) -> Refused:
    # Not the error's own text, nor its trace: there may be a signed URL in them.
    where = traceback.extract_tb(error.__traceback__)[-1]
    kind = type(error).__name__
    log.error(
        "upload.defect",
        error=kind,
        at=f"{where.name}:{where.lineno}",
        hint="A defect of ours: the file is kept and tried again. Please report this line.",
    )
    return Refused(party=Party.ENDPOINT, reason=f"a defect of this service: {kind}")
