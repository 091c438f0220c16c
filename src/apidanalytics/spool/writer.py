"""Group commit: batches from the event loop, one write and one sync for all that wait, then the acks.

::

    append(batch, done) ---> main lane: wait a moment for more (a timer), then a group --> done(COMMITTED), ...
                     |
                     +-----> express lane: a group at once  -----------------------------> done(COMMITTED), ...

While one group is committed, the next one gathers.

As long as some tenants have far more than others, the batches of the others go the express lane: a second thread with
a spool of its own, so that they wait for no sync of a group that is not theirs. Its thread starts when it is used
first; its spool is sealed like the other one, at the end of the interval.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import structlog

from apidanalytics.clock import Clock
from apidanalytics.layout import DataDirectory
from apidanalytics.model import Batch, Outcome
from apidanalytics.spool.committer import Committer
from apidanalytics.spool.company import NOBODY, Company
from apidanalytics.spool.lane import Done, Lane, Waiting
from apidanalytics.spool.limits import SpoolLimits
from apidanalytics.telemetry.histogram import Histogram

log = structlog.get_logger()

MAX_GROUP_BYTES: Final = 512 << 10
"""A group takes no further batch once it holds this many bytes of lines: whoever comes next waits for its sync."""
MAX_GROUP_BYTES_EVEN: Final = 8 << 20
"""The same, where tenants have much the same, or one is alone: fewer syncs save a tenth of the CPU of large batches."""
ACKS_AT_ONCE: Final = 6
"""Of heavy tenants: then the loop looks for what is new. Whoever was answered posts again, and is read at once."""


class SpoolWriter:
    """Makes batches durable. ``append`` and the acks belong to the loop thread, all else to the lanes' own."""

    def __init__(
        self,
        data: DataDirectory,
        limits: SpoolLimits,
        clock: Clock,
        on_sealed: Callable[[], None] | None = None,
    ) -> None:
        self._limits = limits
        self._on_sealed = on_sealed
        self._clock = clock
        self._main = Lane("spool-writer", Committer(data, limits, clock, self._sealed), self._take, self._ack)
        self._express = Lane(
            "spool-express", Committer(data, limits, clock, self._sealed), self._take_express, self._ack_express
        )
        self._lanes = (self._main, self._express)
        self._gathering: asyncio.TimerHandle | None = None
        self._expected = 1  # batches that the next group waits for, at most for the linger
        self._is_busy = False  # from the first batch of a group until its acks; belongs to the loop thread
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._company = Company()
        self._heavy = NOBODY  # as the loop knows it
        self._express_unacked = 0  # batches of the express lane that have no ack
        self._beside: deque[tuple[str, int]] = deque()  # what the express lane had, for the main one to take note of
        self.on_room: Callable[[], None] | None = None
        self.on_company: Callable[[frozenset[str]], None] | None = None
        """Called on the loop with the tenants that are heavy from now on. Without it nobody is."""

    def __repr__(self) -> str:
        return f"<SpoolWriter {self._main}, {self._express}>"

    @property
    def is_writable(self) -> bool:
        """Whether the disk took the last write that was tried."""
        return all(lane.committer.is_writable for lane in self._lanes)

    @property
    def groups(self) -> int:
        """Groups committed so far."""
        return sum(lane.committer.groups for lane in self._lanes)

    @property
    def records(self) -> int:
        """Records committed so far."""
        return sum(lane.committer.records for lane in self._lanes)

    @property
    def thread_ids(self) -> tuple[int, ...]:
        """The system's numbers of the threads that commit."""
        return tuple(lane.thread_id for lane in self._lanes if lane.is_started)

    def who_posts(self) -> set[str]:
        """Return whose batches were in the last groups, of a second at most, before the last one of all."""
        return self._company.lately()

    def is_awaited(self) -> bool:
        """Tell whether a group is on its way to the disk, or a batch waits whose tenant is not heavy beside others."""
        return self._main.is_committing or self._express_unacked > 0

    def seal_soon(self) -> None:
        """Have the open spools sealed before their time, within about a second, so that they are packed and gone."""
        for lane in self._lanes:
            lane.committer.seal_wanted = True

    @property
    def waiting(self) -> int:
        """Batches that wait for the disk."""
        return sum(len(lane.queue) for lane in self._lanes)

    def counters(self) -> dict[str, Any]:
        """Return how many commits there were, how long they took and what was in them, as numbers that only grow."""
        committers = [lane.committer for lane in self._lanes]
        return {
            "commit_seconds": Histogram.sum_of([one.seconds for one in committers]),
            "group_batches": Histogram.sum_of([one.group_batches for one in committers]),
            "express_groups": self._express.committer.groups,
        }

    def start(self) -> None:
        """Start to commit; acks go to the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._main.start()
        if self._main.queue:
            self._is_busy = True
            self._gather()

    async def stop(self) -> None:
        """Commit what waits, seal the open spools, and end. Nothing may be appended any more."""
        self._stopping = True
        for lane in self._lanes:
            await lane.stop()
        # The last acks were handed to the loop before the threads ended; give them their turn.
        await asyncio.sleep(0)

    def append(self, batch: Batch, done: Done, *, beyond: int = 0) -> bool:
        """Hand over a batch; False when the buffer is full, and then nothing was taken.

        ``done`` is called once, on the loop thread, with what became of the batch. The buffer is full later for a
        batch that may use places ``beyond`` it.
        """
        is_express = self._heavy and batch.tenant not in self._heavy and self._express.is_started
        lane = self._express if is_express else self._main
        queue = lane.queue
        if len(queue) + lane.cut_out - lane.leaving >= self._limits.capacity + beyond:
            return False
        if self._limits.durability == "memory" and self._loop is not None:
            self._loop.call_soon(done, Outcome.COMMITTED)
            done = _acked_already
        queue.append((batch, done))
        if is_express:
            self._express_unacked += 1
            lane.wake()
        elif not self._is_busy and self._loop is not None:
            self._is_busy = True
            self._gather()
        elif self._gathering is not None and len(queue) >= self._expected:
            self._gathering.cancel()
            self._kick()
        return True

    def _gather(self) -> None:
        """Give more batches a moment to join: a group costs one sync, however many are in it.

        Clients who were just answered are likely to post again, so as many batches as were on their way a moment ago
        are worth waiting for; when all of them are there, waiting for more would only leave the machine idle.
        """
        assert self._loop is not None
        if self._limits.linger_seconds and len(self._main.queue) < self._expected:
            self._gathering = self._loop.call_later(self._limits.linger_seconds, self._kick)
        else:
            self._kick()

    def _kick(self) -> None:
        self._gathering = None
        self._main.wake()

    # In the lanes' threads.

    def _take(self, lane: Lane) -> list[Waiting]:
        now, company = self._clock.monotonic(), self._company
        limit = MAX_GROUP_BYTES_EVEN if company.is_even(now) else MAX_GROUP_BYTES
        group = lane.gather(limit)
        if group:
            beside = [self._beside.popleft() for _ in range(len(self._beside))]  # the loop may be adding some
            company.saw([*beside, *((batch.tenant, len(batch.lines)) for batch, _ in group)], now)
            limit = limit if company.is_even(now) else MAX_GROUP_BYTES
        return lane.cut(group, limit)

    def _take_express(self, lane: Lane) -> list[Waiting]:
        return lane.cut(lane.gather(MAX_GROUP_BYTES), MAX_GROUP_BYTES)

    # On the loop.

    def _ack(self, group: list[Waiting], outcome: Outcome, first: int = 0) -> None:
        assert self._loop is not None
        end = first + ACKS_AT_ONCE if self._heavy and not self._stopping else len(group)
        for _, done in group[first:end]:
            done(outcome)
        if end < len(group):
            self._loop.call_soon(self._ack, group, outcome, end)
            return
        try:
            self._after_acks()
        finally:  # whatever becomes of the acks, the next group is committed
            self._expected = min(len(group) + len(self._main.queue), self._limits.capacity)
            if self._main.queue:
                self._gather()
            else:
                self._is_busy = False

    def _ack_express(self, group: list[Waiting], outcome: Outcome) -> None:
        self._express_unacked -= len(group)
        for batch, done in group:
            self._beside.append((batch.tenant, len(batch.lines)))
            done(outcome)
        self._after_acks()

    def _after_acks(self) -> None:
        # When the heavy ones have gone, the main lane may have nothing to commit, and to tell it by.
        company = self._company
        heavy = NOBODY if company.is_even(self._clock.monotonic()) else company.heavy
        if self.on_company is not None and heavy is not self._heavy:
            self._heavy = heavy
            if heavy and not self._express.is_started:
                self._open_express()
            self.on_company(heavy)
        if self.on_room is not None:
            self.on_room()

    def _open_express(self) -> None:
        try:
            self._express.start()
        except RuntimeError as error:
            hint = "the main lane serves all; it is tried again when other tenants flood. Are there too many threads?"
            log.warning("spool.no_express_lane", error=str(error), hint=hint)

    def _sealed(self) -> None:
        """Tell the loop; called in the sealing thread. If it is closed, the agent looks into sealed/ by itself."""
        if self._on_sealed is not None:
            self._main.call(self._on_sealed)


def _acked_already(_outcome: Outcome) -> None:
    """Do nothing: durability ``memory`` has answered before the write."""
