"""Which batches go into the next group when more wait than one group holds: tenants take turns, little ones first."""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from apidanalytics.model import Batch

W = TypeVar("W")


class FairGroups(Generic[W]):
    """Cuts groups out of what waits. Each tenant's batches keep their order.

    A tenant of which little waits should not wait for the sync of others' megabytes, so such tenants get a group of
    their own. The group after that is everybody's, so that many little ones do not keep a large one waiting.
    """

    def __init__(self, batch_of: Callable[[W], Batch], *, little_bytes: int) -> None:
        """Of a tenant that has little, ``little_bytes`` of lines wait at most."""
        self._batch_of = batch_of
        self._little_bytes = little_bytes
        self._is_everybodys = False

    def cut(self, waiting: Iterable[W], max_bytes: int) -> tuple[list[W], list[W]]:
        """Return the next group, which is full at so many bytes of lines, and what is left, in its order."""
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
        taken = self._take_turns(waiting, lanes, max_bytes)
        chosen = set(taken)
        return [waiting[number] for number in taken], [one for at, one in enumerate(waiting) if at not in chosen]

    def _take_turns(self, waiting: list[W], lanes: OrderedDict[str, deque[int]], max_bytes: int) -> list[int]:
        taken: list[int] = []
        size = 0
        while lanes and size < max_bytes:
            tenant, numbers = next(iter(lanes.items()))
            taken.append(numbers.popleft())
            size += len(self._batch_of(waiting[taken[-1]]).lines)
            if numbers:
                lanes.move_to_end(tenant)
            else:
                del lanes[tenant]
        return taken
