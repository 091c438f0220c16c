"""Who waits, in lanes that take turns: one lane for each tenant, so that one that floods waits for itself."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from itertools import islice
from typing import Final, Generic, TypeVar

T = TypeVar("T", bound=Hashable)

UNNAMED_LANE: Final = "/"
"""Of the requests whose tenant only their body tells, as long as it is not known."""

LaneOf = Callable[[bytes, bytes], str]
"""Tells the lane of a request by its path and body, as received; the body is empty while it is not known."""


MAX_PATHS: Final = 4096
"""Of so many the lane is remembered; anybody can make up paths."""
MAX_PATH_BYTES: Final = 128
"""Longest of them."""


def lane_by_path(path: bytes, _body: bytes) -> str:
    """Give every path a lane of its own."""
    return path.decode("latin-1")


class LanesByPath(dict[bytes, str]):
    """Remembers the lane of each path: ``lanes[path]``, of which ``UNNAMED_LANE`` says that the body must tell."""

    def __init__(self, lane_of: LaneOf) -> None:
        super().__init__()
        self._lane_of: Final = lane_of

    def __missing__(self, path: bytes) -> str:
        lane = self._lane_of(path, b"")
        if len(path) <= MAX_PATH_BYTES:
            if len(self) >= MAX_PATHS:
                self.clear()
            self[path] = lane
        return lane


class Lanes(Generic[T]):
    """Items in lanes. The next one is the first of the lane whose turn it is; then it is the turn of the others."""

    __slots__ = ("_lane_of", "_lanes")

    def __init__(self) -> None:
        self._lanes: Final[OrderedDict[str, OrderedDict[T, None]]] = OrderedDict()  # whose turn is next first
        self._lane_of: Final[dict[T, str]] = {}

    def __repr__(self) -> str:
        return f"<Lanes: {len(self)} in {len(self._lanes)}>"

    def __len__(self) -> int:
        return len(self._lane_of)

    def __contains__(self, item: T) -> bool:
        return item in self._lane_of

    def __iter__(self) -> Iterator[T]:
        """Go through all in the order of lanes; nothing may change meanwhile."""
        for lane in self._lanes.values():
            yield from lane

    def add(self, lane: str, item: T) -> None:
        """Put an item at the end of a lane; one that is in a lane already stays where it is."""
        if item not in self._lane_of:
            self._lanes.setdefault(lane, OrderedDict())[item] = None
            self._lane_of[item] = lane

    def has(self, lane: str) -> bool:
        """Tell whether anything is in this lane."""
        return lane in self._lanes

    def firsts(self, at_most: int) -> list[tuple[str, T]]:
        """Return the lanes whose turn is next, and the first item of each."""
        return [(lane, next(iter(items))) for lane, items in islice(self._lanes.items(), at_most)]

    def take(self) -> T:
        """Take out the next item; there must be one."""
        item = next(iter(next(iter(self._lanes.values()))))
        self.take_this(item)
        return item

    def take_this(self, item: T) -> None:
        """Take out an item whose turn it is made; it must be there."""
        lane = self._lane_of[item]
        self.remove(item)
        if lane in self._lanes:
            self._lanes.move_to_end(lane)

    def remove(self, item: T) -> None:
        """Take out this item, if it is there."""
        lane = self._lane_of.pop(item, None)
        if lane is not None:
            items = self._lanes[lane]
            del items[item]
            if not items:
                del self._lanes[lane]
