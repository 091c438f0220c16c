"""What is sent next: oldest first within a tenant, tenants in turn, and no tenant in another's way.

Each tenant with something to send has a lane. A lane that is neither empty nor held stands in one of three rings, and
turns of a ring are taken one after the other: O(1) for each file, however many tenants and files wait.

* A healthy lane may use all slots but one, so that the others never wait for one slow tenant; all, while it is alone.
* An upload that crawls gives its slot to the lanes that wait and goes on beside them, as many as there are slots.
* A troubled lane (its last attempt failed, or crawled) may run one, and all troubled ones together use half of the
  slots; but lanes that merely crawl may have what no healthy one wants.
* A held lane waits for its time; so does a deferred file, in no one's way.
* A paused lane waits until somebody resumes it.
"""

from collections import OrderedDict
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Final

from apidanalytics.upload.lane import Lane
from apidanalytics.upload.states import Waiting

_ORDERS: Final = ((1, 2, 0), (0, 1, 2), (2, 1, 0), (0, 2, 1))
"""In which order the rings are asked, turn by turn: healthy (0) first every other time, failing (1) and slow (2) in
turns between."""


class FairQueue:
    """Files that wait, by tenant. The caller takes, and says ``finished`` for each that it took.

    ``ahead`` files more than there are slots are handed out, to be got ready; before one is sent, the caller asks
    ``may_go`` and says ``goes``. A lane that is alone may have all of them but one, which is for whoever comes next;
    then it has no more than its share again, and what it has ready beyond that waits, or goes back for want of room.
    """

    def __init__(self, slots: int, ahead: int = 0) -> None:
        self._slots = slots
        self._most_running = slots + ahead
        self._lanes: dict[str, Lane] = {}
        self._healthy: OrderedDict[str, Lane] = OrderedDict()
        self._failing: OrderedDict[str, Lane] = OrderedDict()
        self._slow: OrderedDict[str, Lane] = OrderedDict()
        self._rings = (self._healthy, self._failing, self._slow)
        self._turn = 0
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._tie = count()
        self._waiting = 0
        self._running = 0
        self._sending = 0
        self._running_troubled = 0
        self._crawling = 0
        self._paused: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return self._waiting

    def __repr__(self) -> str:
        return f"<FairQueue {self._waiting} waiting, {self._running} running, {len(self._lanes)} tenants>"

    @property
    def running(self) -> int:
        """Files that were taken and use a slot."""
        return self._running

    @property
    def wants_more(self) -> bool:
        """Tell whether half of what is got ready ahead is used up, so that it is time to take several at once."""
        return 2 * self._running <= self._slots + self._most_running

    @property
    def tenants(self) -> int:
        """Tenants with anything waiting or running, without those that are paused."""
        return len(self._lanes) - sum(tenant in self._lanes for tenant in self._paused)

    def failures(self, tenant: str) -> int:
        """Return how many attempts of this tenant failed since the last success."""
        lane = self._lanes.get(tenant)
        return lane.failures if lane else 0

    def push(self, file: Waiting) -> None:
        """Add a file that may be sent at once, at its place by start."""
        self._waiting += 1
        lane = self._lane(file.tenant)
        heappush(lane.due, (file.start_at, file.id))
        self._place(lane)

    def push_later(self, file: Waiting, at: float) -> None:
        """Add a file that may be sent from ``at`` on."""
        self._waiting += 1
        lane = self._lane(file.tenant)
        lane.deferred += 1

        def release() -> None:
            lane.deferred -= 1
            heappush(lane.due, (file.start_at, file.id))
            self._place(lane)

        self._call_at(at, release)

    def hold(self, tenant: str, until: float, *, asked: bool = False) -> None:
        """Send nothing of this tenant before ``until``; with ``asked`` not even when everything else may go."""
        lane = self._lane(tenant)
        if asked:
            lane.asked_until = max(lane.asked_until, until)
        if lane.held_until is not None and lane.held_until >= until:
            return
        lane.held_until = until

        def release() -> None:
            if lane.held_until == until:  # and not longer by now
                lane.held_until = None
                self._place(lane)

        self._place(lane)
        self._call_at(until, release)

    def pause(self, tenants: frozenset[str]) -> None:
        """Send nothing of these tenants, and of all others again, from now on."""
        changed, self._paused = self._paused ^ tenants, tenants
        for tenant in changed & self._lanes.keys():
            self._place(self._lanes[tenant])

    def release_all(self, now: float) -> None:
        """Let everything go at once that waits for its time, but what somebody asked us to hold."""
        asked = [(lane.tenant, lane.asked_until) for lane in self._lanes.values() if lane.asked_until > now]
        while self._later:
            heappop(self._later)[2]()
        for tenant, until in asked:
            self.hold(tenant, until, asked=True)

    def take(self, now: float, *, unless: frozenset[str] = frozenset()) -> Waiting | None:
        """Take the next file, of no tenant in ``unless``; None when there is none or no slot for it."""
        while self._later and self._later[0][0] <= now:
            heappop(self._later)[2]()
        if self._running >= self._most_running:
            return None
        lane = self._choose(unless)
        if lane is None:
            return None
        start_at, number = heappop(lane.due)
        self._waiting -= 1
        self._run(lane, 1)
        self._place(lane)
        return Waiting(id=number, tenant=lane.tenant, start_at=start_at)

    def may_go(self, tenant: str, now: float) -> bool | None:
        """Tell whether a file that was taken may be sent: not once its tenant waits, or has its share on the way.

        None: its share is on the way, and it may stay ready meanwhile, since nobody else lacks its room.
        """
        lane = self._lanes[tenant]
        if self.waits(tenant, now):
            return False
        if lane.sending + lane.crawling < self._share(lane):
            return True
        is_in_the_way = self._others(lane) > self._most_running - self._running
        return False if lane.is_troubled or is_in_the_way else None

    def waits(self, tenant: str, now: float) -> bool:
        """Tell whether nothing of a tenant with a file on its way may be sent now: it is paused, or held."""
        return tenant in self._paused or now < (self._lanes[tenant].held_until or now)

    def goes(self, tenant: str) -> None:
        """Note that a file that was taken is sent now."""
        self._send(self._lanes[tenant], 1)

    def yields(self, tenant: str, *, went: bool = False) -> bool:
        """Free the slot of one file that is still being sent; False when no other tenant waits, or too many did so."""
        lane = self._lanes[tenant]
        # More are taken than there are slots: others' files that were got ready ahead wait for their turn.
        others_ready = self._running - self._sending > lane.running - lane.sending and self._running > self._slots
        if not (others_ready or self._others(lane)) or self._crawling >= self._slots:
            return False
        self._send(lane, -int(went))
        self._run(lane, -1)
        lane.crawling += 1
        self._crawling += 1
        self._judge(lane, failures=lane.failures, is_slow=True)
        self._place(lane)
        return True

    def finished(self, tenant: str, *, failed: bool | None, went: bool = False, crawled: bool = False) -> None:
        """Free the slot of one file, unless it gave that up before.

        ``failed`` tells how it ended, None that it says nothing of the tenant; ``went``, whether it was sent at all.
        """
        lane = self._lanes[tenant]
        if crawled:
            lane.crawling -= 1
            self._crawling -= 1
        else:
            self._send(lane, -int(went))
            self._run(lane, -1)
        failures = lane.failures if failed is None else lane.failures + 1 if failed else 0
        is_slow = lane.is_slow if failed is not False else crawled or lane.crawling > 0
        self._judge(lane, failures=failures, is_slow=is_slow)
        self._place(lane)

    def next_at(self) -> float | None:
        """Return when something that waits for its time may go."""
        return self._later[0][0] if self._later else None

    def has_due(self, now: float) -> bool:
        """Tell whether anything could be sent, slots aside."""
        return bool(any(self._rings) or (self._later and self._later[0][0] <= now))

    def _lane(self, tenant: str) -> Lane:
        lane = self._lanes.get(tenant)
        if lane is None:
            lane = self._lanes[tenant] = Lane(tenant)
        return lane

    def _place(self, lane: Lane) -> None:
        """Put a lane where its state says: into a ring (at the end, unless it stands there), or nowhere."""
        right = None
        if lane.due and lane.held_until is None and lane.tenant not in self._paused:
            right = self._failing if lane.failures else self._slow if lane.is_slow else self._healthy
        for ring in self._rings:
            if ring is not right:
                ring.pop(lane.tenant, None)
        if right is not None:
            right.setdefault(lane.tenant, lane)
        if lane.is_gone and lane.held_until is None:
            self._lanes.pop(lane.tenant, None)

    def _choose(self, unless: frozenset[str]) -> Lane | None:
        self._turn = (self._turn + 1) % len(_ORDERS)
        for number in _ORDERS[self._turn]:
            ring = self._rings[number]
            most = self._most(ring)
            if not most:
                continue
            # At most as many lanes as there are uploads stand in the way of the one that is found.
            for tenant, lane in ring.items():
                if lane.running + lane.crawling < most and tenant not in unless:
                    ring.move_to_end(tenant)
                    return lane
        return None

    def _most(self, ring: "OrderedDict[str, Lane]") -> int:
        """Return how many files of each lane of a ring may be on their way; 0: no more of any."""
        if ring is self._healthy or (ring is self._slow and not self._healthy):
            return self._share(next(iter(ring.values()))) if ring else 0
        return int(self._running_troubled < max(1, self._slots // 2))

    def _share(self, lane: Lane) -> int:
        """Return how many files of a lane may be on their way."""
        if lane.failures or (lane.is_slow and self._healthy):
            return 1
        return max(1, (self._most_running if self._is_alone(lane) else self._slots) - 1)

    def _is_alone(self, lane: Lane) -> bool:
        """Tell whether no other lane has a file on its way, or one that may be sent, and none of its own crawls."""
        if self._crawling or self._running > lane.running:
            return False
        return not self._others(lane)

    def _others(self, lane: Lane) -> int:
        """Return how many other lanes have a file that may be sent."""
        return sum(len(ring) - (lane.tenant in ring) for ring in self._rings)

    def _send(self, lane: Lane, change: int) -> None:
        lane.sending += change
        self._sending += change

    def _run(self, lane: Lane, change: int) -> None:
        lane.running += change
        self._running += change
        if lane.is_troubled:
            self._running_troubled += change

    def _judge(self, lane: Lane, *, failures: int, is_slow: bool) -> None:
        was_troubled = lane.is_troubled
        lane.failures, lane.is_slow = failures, is_slow
        if lane.is_troubled != was_troubled:
            self._running_troubled += lane.running if lane.is_troubled else -lane.running

    def _call_at(self, at: float, release: Callable[[], None]) -> None:
        heappush(self._later, (at, next(self._tie), release))
