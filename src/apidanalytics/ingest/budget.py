"""One bound for the bytes of all bodies that a worker holds at once.

A connection that takes the total over the bound is not read any further. It waits in line until bodies have been
answered; the tenants in it take turns::

    reading --grow--> over the bound --wait--> in line --settle--> reading
                           |                      |
                           |                      +-- between two requests: one connection of each tenant may pass
                           +-- may_pass ----------+
                                                  |
                   nothing will be released ------+--> right of way: reads on, alone, whatever the total

The right of way is what keeps it from locking up: when every byte belongs to a body that is only partly there, no
answer can release any, so the first in line with such a body is let through to its end. That is also how a body
larger than the bound gets in.

Those that may pass keep one tenant's bodies from closing the door to all: whoever posts one batch after the other
goes on posting. That is at most one read beyond the bound for each tenant.
"""

from collections.abc import Hashable
from typing import Final, Protocol

from apidanalytics.ingest.lanes import Lanes

ROOM_PER_CONNECTION: Final = 64 * 1024
"""One connection more is let on for each this many free bytes: about what one of them brings at once."""
CONNECTIONS_AT_ONCE: Final = 64
"""So many are let on, however small the bound, when all of it is free."""
PASSING_AT_ONCE: Final = 16
"""Of so many lanes it is looked, each time, whether one may pass."""


class Reader(Hashable, Protocol):
    """A connection that reads bodies."""

    @property
    def is_within_body(self) -> bool:
        """Whether part of a body has been read, and part is to come."""

    @property
    def unanswered(self) -> int:
        """Requests that have no answer, one that has only begun among them."""

    @property
    def lane(self) -> str:
        """Whose the request is that is being read, or else the last one."""

    def read_on(self) -> None:
        """Go on reading: there is room, or the right of way."""


class InflightBudget:
    """Counts the bytes of bodies, and lines up the connections that must wait for room."""

    __slots__ = ("_passes_in", "_room_per_connection", "limit", "line", "partial", "passing", "privileged", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._room_per_connection = min(ROOM_PER_CONNECTION, limit // CONNECTIONS_AT_ONCE + 1)
        self.used = 0
        """Bytes of all bodies being read or unanswered. A connection counts its complete ones in and out by itself."""
        self.partial = 0
        """The part of ``used`` in bodies that are not complete."""
        self.line: Lanes[Reader] = Lanes()
        """Who waits for room."""
        self.passing: dict[str, Reader] = {}
        """Who goes on without room, by lane."""
        self._passes_in: dict[Reader, str] = {}
        self.privileged: Reader | None = None
        """Who has the right of way."""

    def is_closed_to(self, reader: Reader) -> bool:
        """Whether this connection must wait before it reads on."""
        return self.used > self.limit and self.privileged is not reader

    def may_pass(self, reader: Reader) -> bool:
        """Let one connection of each lane go on without room, as long as it asks one thing at a time."""
        if reader.is_within_body or reader.unanswered > 1:
            return False
        lane = reader.lane
        return not self.line.has(lane) and self._passes(lane, reader)

    def _passes(self, lane: str, reader: Reader) -> bool:
        before = self.passing.get(lane, reader)
        if before is not reader:
            if before.unanswered:
                return False
            self._pass_no_more(before)
        self._pass_no_more(reader)  # of another lane until now, perhaps
        self.passing[lane] = reader
        self._passes_in[reader] = lane
        return True

    def _pass_no_more(self, reader: Reader) -> None:
        lane = self._passes_in.pop(reader, None)
        if lane is not None:
            del self.passing[lane]

    def wait(self, reader: Reader) -> None:
        """Put a connection in line; its ``read_on`` is called when its turn has come."""
        self.line.add(reader.lane, reader)
        self.settle()

    def leave(self, reader: Reader) -> None:
        """Take a connection out: it is refused or gone, and its bytes are counted out."""
        self.line.remove(reader)
        self._pass_no_more(reader)
        self.settle()

    def settle(self) -> None:
        """Let on those whose turn has come. To be called after bytes were released, and now and then."""
        for _ in range(min(self._places(), len(self.line))):
            self.line.take().read_on()
        if self.line:
            self._let_pass()
            self._give_way()
        elif self.passing and self.used <= self.limit:
            self.passing.clear()
            self._passes_in.clear()

    def _let_pass(self) -> None:
        for lane, reader in self.line.firsts(PASSING_AT_ONCE):
            if not (reader.is_within_body or reader.unanswered) and self._passes(lane, reader):
                self.line.take_this(reader)
                reader.read_on()

    def _places(self) -> int:
        room = self.limit - self.used
        return 1 + room // self._room_per_connection if room >= 0 else 0

    def _give_way(self) -> None:
        """Grant the right of way if nobody has it and no answer will ever make room."""
        if self.privileged is not None or self.used <= self.limit or self.used > self.partial:
            return
        stuck = next((reader for reader in self.line if reader.is_within_body), None)
        if stuck is not None:
            self.privileged = stuck
            self.line.take_this(stuck)
            stuck.read_on()

    def __repr__(self) -> str:
        return f"<InflightBudget {self.used} of {self.limit} bytes, {len(self.line)} waiting>"


class IncompleteBody:
    """What one connection has read of a body that is not complete, as the budget counts it."""

    __slots__ = ("_budget", "_reader", "bytes")

    def __init__(self, budget: InflightBudget, reader: Reader) -> None:
        self._budget = budget
        self._reader = reader
        self.bytes = 0

    def grow(self, to_bytes: int) -> None:
        """Count what has been read by now."""
        fresh_bytes = to_bytes - self.bytes
        self.bytes = to_bytes
        self._budget.used += fresh_bytes
        self._budget.partial += fresh_bytes

    def end(self) -> None:
        """Count it out: it is complete, and counted as such, or it was thrown away. The right of way ends, too."""
        self._budget.used -= self.bytes
        self._budget.partial -= self.bytes
        self.bytes = 0
        if self._budget.privileged is self._reader:
            self._budget.privileged = None
