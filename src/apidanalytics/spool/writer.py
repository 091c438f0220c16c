"""Group commit: batches from the event loop, one write and one sync for all that wait, then the acks.

::

    loop thread                                    writer thread                    sealing thread
    append(batch, done) --> queue
    wait a moment for more (a timer), then  ---->  take all
                                                   join by tenant and start,
                                                   compress, write, sync
    done(COMMITTED), done(COMMITTED), ...  <-----  tell the loop
    (again, if batches came meanwhile)             seal due? hand it over  ------>  sync, rename to sealed/

While one group is committed, the next one gathers. A failed write is undone (``OpenSpool.cut_back``) before anybody
is told ``UNAVAILABLE``; if even that fails, the answer is ``UNKNOWN``.
"""

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from apidanalytics.clock import Clock
from apidanalytics.layout import DataDirectory
from apidanalytics.model import Batch, Outcome, SpoolHeader
from apidanalytics.spool.file import OpenSpool
from apidanalytics.spool.segment import Share

log = structlog.get_logger()

MAX_GROUP_BYTES: Final = 8 << 20
"""A group takes no further batch once it holds this many bytes of lines."""
PROBE_SECONDS: Final = 1.0
"""How often a disk that refused is tried again, and the longest time between two looks at the clock."""

Done = Callable[[Outcome], None]
_Waiting = tuple[Batch, Done]


def _no_sync(_descriptor: int) -> None:
    """Leave it to the kernel when the bytes reach the disk."""


SYNC: Final[dict[str, Callable[[int], None]]] = {"disk": os.fdatasync, "os": _no_sync, "memory": _no_sync}
"""What a commit does after the write, by ``apidanalytics_durability``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolLimits:
    """When a group is committed and a spool is sealed."""

    durability: str
    """``disk``: acks after the sync; ``os``: after the write; ``memory``: at once."""
    capacity: int
    """Batches that may wait for the disk (``apidanalytics_buffer_channel_size``)."""
    linger_seconds: float
    """How long a group waits for more batches after its first one."""
    interval_seconds: int
    """Collection interval: a spool is sealed at its end."""
    max_bytes: int
    """A spool over this size is sealed at once."""
    max_file_bytes: int
    """Largest staged file, written into the spool's header."""
    instance_id: str


