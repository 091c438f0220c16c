"""Requests of heavy tenants are held back here while others post, so that those find a worker with time for them.

Heavy is who has far more than others (``spool.company``), or is refused very much (``refused``).

::

    ready --of a heavy tenant--> held back --the pace allows a slice--> a step of it --that was the last--> handled
      |                            ^                  |                    |
      +--of another--> handled     +------not now-----+<--more are to come-+

They have been read, so no client is blamed for the wait, and their bodies count as in flight: the bound of those is
the bound of what is held back. A client waits for its answer before it goes on, so it is read as slowly as it is
answered.
"""

import time
from collections.abc import Callable, Iterable
from typing import Final

from apidanalytics.ingest.crowd import Crowd
from apidanalytics.ingest.http import Exchange, Work
from apidanalytics.ingest.lanes import UNNAMED_LANE, LaneOf, LanesByPath
from apidanalytics.ingest.pace import Pace

LOOK_SECONDS: Final = 0.001
"""How long it takes until a slice that may not go ahead is tried again."""
SLICE_SECONDS: Final = 0.0003
"""How long some of them are handled before it is looked for new requests, of others above all."""
LONGEST_SECONDS: Final = 2.0
"""Nobody is held back for longer, whatever others do: then it takes turns with them."""
MAX_HELD_BACK: Final = 4096
"""Requests held back at once, each with its header; the others take turns as if nobody were held back."""
NOBODY: Final[frozenset[str]] = frozenset()
DONE: Final = object()

CallLater = Callable[[float, Callable[[], None]], object]


class HeldBack:
    """Takes the requests of heavy tenants out of those that are ready, and hands them on at their pace, in turns."""

    def __init__(
        self,
        pace: Pace,
        handle: Callable[[Exchange], Work | None],
        *,
        handle_new: Callable[[], None],
        lane_of: LaneOf,
        call_soon: Callable[[Callable[[], None]], object],
        call_later: CallLater,
        monotonic: Callable[[], float],
        busy_seconds: Callable[[], float] = time.thread_time,
        is_awaited: Callable[[], bool] = bool,
    ) -> None:
        """``handle_new`` handles what has come in, before anything that is held back goes on.

        ``busy_seconds`` tells for how long the worker was busy so far, whatever with.

        ``is_awaited`` tells whether the disk is at work, or another tenant waits for it: no slice gets in the way.
        """
        self.lanes = NOBODY
        """Of the tenants whose requests are held back."""
        self._pace = pace
        self._handle = handle
        self._handle_new = handle_new
        self._lane_of = lane_of
        self._call_soon = call_soon
        self._call_later = call_later
        self._monotonic = monotonic
        self._busy_seconds = busy_seconds
        self._is_awaited = is_awaited
        self._known = LanesByPath(lane_of)
        self._crowd = Crowd(lane_of, handle)
        self._work: Work | None = None  # what is left to do of the one that was taken out last
        self.taken = 0
        """Requests held back so far, however briefly."""
        self._is_soon = self._is_timed = False  # the next look

    def __repr__(self) -> str:
        return f"<HeldBack for {len(self.lanes)} tenants: {self._crowd!r}{', and one in hand' if self._work else ''}>"

    def __len__(self) -> int:
        return len(self._crowd)

    def sort_out(self, ready: Iterable[Exchange]) -> list[Exchange]:
        """Keep the requests of heavy tenants, and those that do not say whose they are; return the others."""
        others: list[Exchange] = []
        lanes, known = self.lanes, self._known
        room = at_first = MAX_HELD_BACK - len(self._crowd)
        for exchange in ready:
            lane = known[exchange.path]
            if lane == UNNAMED_LANE:
                lane = self._lane_of(exchange.path, exchange.body)
            if room > 0 and (lane in lanes or lane == UNNAMED_LANE):
                self._crowd.put(lane, exchange)
                room -= 1
            else:
                others.append(exchange)
        self.taken += at_first - room
        return others

    def go_on(self) -> None:
        """Hand on a slice of what is held back, if that may be; look again soon if some is left."""
        if self._is_soon or not self._is_any:
            return
        if self._may_go():
            self._handle_some()
            if self._is_any:
                self._is_soon = True
                self._call_soon(self._look_soon)
        elif not self._is_timed:
            self._is_timed = True
            self._call_later(LOOK_SECONDS, self._look_in_time)

    def may_go(self) -> bool:
        """Tell whether a step of a heavy tenant's that is out of here may go ahead."""
        return not self.lanes or self._may_go()

    def hold(self, lanes: frozenset[str]) -> list[Exchange]:
        """Hold requests of these lanes back from now on; return those of others that were, for they are no longer."""
        self.lanes = lanes
        return self._crowd.release(lambda lane, _: not lanes or (lane not in lanes and lane != UNNAMED_LANE))

    def sweep(self, now: float) -> list[Exchange]:
        """Give up those whose clients are gone; return those that came too long before ``now`` (wall clock).

        To be called a few times a second.
        """
        self._known.clear()  # scope data change
        for exchange in self._crowd.release(lambda _, exchange: exchange.is_gone):
            exchange.abort()  # nobody waits for the answer, and whoever asked may ask again
        return self._crowd.release(lambda _, exchange: now - exchange.arrived_at > LONGEST_SECONDS)

    def _look_soon(self) -> None:
        self._is_soon = False
        self._handle_new()
        self.go_on()

    def _look_in_time(self) -> None:
        self._is_timed = False
        self._handle_new()
        self.go_on()

    @property
    def _is_any(self) -> bool:
        return self._work is not None or bool(self._crowd)

    def _may_go(self) -> bool:
        return self._pace.may_go(self._monotonic(), self._busy_seconds(), is_awaited=self._is_awaited())

    def _handle_some(self) -> None:
        end = self._monotonic() + SLICE_SECONDS
        while self._is_any:
            if self._work is None:
                self._work = self._begin(self._crowd.take())
            elif next(self._work, DONE) is DONE:
                self._work = None
            if self._monotonic() >= end:
                return

    def _begin(self, exchange: Exchange) -> Work | None:
        if exchange.is_gone:
            exchange.abort()  # nobody waits for the answer, and whoever asked may ask again
            return None
        exchange.is_held_back = True
        return self._handle(exchange)
