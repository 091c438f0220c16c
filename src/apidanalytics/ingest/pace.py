"""How fast the requests of heavy tenants are handled while others are at work."""

from math import inf
from typing import Final

SAVED_SECONDS: Final = 0.002
"""Time in which the worker was not busy is saved for later, up to so much."""
LONGEST_REST_SECONDS: Final = 0.01
"""A slice may always go ahead after so long, even if the others leave no time at all."""
AWAITED_REST_SECONDS: Final = 0.002
"""While the disk is at work, or another tenant waits for it, no slice goes ahead, for so long at most."""


class Pace:
    """Lets a slice of work go ahead as long as the worker is busy for no more than a share of the time."""

    def __init__(self, share: float) -> None:
        """``share``: of the time, above 0 and up to 1."""
        self._share = share
        self._owed = 0.0  # seconds of rest, of which a part is over; negative: saved
        self._now = -inf
        self._busy = 0.0
        self._rests_since: float | None = None

    def may_go(self, now: float, busy: float, *, is_awaited: bool = False) -> bool:
        """Tell whether a slice may go ahead; ``is_awaited``: while the disk is at work, or another tenant waits for it.

        ``now`` and ``busy`` in seconds: the monotonic clock, and for how long the worker was busy so far, whatever
        with.
        """
        owed = self._owed + (busy - self._busy) - self._share * (now - self._now)
        self._owed = min(max(owed, -SAVED_SECONDS), LONGEST_REST_SECONDS)
        self._now, self._busy = now, busy
        rest = LONGEST_REST_SECONDS if self._owed > 0.0 else AWAITED_REST_SECONDS if is_awaited else 0.0
        if rest and self._rests_since is None:
            self._rests_since = now
        if self._rests_since is not None and now - self._rests_since < rest:
            return False
        self._rests_since = None
        return True