class SpoolWriter:
    """Makes batches durable. ``append`` and the acks belong to the loop thread, all else to the writer's own."""

    def __init__(
        self,
        data: DataDirectory,
        limits: SpoolLimits,
        clock: Clock,
        on_sealed: Callable[[], None] | None = None,
    ) -> None:
        self._data = data
        self._limits = limits
        self._clock = clock
        self._on_sealed = on_sealed
        self._sync = SYNC[limits.durability]
        self._queue: deque[_Waiting] = deque()
        self._wake = threading.Lock()  # a binary semaphore: released to wake the writer thread
        self._wake.acquire()
        self._gathering: asyncio.TimerHandle | None = None
        self._is_busy = False  # from the first batch of a group until its acks; belongs to the loop thread
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="spool-writer", daemon=True)
        self._sealer = ThreadPoolExecutor(1, thread_name_prefix="spool-seal")
        self._spool: OpenSpool | None = None
        self._opened_at = 0.0
        self._unsealed: deque[OpenSpool] = deque()
        self._seal_again_at = 0.0
        self._failed_at = 0.0
        self.on_room: Callable[[], None] | None = None
        self.is_writable = True
        """False from a refused write until the disk takes one again."""
        self.groups = 0
        """Groups committed so far."""
        self.records = 0
        """Records committed so far."""

    def __repr__(self) -> str:
        state = "writable" if self.is_writable else "refused by the disk"
        return f"<SpoolWriter {state}: {len(self._queue)} waiting, {self.groups} groups, {self._spool}>"

    def start(self) -> None:
        """Start the writer thread; acks go to the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        if self._queue:
            self._is_busy = True
            self._gather()

    async def stop(self) -> None:
        """Commit what waits, seal the open spool, and end. Nothing may be appended any more."""
        self._stopping = True
        self._kick()
        if self._thread.ident is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)
        # The last acks were handed to the loop before the thread ended; give them their turn.
        await asyncio.sleep(0)

    def append(self, batch: Batch, done: Done) -> bool:
        """Hand over a batch; False when the buffer is full, and then nothing was taken.

        ``done`` is called once, on the loop thread, with what became of the batch.
        """
        queue = self._queue
        if len(queue) >= self._limits.capacity:
            return False
        if self._limits.durability == "memory" and self._loop is not None:
            self._loop.call_soon(done, Outcome.COMMITTED)
            done = _acked_already
        queue.append((batch, done))
        if not self._is_busy and self._loop is not None:
            self._is_busy = True
            self._gather()
        elif self._gathering is not None and len(queue) >= self._limits.capacity:
            self._gathering.cancel()
            self._kick()
        return True

    def _gather(self) -> None:
        """Give more batches a moment to join: a group costs one sync, however many are in it."""
        assert self._loop is not None
        if self._limits.linger_seconds and len(self._queue) < self._limits.capacity:
            self._gathering = self._loop.call_later(self._limits.linger_seconds, self._kick)
        else:
            self._kick()

    def _kick(self) -> None:
        """Wake the writer thread."""
        self._gathering = None
        if self._wake.locked():
            self._wake.release()

    def _run(self) -> None:
        try:
            self._write_groups()
        except BaseException:
            # Without this thread no batch would ever be answered. Dying is safe at any moment, going on is not.
            log.exception("spool.writer_died", hint="the worker ends and is replaced")
            os._exit(1)

    def _write_groups(self) -> None:
        while not (self._stopping and not self._queue):
            group = self._take()
            if group:
                self._commit(group)
            elif not self.is_writable:
                self._probe()
            if self._seal_is_due():
                self._seal()
            elif self._unsealed and self._clock.monotonic() >= self._seal_again_at:
                self._seal_again_at = self._clock.monotonic() + PROBE_SECONDS
                self._sealer.submit(self._seal_pending)
        self._seal()
        self._sealer.shutdown(wait=True)

    def _take(self) -> list[_Waiting]:
        """Wait until a group has gathered and return it; empty when there was none for a while."""
        if not self._stopping and not self._wake.acquire(timeout=self._seconds_to_seal()):
            return []
        queue = self._queue
        group: list[_Waiting] = []
        size = 0
        while queue and size < MAX_GROUP_BYTES:
            waiting = queue.popleft()
            size += len(waiting[0].lines)
            group.append(waiting)
        return group

    def _commit(self, group: list[_Waiting]) -> None:
        outcome = self._try_commit([batch for batch, _ in group])
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._ack, group, outcome)
        except RuntimeError:
            return  # the loop is closed: nobody is left who could be told

    def _ack(self, group: list[_Waiting], outcome: Outcome) -> None:
        for _, done in group:
            done(outcome)
        if self.on_room is not None:
            self.on_room()
        if self._queue:
            self._gather()
        else:
            self._is_busy = False

    def _try_commit(self, batches: Sequence[Batch]) -> Outcome:
        if not self.is_writable and self._clock.monotonic() - self._failed_at < PROBE_SECONDS / 4:
            return self._report_refusal(batches)
        try:
            spool = self._open()
        except OSError as error:
            self._refused(error, "create")
            return self._report_refusal(batches)
        try:
            spool.append(_join(batches))
        except OSError as error:
            self._refused(error, "write")
            return self._undo(spool, batches)
        self.groups += 1
        self.records += sum(batch.records for batch in batches)
        self._accepting()
        return Outcome.COMMITTED

    def _undo(self, spool: OpenSpool, batches: Sequence[Batch]) -> Outcome:
        """Cut the failed group off, and never append to this spool again."""
        self._spool = None
        self._unsealed.append(spool)
        try:
            spool.cut_back()
        except OSError as error:
            log.warning("spool.cut_failed", spool=repr(spool), error=str(error), hint="clients get no answer")
            return Outcome.UNKNOWN
        return self._report_refusal(batches)

    def _report_refusal(self, batches: Sequence[Batch]) -> Outcome:
        if self._limits.durability == "memory":
            lost = sum(batch.records for batch in batches)
            log.error("spool.lost", records=lost, hint="apidanalytics_durability: memory acks before the write")
        return Outcome.UNAVAILABLE

    def _open(self) -> OpenSpool:
        if self._spool is None:
            self._spool = OpenSpool.create(self._data, self._header, self._sync)
            self._opened_at = self._clock.monotonic()
        return self._spool

    def _header(self, number: int) -> SpoolHeader:
        limits = self._limits
        return SpoolHeader(
            number=number,
            interval_seconds=limits.interval_seconds,
            max_file_bytes=limits.max_file_bytes,
            instance_id=limits.instance_id,
            created_at=self._clock.now(),
        )

    def _refused(self, error: OSError, step: str) -> None:
        self._failed_at = self._clock.monotonic()
        if self.is_writable:
            self.is_writable = False
            hint = "new batches get 503 until the disk takes writes again; nothing acknowledged is lost"
            log.error("spool.refused", step=step, error=str(error), directory=str(self._data.tmp), hint=hint)

    def _accepting(self) -> None:
        if not self.is_writable:
            self.is_writable = True
            log.info("spool.accepting", hint="the disk takes writes again")

    def _probe(self) -> None:
        """Find out, without a client's batch, whether the disk takes writes again."""
        try:
            self._open()
        except OSError:
            return
        self._accepting()

    def _seconds_to_seal(self) -> float:
        if self._spool is None or not self.is_writable:
            return PROBE_SECONDS
        # The clock may be set meanwhile, so never sleep past the next look at it.
        return min(max(self._interval_ends_at() - self._clock.now(), 0.001), PROBE_SECONDS)

    def _interval_ends_at(self) -> float:
        assert self._spool is not None
        interval = self._limits.interval_seconds
        return (self._spool.header.created_at // interval + 1) * interval

    def _seal_is_due(self) -> bool:
        if self._spool is None:
            return False
        return (
            self._clock.now() >= self._interval_ends_at()
            or self._clock.monotonic() - self._opened_at >= self._limits.interval_seconds
            or self._spool.end >= self._limits.max_bytes
        )

    def _seal(self) -> None:
        """Hand the open spool to the sealing thread; the next group opens a new one."""
        if self._spool is not None:
            self._unsealed.append(self._spool)
            self._spool = None
        if self._unsealed:
            self._sealer.submit(self._seal_pending)

    def _seal_pending(self) -> None:
        """Seal what waits for it; what the disk refuses now is tried again a little later."""
        for _ in range(len(self._unsealed)):
            spool = self._unsealed.popleft()
            try:
                path = spool.seal(self._data)
            except OSError as error:
                log.warning("spool.seal_failed", spool=repr(spool), error=str(error), hint="tried again")
                self._unsealed.append(spool)
                continue
            self._sealed(spool, path)

    def _sealed(self, spool: OpenSpool, path: Path | None) -> None:
        if path is None:
            return
        log.info("spool.sealed", spool=f"{spool.header.number:012x}", bytes=spool.end)
        if self._on_sealed is not None and self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(self._on_sealed)
            except RuntimeError:
                return  # the loop is closed; the agent looks into sealed/ by itself


def _acked_already(_outcome: Outcome) -> None:
    """Do nothing: durability ``memory`` has answered before the write."""


def _join(batches: Sequence[Batch]) -> list[Share]:
    """Return one share per tenant and start, its lines in the order of arrival."""
    joined: dict[tuple[str, int], list[Batch]] = {}
    for batch in batches:
        joined.setdefault((batch.tenant, batch.start_at), []).append(batch)
    return [
        Share(
            tenant=tenant,
            start_at=start_at,
            records=sum(batch.records for batch in same),
            lines=same[0].lines if len(same) == 1 else b"".join([batch.lines for batch in same]),
        )
        for (tenant, start_at), same in joined.items()
    ]
