"""Which connections close when a worker has as many as it may, so that others come in.

A client that opens all of them and does nothing with them would keep everybody else out. So those close that have
been quiet for a while, and first those of the client address that has most.
"""

import select
import socket
from collections import Counter
from collections.abc import Iterable, Sequence
from heapq import nsmallest
from typing import Protocol, TypeVar


class Connection(Protocol):
    """An open connection."""

    @property
    def peer(self) -> str:
        """The client's address, without its port."""

    @property
    def quiet_since(self) -> float:
        """When the last answer was sent, or the request began that is not complete; infinite while it waits for us."""

    @property
    def is_within_request(self) -> bool:
        """Whether part of a request has been read, and part is to come."""


C = TypeVar("C", bound=Connection)


def to_close(connections: Iterable[C], *, quiet_since: float, at_most: int) -> list[C]:
    """Return those to close, of those that were quiet all the time since then.

    The address with most connections comes first; of one address, those between two requests, longest quiet first.
    """
    connections = list(connections)
    held = Counter(connection.peer for connection in connections)

    def order(connection: C) -> tuple[int, bool, float]:
        return -held[connection.peer], connection.is_within_request, connection.quiet_since

    quiet = (connection for connection in connections if connection.quiet_since <= quiet_since)
    return nsmallest(at_most, quiet, key=order)


def is_anyone_waiting(listening: Sequence[socket.socket]) -> bool:
    """Tell whether a connection waits in an accept queue."""
    poll = select.poll()
    for one in listening:
        poll.register(one, select.POLLIN)
    return bool(poll.poll(0))
