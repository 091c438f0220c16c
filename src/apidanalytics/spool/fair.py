"""Which batches go into the next group when more wait than one group holds: tenants take turns, little ones first."""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from math import inf
from typing import Final, Generic, TypeVar

from apidanalytics.model import Batch

W = TypeVar("W")

COMPANY_SECONDS: Final = 1.0
"""A tenant is alone again when no other one was seen for so long."""


class Company:
    """Whether one tenant is alone. Then nobody has to wait for its groups, and large ones cost less."""

    def __init__(self) -> None:
        self._tenants: set[str] = set()
        self._until = -inf

    def is_alone(self, now: float) -> bool:
        """Tell whether batches of one tenant only were seen lately."""
        return now >= self._until

    def saw(self, batches: Iterable[Batch], now: float) -> None:
        """Take note of whose the batches of a group are."""
        tenants = {batch.tenant for batch in batches}
        if len(tenants) > 1 or tenants != self._tenants:
            self._until = now + COMPANY_SECONDS
        self._tenants = tenants


class FairGroups(Generic[W]):
    """Cuts groups out of what waits. Each tenant's batches keep their order.

    A tenant of which little waits should not wait for the sync of others' megabytes, so such tenants get a group of
    their own. The group after that is everybody's, so that many little ones do not keep a large one waiting.
    """

    def __init__(self, batch_of: Callable[[W], Batch], *, max_bytes: int, little_bytes: int) -> None:
        """``max_bytes`` of lines fill a group; a tenant has little if ``little_bytes`` of it wait at most."""
        self._batch_of = batch_of
        self._max_bytes = max_bytes
        self._little_bytes = little_bytes
        self._is_everybodys = False

    def cut(self, waiting: Iterable[W]) -> tuple[list[W], list[W]]:
        """Return the next group, and what is left, in its order."""
        waiting = list(waiting)
        lanes: OrderedDict[str, deque[int]] = OrderedDict()
        sizes: dict[str, int] = {}
        for number, one in enumerate(waiting):
            batch = self._batch_of(one)
            lanes.setdefault(batch.tenant, deque()).append(number)
            sizes[batch.tenant] = sizes.get(batch.tenant, 0) + len(batch.lines)
        large = [tenant for tenant in lanes if sizes[tenant] > self._little_bytes]
        self._is_everybodys = self._is_everybodys or not 0 < len(large) < len(lanes)
        if not self._is_everybodys:
            for tenant in large:
                del lanes[tenant]
        self._is_everybodys = not self._is_everybodys
        taken = self._take_turns(waiting, lanes)
        chosen = set(taken)
        return [waiting[number] for number in taken], [one for at, one in enumerate(waiting) if at not in chosen]

    def _take_turns(self, waiting: list[W], lanes: OrderedDict[str, deque[int]]) -> list[int]:
        taken: list[int] = []
        size = 0
        while lanes and size < self._max_bytes:
            tenant, numbers = next(iter(lanes.items()))
            taken.append(numbers.popleft())
            size += len(self._batch_of(waiting[taken[-1]]).lines)
            if numbers:
                lanes.move_to_end(tenant)
            else:
                del lanes[tenant]
        return taken
