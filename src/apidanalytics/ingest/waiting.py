"""The way into the spool: batches that find the buffer full wait in line, and after a while are given up.

Waiting beats refusing: real gateways lose what is refused. The line is fair: each tenant that waits gets its turn, so
one that floods waits for itself. One batch of each other tenant passes the line, so that those hardly wait at all.
Without a line nobody asks whose a batch is.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Final, NamedTuple

import structlog

from apidanalytics import failpoints
from apidanalytics.ingest.ports import Spool, Timer, Timers
from apidanalytics.model import Batch, Outcome

log = structlog.get_logger()

PASSING_AT_ONCE: Final = 32
"""Batches in the buffer that passed the line, each of another tenant."""

LOOKED_AT: Final = 16
"""Of so many tenants in line, whose turn is next, it is tried whether there is room."""


class _Waiter(NamedTuple):
    deadline: float
    batch: Batch
    done: Callable[[Outcome], None]
    give_up: Callable[[], None]


class WaitingLine:
    """Appends batches to the spool: tenant by tenant in turn, and each tenant's in the order in which they came.

    ::

        offer --room, or may pass--> the spool has it --> done(outcome)
          |                             ^
          +--full--> wait --on_room-----+
                       |
                       +--wait_seconds--> give_up()
    """

    def __init__(self, spool: Spool, timers: Timers, wait_seconds: float) -> None:
        self._spool = spool
        self._timers = timers
        self._wait_seconds = wait_seconds
        self._line: OrderedDict[str, deque[_Waiter]] = OrderedDict()  # by tenant, whose turn is next first
        self._length = 0
        self._passing: set[str] = set()  # tenants that have a batch in the buffer that passed
        self._timer: Timer | None = None
        self._is_refusing = False
        spool.on_room = self._move_up

    def __len__(self) -> int:
        return self._length

    def offer(self, batch: Batch, done: Callable[[Outcome], None]) -> bool:
        """Append the batch at once, or return False: it has to ``wait``.

        While others wait there is room for it only where they cannot go, as in the spool's express lane.
        """
        if batch.tenant not in self._line:
            failpoints.hit("ingest.before_append")
            if self._spool.append(batch, done):
                return True
        return self._pass(batch, done)

    def _pass(self, batch: Batch, done: Callable[[Outcome], None]) -> bool:
        """Append a batch beyond the buffer's size, unless its tenant has one there, or waits in line.

        Those that pass are few in all, wherever in the buffer they are: more would take every place that becomes free,
        and the line would never move.
        """
        tenant = batch.tenant
        if len(self._passing) >= PASSING_AT_ONCE or tenant in self._line or tenant in self._passing:
            return False
        self._passing.add(tenant)
        failpoints.hit("ingest.before_append")
        if self._spool.append(batch, partial(self._passed, tenant, done), beyond=PASSING_AT_ONCE):
            return True
        self._passing.discard(tenant)
        return False

    def _passed(self, tenant: str, done: Callable[[Outcome], None], outcome: Outcome) -> None:
        self._passing.discard(tenant)
        done(outcome)

    def wait(self, batch: Batch, done: Callable[[Outcome], None], give_up: Callable[[], None]) -> None:
        """Append the batch when its turn comes; then ``done`` is called, or else ``give_up``, once."""
        waiter = _Waiter(self._timers.time() + self._wait_seconds, batch, done, give_up)
        self._line.setdefault(batch.tenant, deque()).append(waiter)
        self._length += 1
        self._set_timer()

    def _move_up(self) -> None:
        line = self._line
        refused: set[str] = set()
        # Where one finds no room another may: tenants that flood and the others have lanes to the disk of their own.
        while (tenant := next((one for one in islice(line, LOOKED_AT) if one not in refused), None)) is not None:
            waiters = line[tenant]
            failpoints.hit("ingest.before_append")
            if not self._spool.append(waiters[0].batch, waiters[0].done):
                refused.add(tenant)
                continue
            self._take(tenant, waiters)
            if waiters:
                line.move_to_end(tenant)
        if not line and self._is_refusing:
            self._is_refusing = False
            log.info("ingest.accepting_again")

    def _take(self, tenant: str, waiters: deque[_Waiter]) -> _Waiter:
        """Take the first of a tenant out of the line."""
        waiter = waiters.popleft()
        self._length -= 1
        if not waiters:
            del self._line[tenant]
        return waiter

    def _set_timer(self) -> None:
        if self._timer is None and self._line:
            first = min(waiters[0].deadline for waiters in self._line.values())
            self._timer = self._timers.call_at(first, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = self._timers.time()
        late = [waiter for tenant, waiters in list(self._line.items()) for waiter in self._late(tenant, waiters, now)]
        if late and not self._is_refusing:
            self._is_refusing = True
            hint = "the disk does not keep up: batches wait, and are refused with 503 after apidanalytics_overload_wait"
            log.warning("ingest.overloaded", waiting=self._length + len(late), hint=hint)
        for waiter in late:
            waiter.give_up()
        self._set_timer()

    def _late(self, tenant: str, waiters: deque[_Waiter], now: float) -> Iterator[_Waiter]:
        """Take those of a tenant out of the line that have waited too long."""
        while waiters and waiters[0].deadline <= now:
            yield self._take(tenant, waiters)
