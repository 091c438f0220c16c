"""What all connections of one worker share: limits, totals, the time, and the sweep over their deadlines."""

import time
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate
from typing import Final, Protocol

from apidanalytics.clock import Clock
from apidanalytics.errors import ErrorCode, Refusal
from apidanalytics.ingest import defects, reclaim
from apidanalytics.ingest.budget import InflightBudget
from apidanalytics.ingest.crowd import Crowd
from apidanalytics.ingest.held_back import CallLater, HeldBack
from apidanalytics.ingest.http import Exchange, Handler, Response, Work, render_tails
from apidanalytics.ingest.lanes import LaneOf, lane_by_path
from apidanalytics.ingest.limits import HttpLimits
from apidanalytics.ingest.pace import Pace
from apidanalytics.ingest.spellings import Spellings

FEW: Final = 16
"""So many requests that are ready at once are handled in the order in which they came."""

_INTERNAL_ERROR: Final = Response(500, Refusal(500, ErrorCode.INTERNAL_SERVER_ERROR, "Internal error").body())


class Connection(reclaim.Connection, Protocol):
    """A connection as its listener sees it."""

    @property
    def deadline(self) -> float:
        """When ``expire`` is to be called; on the monotonic clock, infinite if never."""

    def expire(self) -> None:
        """Act on the deadline, or move it."""

    def drain(self) -> None:
        """Serve what is in flight or on its way, then close."""

    def abort(self) -> None:
        """Close at once."""

    def close(self) -> None:
        """Close without an answer to what is left."""


class ServerState:
    """Shared by the connections of one worker; used on the event loop only."""

    __slots__ = (
        "_clock",
        "_crowd",
        "_held_back",
        "_ready",
        "_second",
        "arrival_time",
        "budget",
        "call_soon",
        "connections",
        "handler",
        "is_draining",
        "lane_of",
        "limits",
        "now",
        "on_close",
        "refusals",
        "requests",
        "spellings",
        "tails",
    )

    def __init__(
        self,
        handler: Handler,
        limits: HttpLimits,
        clock: Clock,
        *,
        call_soon: Callable[[Callable[[], None]], object],
        call_later: CallLater,
        on_close: Callable[[], None],
        lane_of: LaneOf = lane_by_path,
        busy_seconds: Callable[[], float] = time.thread_time,
        is_awaited: Callable[[], bool] = bool,
    ) -> None:
        self.handler = handler
        self.lane_of = lane_of
        """Whose a request is, by its path and body; asked only when there are too many."""
        self.limits = limits
        self.call_soon = call_soon
        self.on_close = on_close
        """Called whenever a connection is gone."""
        self._clock = clock
        self.arrival_time = clock.now
        self.spellings = Spellings()
        self.budget = InflightBudget(limits.max_inflight_bytes)
        self.connections: set[Connection] = set()
        self.requests = 0
        """Complete requests so far."""
        self.refusals: Counter[int] = Counter()
        """Requests that were refused before the handler saw them, by status."""
        self.is_draining = False
        self.now = 0.0
        """The monotonic clock at the last sweep: precise enough for deadlines, and free."""
        self._second = -1
        self.tails = (b"", b"", b"")
        """How a header ends; see ``render_tails``. The date in them is at most one sweep late."""
        self._ready: list[Exchange] = []
        self._crowd = Crowd(lane_of, self._handle)
        self._held_back = HeldBack(
            Pace(limits.flood_share),
            self._handle,
            handle_new=self._handle_ready,
            lane_of=lane_of,
            call_soon=call_soon,
            call_later=call_later,
            monotonic=clock.monotonic,
            busy_seconds=busy_seconds,
            is_awaited=is_awaited,
        )
        self._tell_time()

    def sweep(self) -> bool:
        """Tell the time, and whether a deadline has passed. To be called a few times a second."""
        self._tell_time()
        self.budget.settle()
        self._take_back(self._held_back.sweep(self._clock.now()))
        return any(connection.deadline <= self.now for connection in self.connections)

    def expire_overdue(self) -> None:
        """Act on every deadline that had passed at the last sweep, and was not moved since.

        To be called after what had come in by then was read: a process that did not get the processor for a while
        finds its deadlines passed first, and the requests that came in time only then.
        """
        now = self.now
        for connection in [connection for connection in self.connections if connection.deadline <= now]:
            connection.expire()

    def close_quiet(self, at_most: int) -> int:
        """Close connections from which nothing was heard for a while, and return how many."""
        since = self.now - self.limits.reclaim_after
        closing = reclaim.to_close(self.connections, quiet_since=since, at_most=at_most)
        for connection in closing:
            connection.close()
        return len(closing)

    def hold_back(self, lanes: frozenset[str]) -> None:
        """Handle requests of these lanes, from now on, only as fast as leaves time for others; none: as they come."""
        self._take_back(self._held_back.hold(lanes))

    def may_go(self) -> bool:
        """Tell whether a step of what a lane has that is held back, and that was handed on, may go ahead now."""
        return self._held_back.may_go()

    def _take_back(self, released: list[Exchange]) -> None:
        """Handle requests that are held back no more, in turns with all others, before new ones of the same tenants."""
        if released:
            is_new = not self._crowd
            self._crowd.add(released)
            if is_new:
                self.call_soon(self._handle_crowd)

    @property
    def held_back(self) -> int:
        """Requests that are held back now."""
        return len(self._held_back)

    @property
    def held_back_so_far(self) -> int:
        """Requests that were held back so far, however briefly."""
        return self._held_back.taken

    @property
    def holds_back(self) -> bool:
        """Whether requests of some tenants are held back for the sake of others."""
        return bool(self._held_back.lanes)

    def deliver(self, exchange: Exchange) -> None:
        """Let the handler see a request, soon: after all that can be read now has been.

        Reading many and then handling many is quicker than taking turns: each finds its code and data in the cache.
        When they are too many, tenants take turns, and between slices what is new is read: nobody waits for a crowd.
        """
        if not self._ready:
            self.call_soon(self._handle_ready)
        self._ready.append(exchange)

    def _handle_ready(self) -> None:
        if not self._ready:
            return
        ready, self._ready = self._ready, []
        self.requests += len(ready)
        if self._held_back.lanes:
            self._handle_others(self._held_back.sort_out(ready))
            self._held_back.go_on()
        else:
            self._handle_others(ready)

    def _handle_others(self, ready: list[Exchange]) -> None:
        if len(ready) <= FEW and not self._crowd:
            for exchange in ready:
                self._handle(exchange)
            return
        is_new = not self._crowd
        self._crowd.add(ready)
        if is_new:
            self._handle_crowd()

    def _handle_crowd(self) -> None:
        if self._crowd.handle(self._clock.monotonic):
            self.call_soon(self._handle_crowd)

    def _handle(self, exchange: Exchange) -> Work | None:
        try:
            work = self.handler(exchange)
        except Exception as error:  # noqa: BLE001 - a defect in the handler must not take the others with it
            self._fail(exchange, error)
            return None
        return work and self._guarded(exchange, work)

    def _guarded(self, exchange: Exchange, work: Work) -> Work:
        try:
            yield from work
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(exchange, error)

    def _fail(self, exchange: Exchange, error: Exception) -> None:
        defects.report(error)
        exchange.respond(_INTERNAL_ERROR)

    def _tell_time(self) -> None:
        self.now = self._clock.monotonic()
        second = int(self._clock.now())
        if second != self._second:
            self._second = second
            self.tails = render_tails(formatdate(second, usegmt=True))
