"""What is sent next: oldest first within a tenant, tenants in turn, and no tenant in another's way.

Each tenant with something to send has a lane. A lane that is neither empty nor held stands in one of two rings, and
turns of a ring are taken one after the other: O(1) for each file, however many tenants and files wait.

* A healthy lane may use all slots but one, so that the others never wait for one slow tenant.
* A troubled lane (its last attempt failed) may use one, and all troubled ones together half of them.
* A held lane waits for its time; so does a deferred file, in no one's way.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

from apidanalytics.upload.states import Waiting


@dataclass(slots=True)
class _Lane:
    tenant: str
    due: list[tuple[int, int]] = field(default_factory=list)
    """Heap of (start, number) of what may be sent."""
    deferred: int = 0
    """Files that wait for a time of their own."""
    running: int = 0
    failures: int = 0
    """Failed attempts since the last success."""
    held: bool = False

    @property
    def is_gone(self) -> bool:
        return not (self.due or self.deferred or self.running)


class FairQueue:
    """Files that wait, by tenant. The caller takes, and says ``finished`` for each that it took."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._lanes: dict[str, _Lane] = {}
        self._healthy: OrderedDict[str, _Lane] = OrderedDict()
        self._troubled: OrderedDict[str, _Lane] = OrderedDict()
        self._troubled_first = False
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._tie = count()
        self._waiting = 0
        self._running = 0
        self._running_troubled = 0

    def __len__(self) -> int:
        return self._waiting

    def __repr__(self) -> str:
        return f"<FairQueue {self._waiting} waiting, {self._running} running, {len(self._lanes)} tenants>"

    @property
    def tenants(self) -> int:
        """Tenants with anything waiting or running."""
        return len(self._lanes)

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

    def hold(self, tenant: str, until: float) -> None:
        """Send nothing of this tenant before ``until``."""
        lane = self._lane(tenant)
        if lane.held:
            return
        lane.held = True

        def release() -> None:
            lane.held = False
            self._place(lane)

        self._place(lane)
        self._call_at(until, release)

    def take(self, now: float, *, unless: frozenset[str] = frozenset()) -> Waiting | None:
        """Take the next file, of no tenant in ``unless``; None when there is none or no slot for it."""
        while self._later and self._later[0][0] <= now:
            heappop(self._later)[2]()
        if self._running >= self._slots:
            return None
        lane = self._choose(unless)
        if lane is None:
            return None
        start_at, number = heappop(lane.due)
        self._waiting -= 1
        self._run(lane, 1)
        self._place(lane)
        return Waiting(id=number, tenant=lane.tenant, start_at=start_at)

    def finished(self, tenant: str, *, failed: bool | None) -> None:
        """Free the slot of one file; ``failed`` tells how it went, None that it says nothing of the tenant."""
        lane = self._lanes[tenant]
        self._run(lane, -1)
        if failed is not None:
            self._judge(lane, failed=failed)
        self._place(lane)

    def next_at(self) -> float | None:
        """Return when something that waits for its time may go."""
        return self._later[0][0] if self._later else None

    def has_due(self, now: float) -> bool:
        """Tell whether anything could be sent, slots aside."""
        return bool(self._healthy or self._troubled or (self._later and self._later[0][0] <= now))

    def _lane(self, tenant: str) -> _Lane:
        lane = self._lanes.get(tenant)
        if lane is None:
            lane = self._lanes[tenant] = _Lane(tenant)
        return lane

    def _place(self, lane: _Lane) -> None:
        """Put a lane where its state says: into a ring (at the end, unless it stands there), or nowhere."""
        if not lane.due or lane.held:
            self._healthy.pop(lane.tenant, None)
            self._troubled.pop(lane.tenant, None)
        elif lane.failures:
            self._healthy.pop(lane.tenant, None)
            self._troubled.setdefault(lane.tenant, lane)
        else:
            self._troubled.pop(lane.tenant, None)
            self._healthy.setdefault(lane.tenant, lane)
        if lane.is_gone and not lane.held:
            self._lanes.pop(lane.tenant, None)

    def _choose(self, unless: frozenset[str]) -> _Lane | None:
        rings = [(self._healthy, max(1, self._slots - 1))]
        if self._running_troubled < max(1, self._slots // 2):
            rings.insert(0 if self._troubled_first else 1, (self._troubled, 1))
        self._troubled_first = not self._troubled_first
        for ring, most in rings:
            for tenant, lane in ring.items():
                if lane.running < most and tenant not in unless:
                    ring.move_to_end(tenant)
                    return lane
        return None

    def _run(self, lane: _Lane, change: int) -> None:
        lane.running += change
        self._running += change
        if lane.failures:
            self._running_troubled += change

    def _judge(self, lane: _Lane, *, failed: bool) -> None:
        was_troubled = bool(lane.failures)
        lane.failures = lane.failures + 1 if failed else 0
        if bool(lane.failures) != was_troubled:
            self._running_troubled += lane.running if lane.failures else -lane.running

    def _call_at(self, at: float, release: Callable[[], None]) -> None:
        heappush(self._later, (at, next(self._tie), release))
