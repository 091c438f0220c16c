"""Before the way into the spool: batches for which the disk has no room wait here, and after a while are given up.

A tenant that used up its share waits alone: the others go past it. So that what it sends meanwhile cannot fill the
worker's memory, which others need, only a few bytes of it may wait; the rest is refused at once.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

import structlog

from apidanalytics.ingest.lease import Lease
from apidanalytics.ingest.ports import Timer, Timers
from apidanalytics.model import Batch, Outcome

log = structlog.get_logger()

Done = Callable[[Outcome], None]


class Line(Protocol):
    """The line behind this one, for the buffer."""

    def offer(self, batch: Batch, done: Done) -> bool:
        """Append the batch at once, or return False."""

    def wait(self, batch: Batch, done: Done, give_up: Callable[[], None]) -> None:
        """Append it when its turn comes."""

    def __len__(self) -> int: ...


class _Waiter(NamedTuple):
    deadline: float
    batch: Batch
    done: Done
    give_up: Callable[[], None]


class Entrance:
    """Lets batches through to the line for which there is room.

    ::

        offer --room, and room in the buffer--> the spool has it
          |                                        ^
          +--> wait --told of room--> the line ----+
                 +------wait_seconds--> done(NO_ROOM or OVER_SHARE)
    """

    def __init__(
        self, line: Line, lease: Lease, timers: Timers, *, wait_seconds: float, max_over_share_bytes: int
    ) -> None:
        """``max_over_share_bytes``: of tenants over their share, that may wait."""
        self._line = line
        self._lease = lease
        self._timers = timers
        self._wait_seconds = wait_seconds
        self._max_over_share_bytes = max_over_share_bytes
        self._waiting: deque[_Waiter] = deque()
        self._tenants: dict[str, int] = {}
        self._waiting_bytes = 0
        self._timer: Timer | None = None
        self._is_refusing = False
        lease.on_told = self._move_up

    def __len__(self) -> int:
        return len(self._waiting) + len(self._line)

    def offer(self, batch: Batch, done: Done) -> bool:
        """Append the batch at once, or return False: it has to ``wait``."""
        lease, size = self._lease, len(batch.lines)
        if lease.share is None and lease.taken + size <= lease.allowed and not self._waiting:
            # The usual case, which every batch pays for.
            if self._line.offer(batch, done):
                lease.taken += size
                return True
            return False
        return self._offer_with_care(batch, done)

    def _offer_with_care(self, batch: Batch, done: Done) -> bool:
        if (self._waiting and self._is_behind(batch)) or not self._lease.take(batch):
            return False
        if self._line.offer(batch, done):
            return True
        self._lease.give_back(batch)
        return False

    def wait(self, batch: Batch, done: Done, give_up: Callable[[], None]) -> None:
        """Append the batch when there is room; then ``done`` is called, or else ``give_up``, once."""
        if not (self._waiting and self._is_behind(batch)) and self._lease.take(batch):
            self._line.wait(batch, done, give_up)
            return
        if self._is_over_share(batch) and self._waiting_bytes + len(batch.lines) > self._max_over_share_bytes:
            self._timers.call_at(self._timers.time(), partial(done, Outcome.OVER_SHARE))
            return
        self._waiting.append(_Waiter(self._timers.time() + self._wait_seconds, batch, done, give_up))
        self._count(batch, 1)
        self._set_timer()

    def _is_behind(self, batch: Batch) -> bool:
        """Tell whether somebody who waits goes first: everybody, or, where only shares are used up, the same tenant."""
        return batch.tenant in self._tenants or not self._lease.is_for(self._waiting[0].batch)

    def _is_over_share(self, batch: Batch) -> bool:
        """Tell whether nothing but its tenant's share keeps a batch out."""
        lease = self._lease
        if lease.share is None or not lease.is_for(batch):
            return False
        return not self._waiting or lease.is_for(self._waiting[0].batch)

    def _move_up(self) -> None:
        """Let through whoever has room now, each tenant in its order."""
        waiting, self._waiting = self._waiting, deque()
        blocked: set[str] = set()
        for waiter in waiting:
            if waiter.batch.tenant not in blocked and self._lease.take(waiter.batch):
                self._count(waiter.batch, -1)
                self._pass_on(waiter)
            else:
                blocked.add(waiter.batch.tenant)
                self._waiting.append(waiter)
        if not self._waiting and self._is_refusing:
            self._is_refusing = False
            log.info("ingest.room_again")

    def _pass_on(self, waiter: _Waiter) -> None:
        if not self._line.offer(waiter.batch, waiter.done):
            self._line.wait(waiter.batch, waiter.done, waiter.give_up)

    def _count(self, batch: Batch, change: int) -> None:
        self._waiting_bytes += change * len(batch.lines)
        count = self._tenants.get(batch.tenant, 0) + change
        if count:
            self._tenants[batch.tenant] = count
        else:
            self._tenants.pop(batch.tenant, None)

    def _set_timer(self) -> None:
        if self._timer is None and self._waiting:
            self._timer = self._timers.call_at(self._waiting[0].deadline, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = self._timers.time()
        while self._waiting and self._waiting[0].deadline <= now:
            is_over_share = self._is_over_share(self._waiting[0].batch)
            waiter = self._waiting.popleft()
            self._count(waiter.batch, -1)
            if not self._is_refusing:
                self._is_refusing = True
                hint = "over a limit of the disk: batches wait, then get 503; nothing acknowledged is lost"
                log.warning("ingest.no_room", waiting=len(self._waiting), lease=repr(self._lease), hint=hint)
            waiter.done(Outcome.OVER_SHARE if is_over_share else Outcome.NO_ROOM)
        self._set_timer()
