"""Which batches go into the next group when more wait than one group holds: tenants take turns."""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import TypeVar

from apidanalytics.model import Batch

W = TypeVar("W")


def fair_group(waiting: Iterable[W], batch_of: Callable[[W], Batch], max_bytes: int) -> tuple[list[W], list[W]]:
    """Return what goes into a group that is full at this many bytes of lines, and what is left, in its order.

    Each tenant's batches keep their order.
    """
    waiting = list(waiting)
    lanes: OrderedDict[str, deque[int]] = OrderedDict()
    for number, one in enumerate(waiting):
        lanes.setdefault(batch_of(one).tenant, deque()).append(number)
    taken: list[int] = []
    size = 0
    while lanes and size < max_bytes:
        tenant, numbers = next(iter(lanes.items()))
        taken.append(numbers.popleft())
        size += len(batch_of(waiting[taken[-1]]).lines)
        if numbers:
            lanes.move_to_end(tenant)
        else:
            del lanes[tenant]
    chosen = set(taken)
    return [waiting[number] for number in taken], [one for at, one in enumerate(waiting) if at not in chosen]
