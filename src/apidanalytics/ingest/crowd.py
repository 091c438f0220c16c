"""Requests that are ready and too many to be handled in a row: each tenant's wait in a queue of their own."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from apidanalytics.ingest.http import Exchange
from apidanalytics.ingest.lanes import UNNAMED_LANE, LaneOf, LanesByPath

SLICE_SECONDS: Final = 0.0007
"""How long a crowd is handled before it is looked for new requests."""


class Crowd:
    """Takes requests in any number and hands them on, one of each lane in turn, a slice of time at a time."""

    def __init__(self, lane_of: LaneOf, handle: Callable[[Exchange], object]) -> None:
        """``lane_of`` tells whose a request is."""
        self._lane_of = lane_of
        self._handle = handle
        self._lanes: dict[str, deque[Exchange]] = {}
        self._turns: deque[str] = deque()
        """Lanes that are not empty; whose turn is next first."""
        self._known = LanesByPath(lane_of)

    def __repr__(self) -> str:
        return f"<Crowd of {len(self)} in {len(self._turns)} lanes>"

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def __bool__(self) -> bool:
        return bool(self._turns)

    def add(self, exchanges: Iterable[Exchange]) -> None:
        """Take these in, each at the end of its lane."""
        known = self._known
        for exchange in exchanges:
            lane = known[exchange.path]
            if lane == UNNAMED_LANE:
                lane = self._lane_of(exchange.path, exchange.body)
            self.put(lane, exchange)

    def put(self, lane: str, exchange: Exchange) -> None:
        """Take this one in, at the end of a lane that is known already."""
        if (queue := self._lanes.get(lane)) is None:
            self._lanes[lane] = deque((exchange,))
            self._turns.append(lane)
        else:
            queue.append(exchange)

    def release(self, is_to_go: Callable[[str, Exchange], bool]) -> list[Exchange]:
        """Take out those for whose lane, and for whom, this is true, each lane in order."""
        released: list[Exchange] = []
        for lane in list(self._turns):
            queue = self._lanes[lane]
            going = [exchange for exchange in queue if is_to_go(lane, exchange)]
            if len(going) == len(queue):
                del self._lanes[lane]
                self._turns.remove(lane)
            elif going:
                self._lanes[lane] = deque(exchange for exchange in queue if not is_to_go(lane, exchange))
            released += going
        return released

    def take(self) -> Exchange:
        """Take out the one whose turn it is; there has to be one."""
        turns, lanes = self._turns, self._lanes
        lane = turns[0]
        queue = lanes[lane]
        exchange = queue.popleft()
        if not queue:
            del lanes[lane]
            turns.popleft()
        elif len(turns) > 1:
            turns.rotate(-1)
        return exchange

    def handle(self, monotonic: Callable[[], float]) -> bool:
        """Hand on what a slice of time allows; return whether anything is left."""
        end = monotonic() + SLICE_SECONDS
        while self._turns:
            self._handle(self.take())
            if monotonic() >= end:
                break
        if not self._turns:
            self._known.clear()
        return bool(self._turns)
