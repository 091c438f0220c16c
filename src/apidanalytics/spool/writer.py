"""Group commit: batches from the event loop, one write and one sync for all that wait, then the acks.

::

    loop thread                                    writer thread                    sealing thread
    append(batch, done) --> queue
    wait a moment for more (a timer), then  ---->  take all
                                                   join by tenant and start,
                                                   compress, write, sync
    done(COMMITTED), done(COMMITTED), ...  <-----  tell the loop
    (again, if batches came meanwhile)             seal due? hand it over  ------>  sync, rename to sealed/
                                                   more than one group holds? take all again

While one group is committed, the next one gathers.
"""

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import structlog

from apidanalytics.clock import Clock
from apidanalytics.layout import DataDirectory
from apidanalytics.model import Batch, Outcome
from apidanalytics.spool.committer import Committer
from apidanalytics.spool.company import NOBODY, Company
from apidanalytics.spool.fair import FairGroups
from apidanalytics.spool.limits import SpoolLimits

log = structlog.get_logger()

MAX_GROUP_BYTES: Final = 512 << 10
"""A group takes no further batch once it holds this many bytes of lines: whoever comes next waits for its sync."""
MAX_GROUP_BYTES_EVEN: Final = 8 << 20
"""The same, where tenants have much the same, or one is alone: fewer syncs save a tenth of the CPU of large batches."""
LITTLE_BYTES: Final = 32 << 10
"""A tenant of which no more than this waits goes first when the others' do not fit into one group."""
Done = Callable[[Outcome], None]
_Waiting = tuple[Batch, Done]


