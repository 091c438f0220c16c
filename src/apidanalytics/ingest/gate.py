"""Whether a connection reads requests, why not, and when its patience ends.

::

    OPEN --last request read, or refused--> ENDING --its answer sent--> LINGERING --peer closes, time over--> CLOSED
      |                                                                    ^
      +--idle for too long ------------------------------------------------+

An open connection may be paused, for several reasons at once. While it is, the clock of a request that is not
complete stands still: the client cannot be blamed.
"""

import asyncio
from math import inf
from typing import Final, Protocol, cast

# The first three pass, the others are how a connection ends, in this order.
UNANSWERED: Final = 1
"""Too many requests of it wait for their answers."""
NO_ROOM: Final = 2
"""The bodies in this worker take too many bytes."""
CHOKED: Final = 4
"""The client does not read its answers."""
ENDING: Final = 8
"""The last request has been read."""
LINGERING: Final = 16
"""The last answer has been written; what still arrives is thrown away."""
CLOSED: Final = 32

LINGER_SECONDS: Final = 2.0

_NAMES: Final = {
    UNANSWERED: "unanswered",
    NO_ROOM: "no room",
    CHOKED: "choked",
    ENDING: "ending",
    LINGERING: "lingering",
    CLOSED: "closed",
}


class CoarseClock(Protocol):
    """Tells the time to within a fraction of a second."""

    now: float
    """Monotonic, in seconds."""


class Gate:
    """Starts and stops the reading of one connection, and keeps its deadline. ``transport`` must be set before use."""

    __slots__ = (
        "_clock",
        "_remaining_seconds",
        "_request_timeout",
        "deadline",
        "halted_by",
        "idle_seconds",
        "is_clocked",
        "lingers",
        "transport",
    )

    def __init__(self, clock: CoarseClock, *, request_timeout: float, idle_seconds: float) -> None:
        self._clock = clock
        self._request_timeout = request_timeout
        self._remaining_seconds = inf  # of the deadline, while paused
        self.transport = cast(asyncio.Transport, None)
        self.idle_seconds = idle_seconds
        """How long the connection may stay open with nothing to do."""
        self.halted_by = 0
        """Why no requests are read: any of the reasons above, or-ed; 0 if they are."""
        self.is_clocked = False
        """Whether the deadline is that of a request that is not complete."""
        self.lingers = True
        """Whether the client may still be sending when its last answer is written, so that it must be waited for."""
        self.deadline = clock.now + idle_seconds
        """On the monotonic clock; infinite if there is none."""

    @property
    def is_ending(self) -> bool:
        """Whether no further request is looked at."""
        return self.halted_by >= ENDING

    @property
    def quiet_since(self) -> float:
        """When the client was last waited for, monotonic: for a request, or the rest of one. Infinite if it is not."""
        if self.halted_by:
            return inf
        return self.deadline - (self._request_timeout if self.is_clocked else self.idle_seconds)

    def rest(self) -> None:
        """Wait for the next request, or for ourselves."""
        self.deadline = self._clock.now + self.idle_seconds

    def start_clock(self) -> None:
        """Begin to count: part of a request is there, and it must be complete in time."""
        if not self.is_clocked:
            self.is_clocked = True
            self.deadline = self._clock.now + self._request_timeout

    def pause(self, reason: int) -> None:
        """Stop reading for one reason (more)."""
        if not self.halted_by:
            self.transport.pause_reading()
            self._remaining_seconds = self.deadline - self._clock.now
            self.deadline = inf
        self.halted_by |= reason
        if reason == CHOKED:
            self.deadline = self._clock.now + self._request_timeout

    def lift(self, reason: int) -> bool:
        """Take one reason away; return whether that was the last, so that reading may go on."""
        self.halted_by &= ~reason
        if self.halted_by:
            if reason == CHOKED:
                self.deadline = inf
            return False
        self.deadline = self._clock.now + (self._remaining_seconds if self.is_clocked else self.idle_seconds)
        return True

    def end(self, *, lingers: bool = True) -> None:
        """Look at no further request."""
        self.is_clocked = False
        self.lingers = lingers
        self.halted_by |= ENDING

    def linger(self) -> None:
        """Wait a little for the client to close: the last answer has been written, or none will be."""
        patience = self._request_timeout if self.halted_by & CHOKED else LINGER_SECONDS
        self.is_clocked = False
        self.halted_by = ENDING | LINGERING
        self.deadline = self._clock.now + patience

    def close(self) -> None:
        """Stop for good: the connection is gone."""
        self.halted_by |= CLOSED
        self.deadline = inf

    def __repr__(self) -> str:
        reasons = [name for reason, name in _NAMES.items() if self.halted_by & reason]
        return f"<Gate {', '.join(reasons) or 'open'}>"
