"""One bound for the bytes of all bodies that a worker holds at once.

A connection that takes the total over the bound is not read any further. It waits in line, first come first served,
until bodies have been answered::

    reading --charge--> over the bound --wait()--> waiting --settle()--> reading
                                                      |
                       nothing will be released ------+--> right of way: reads on, alone, whatever the total

The right of way is what keeps it from locking up: when every byte belongs to a body that is only partly there, no
answer can release any, so the first in line with such a body is let through to its end. That is also how a body
larger than the bound gets in.
"""

from collections import OrderedDict
from typing import Final, Protocol

ROOM_PER_CONNECTION: Final = 64 * 1024
"""One waiting connection more is resumed for each this many free bytes: what one of them may bring at once."""


class Reader(Protocol):
    """A connection that reads bodies."""

    is_within_body: bool
    """Whether part of a body has been read, and part is to come."""

    def read_on(self) -> None:
        """Go on reading: there is room, or the right of way."""


class InflightBudget:
    """Counts the bytes of bodies and lines up the connections that must wait for room."""

    __slots__ = ("limit", "line", "partial", "privileged", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        """Bytes of all bodies being read or unanswered. Connections count in and out by themselves: it is cheaper."""
        self.partial = 0
        """The part of ``used`` in bodies that are not complete yet."""
        self.privileged: Reader | None = None
        """Who has the right of way."""
        self.line: OrderedDict[Reader, None] = OrderedDict()

    @property
    def waiting(self) -> int:
        """Connections that are not read for want of room."""
        return len(self.line)

    def is_closed_to(self, reader: Reader) -> bool:
        """Whether this connection must wait before it reads on."""
        return self.used > self.limit and self.privileged is not reader

    def wait(self, reader: Reader) -> None:
        """Put a connection in line; its ``read_on`` is called when its turn has come."""
        self.line[reader] = None
        self.settle()

    def leave(self, reader: Reader) -> None:
        """Take a connection out of the line: its body is complete, or it is gone, and its bytes are counted out."""
        if self.privileged is reader:
            self.privileged = None
        self.line.pop(reader, None)
        self.settle()

    def settle(self) -> None:
        """Let on those whose turn has come. To be called after bytes were released, and now and then."""
        if not self.line:
            return
        for _ in range(self._places()):
            if not self.line:
                return
            self.line.popitem(last=False)[0].read_on()
        self._give_way()

    def _places(self) -> int:
        room = self.limit - self.used
        return 1 + room // ROOM_PER_CONNECTION if room >= 0 else 0

    def _give_way(self) -> None:
        """Grant the right of way if nobody has it and no answer will ever make room."""
        if self.privileged is not None or self.used <= self.limit or self.used > self.partial:
            return
        stuck = next((reader for reader in self.line if reader.is_within_body), None)
        if stuck is not None:
            self.privileged = stuck
            del self.line[stuck]
            stuck.read_on()

    def __repr__(self) -> str:
        return f"<InflightBudget {self.used} of {self.limit} bytes, {self.waiting} waiting>"