class SpoolWriter:
    """Makes batches durable. ``append`` and the acks belong to the loop thread, all else to the writer's own."""

    def __init__(
        self,
        data: DataDirectory,
        limits: SpoolLimits,
        clock: Clock,
        on_sealed: Callable[[], None] | None = None,
    ) -> None:
        self._limits = limits
        self._on_sealed = on_sealed
        self._queue: deque[_Waiting] = deque()
        self._wake = threading.Lock()  # a binary semaphore: released to wake the writer thread
        self._wake.acquire()
        self._gathering: asyncio.TimerHandle | None = None
        self._expected = 1  # batches that the next group waits for, at most for the linger
        self._is_busy = False  # from the first batch of a group until its acks; belongs to the loop thread
        self._groups = FairGroups[_Waiting](lambda waiting: waiting[0], little_bytes=LITTLE_BYTES)
        self._company = Company()
        self._large = NOBODY  # as the loop knows it
        self._is_hurried = False  # somebody waits who must not wait for more batches; belongs to the loop thread
        self._littles = 0  # batches that have no ack, of tenants that are not large, while others are
        self._is_committing = False  # set by the writer thread
        self._clock = clock
        self._cut = 0  # batches that are out of the queue for a moment, to be cut into a group and the rest
        self._leaving = 0  # batches in the queue that the writer thread was woken for, and has not taken yet
        self._has_left_some = False  # of what waited, when it took a group; belongs to the writer thread
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="spool-writer", daemon=True)
        self._committer = Committer(data, limits, clock, self._sealed)
        self.on_room: Callable[[], None] | None = None
        self.on_company: Callable[[frozenset[str]], None] | None = None

    def __repr__(self) -> str:
        return f"<SpoolWriter {len(self._queue)} waiting, {self._committer}>"

    @property
    def is_writable(self) -> bool:
        """Whether the disk took the last write that was tried."""
        return self._committer.is_writable

    @property
    def groups(self) -> int:
        """Groups committed so far."""
        return self._committer.groups

    @property
    def records(self) -> int:
        """Records committed so far."""
        return self._committer.records

    @property
    def thread_id(self) -> int:
        """The system's number of the writer's thread; 0 before it is started."""
        return self._thread.native_id or 0

    def who_posts(self) -> set[str]:
        """Return whose batches were in the last groups, of a second at most, before the last one of all."""
        return self._company.lately()

    def is_awaited(self) -> bool:
        """Tell whether a group is on its way to the disk, or a batch waits whose tenant is not large beside others."""
        return self._is_committing or self._littles > 0

    def seal_soon(self) -> None:
        """Have the open spool sealed before its time, within about a second, so that it is packed and gone."""
        self._committer.seal_wanted = True

    @property
    def waiting(self) -> int:
        """Batches that wait for the disk."""
        return len(self._queue)

    def counters(self) -> dict[str, Any]:
        """Return how long commits took and how many batches were in them, as numbers that only grow."""
        committer = self._committer
        return {
            "commit_seconds": committer.seconds.as_counters(),
            "group_batches": committer.group_batches.as_counters(),
        }

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

    def append(self, batch: Batch, done: Done, *, beyond: int = 0) -> bool:
        """Hand over a batch; False when the buffer is full, and then nothing was taken.

        ``done`` is called once, on the loop thread, with what became of the batch. The buffer is full later for a
        batch that may use places ``beyond`` it.
        """
        queue = self._queue
        if len(queue) + self._cut - self._leaving >= self._limits.capacity + beyond:
            return False
        if self._limits.durability == "memory" and self._loop is not None:
            self._loop.call_soon(done, Outcome.COMMITTED)
            done = _acked_already
        if self._large and batch.tenant not in self._large:
            self._is_hurried = True
            self._littles += 1
            done = partial(self._little_done, done)
        queue.append((batch, done))
        if not self._is_busy and self._loop is not None:
            self._is_busy = True
            self._gather()
        elif self._gathering is not None and (len(queue) >= self._expected or self._is_hurried):
            self._gathering.cancel()
            self._kick()
        return True

    def _little_done(self, done: Done, outcome: Outcome) -> None:
        self._littles -= 1
        done(outcome)

    def _gather(self) -> None:
        """Give more batches a moment to join: a group costs one sync, however many are in it.

        Clients who were just answered are likely to post again, so as many batches as were on their way a moment ago
        are worth waiting for; when all of them are there, waiting for more would only leave the machine idle.
        """
        assert self._loop is not None
        if self._limits.linger_seconds and len(self._queue) < self._expected and not self._is_hurried:
            self._gathering = self._loop.call_later(self._limits.linger_seconds, self._kick)
        else:
            self._kick()

    def _kick(self) -> None:
        """Wake the writer thread: what is in the queue does not wait for the disk any more."""
        self._gathering = None
        self._leaving = 0 if self._has_left_some or self._is_committing else len(self._queue)
        self._is_hurried = False
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
        committer = self._committer
        while not (self._stopping and not self._queue):
            group = self._take()
            if group:
                self._is_committing = True
                outcome = committer.commit([batch for batch, _ in group])
                self._is_committing = False
                self._tell(group, outcome)
            elif not committer.is_writable:
                committer.probe()
            committer.seal_if_due()
        committer.close()

    def _take(self) -> list[_Waiting]:
        """Wait until a group has gathered and return it; empty when there was none for a while."""
        is_wanted = self._stopping or self._has_left_some
        if not is_wanted and not self._wake.acquire(timeout=self._committer.seconds_to_look()):
            return []
        queue = self._queue
        now, company = self._clock.monotonic(), self._company
        limit = MAX_GROUP_BYTES_EVEN if company.is_even(now) else MAX_GROUP_BYTES
        group: list[_Waiting] = []
        size = 0
        self._leaving = 0
        while queue and size < limit:
            waiting = queue.popleft()
            size += len(waiting[0].lines)
            group.append(waiting)
        if group:
            company.saw((batch for batch, _ in group), now)
            limit = limit if company.is_even(now) else MAX_GROUP_BYTES
        if queue or size > limit:
            group = self._fair(group, limit)
        self._has_left_some = bool(queue)
        return group

    def _fair(self, group: list[_Waiting], max_bytes: int) -> list[_Waiting]:
        """Let tenants take turns in a group that does not hold all that waits."""
        queue = self._queue
        self._cut = len(group) + len(queue)  # the buffer must not look empty meanwhile
        group += [queue.popleft() for _ in range(len(queue))]  # the loop may be adding some
        group, left = self._groups.cut(group, max_bytes)
        queue.extendleft(reversed(left))
        self._cut = 0
        return group

    def _tell(self, group: list[_Waiting], outcome: Outcome) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._ack, group, outcome)
        except RuntimeError:
            return  # the loop is closed: nobody is left who could be told

    def _ack(self, group: list[_Waiting], outcome: Outcome) -> None:
        for _, done in group:
            done(outcome)
        if self.on_company is not None and self._company.large is not self._large:
            self._large = self._company.large
            self.on_company(self._large)
        if self.on_room is not None:
            self.on_room()
        self._expected = min(len(group) + len(self._queue), self._limits.capacity)
        if self._queue:
            self._gather()
        else:
            self._is_busy = False

    def _sealed(self) -> None:
        """Tell the loop; called in the sealing thread."""
        if self._on_sealed is None or self._loop is None:
            return
        try:
            self._loop.call_soon_threadsafe(self._on_sealed)
        except RuntimeError:
            return  # the loop is closed; the agent looks into sealed/ by itself


def _acked_already(_outcome: Outcome) -> None:
    """Do nothing: durability ``memory`` has answered before the write."""
