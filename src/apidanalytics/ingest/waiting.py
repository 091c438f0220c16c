"""The way into the spool: batches that find the buffer full wait in line, and after a while are given up.

Waiting beats refusing: real gateways lose what is refused.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import structlog

from apidanalytics import failpoints
from apidanalytics.ingest.ports import Spool, Timer, Timers
from apidanalytics.model import Batch, Outcome

log = structlog.get_logger()


class _Waiter(NamedTuple):
    deadline: float
    batch: Batch
    done: Callable[[Outcome], None]
    give_up: Callable[[], None]


class WaitingLine:
    """Appends batches to the spool, first come first served.

    ::

        offer --room--> the spool has it --> done(outcome)
          |                 ^
          +--full--> wait --+ on_room
                       |
                       +--wait_seconds--> give_up()
    """

    def __init__(self, spool: Spool, timers: Timers, wait_seconds: float) -> None:
        self._spool = spool
        self._timers = timers
        self._wait_seconds = wait_seconds
        self._line: deque[_Waiter] = deque()
        self._timer: Timer | None = None
        self._is_refusing = False
        spool.on_room = self._move_up

    def __len__(self) -> int:
        return len(self._line)

    def offer(self, batch: Batch, done: Callable[[Outcome], None]) -> bool:
        """Append the batch at once, or return False: it has to ``wait``."""
        return not self._line and self._append(batch, done)

    def wait(self, batch: Batch, done: Callable[[Outcome], None], give_up: Callable[[], None]) -> None:
        """Append the batch when its turn comes; then ``done`` is called, or else ``give_up``, once."""
        self._line.append(_Waiter(self._timers.time() + self._wait_seconds, batch, done, give_up))
        self._set_timer()

    def _append(self, batch: Batch, done: Callable[[Outcome], None]) -> bool:
        failpoints.hit("ingest.before_append")
        return self._spool.append(batch, done)

    def _move_up(self) -> None:
        line = self._line
        while line and self._append(line[0].batch, line[0].done):
            line.popleft()
        if not line and self._is_refusing:
            self._is_refusing = False
            log.info("ingest.accepting_again")

    def _set_timer(self) -> None:
        if self._timer is None and self._line:
            self._timer = self._timers.call_at(self._line[0].deadline, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = self._timers.time()
        while self._line and self._line[0].deadline <= now:
            if not self._is_refusing:
                self._is_refusing = True
                log.warning(
                    "ingest.overloaded",
                    waiting=len(self._line),
                    hint="the disk does not keep up: batches wait too long and are refused",
                )
            self._line.popleft().give_up()
        self._set_timer()
