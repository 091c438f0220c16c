"""The lease of the disk: how many bytes this worker may still hand to the spool. The agent renews it every second.

The agent alone knows how full the disk is. It says up to which count the worker may go, which with all workers together
is no more than there is room; so the disk cannot fill between two of its messages. A batch costs one comparison of
integers, and where tenants have shares, a look into a dictionary.
"""

from collections.abc import Callable, Mapping
from typing import Final

from apidanalytics.model import Batch

UNLIMITED: Final = 1 << 62


class Lease:
    """How much the worker may take. All of it belongs to the event loop."""

    __slots__ = ("_asked", "_shares", "allowed", "ask", "is_full", "on_told", "share", "taken")

    def __init__(self, allowed: int = UNLIMITED) -> None:
        self.taken = 0
        """Bytes of lines handed over since the start."""
        self.allowed = allowed
        """What ``taken`` may become."""
        self.is_full = False
        """Nobody may write: the disk is over a limit, not merely this lease used up."""
        self.ask: Callable[[int], None] = _ask_nobody
        """Asks the agent to renew the lease at once; there is a batch that needs so many bytes."""
        self.on_told: Callable[[], None] = _tell_nobody
        """Called after every message of the agent."""
        self.share: int | None = None
        """What a tenant may take of this lease that is not among ``_shares``; None: all of it."""
        self._shares: dict[str, int] = {}
        self._asked = False

    def __repr__(self) -> str:
        return f"<Lease {'full' if self.is_full else 'open'}: {self.taken} of {self.allowed} bytes>"

    def take(self, batch: Batch) -> bool:
        """Take the room that this batch needs; False when there is none, and then nothing was taken."""
        size = len(batch.lines)
        if self.taken + size > self.allowed:
            self._want(size)
            return False
        if self.share is not None and not self._take_share(batch.tenant, size, self.share):
            return False
        self.taken += size
        return True

    def give_back(self, batch: Batch) -> None:
        """Return what ``take`` took."""
        size = len(batch.lines)
        self.taken -= size
        if self.share is not None:
            self._shares[batch.tenant] = self._shares.get(batch.tenant, self.share) + size

    def is_for(self, batch: Batch) -> bool:
        """Tell whether there is room but for the tenant's share."""
        return self.taken + len(batch.lines) <= self.allowed

    def told(self, *, allowed: int, is_full: bool, share: int | None, shares: Mapping[str, int]) -> None:
        """Follow the agent: a new lease, and new shares for those tenants that have less than others."""
        self.allowed = allowed
        self.is_full = is_full
        self.share = share
        self._shares = dict(shares)
        self._asked = False
        self.on_told()

    def _take_share(self, tenant: str, size: int, share: int) -> bool:
        # A share may be passed by one batch: otherwise a batch larger than a share would wait for ever.
        left = self._shares.get(tenant, share)
        if left <= 0:
            # 0 is how the agent says that all of it is used up; below, this lease is.
            if left < 0:
                self._want(0)
            return False
        self._shares[tenant] = left - size or -1
        return True

    def _want(self, size: int) -> None:
        if not self._asked and not self.is_full:
            self._asked = True
            self.ask(size)


def _ask_nobody(_size: int) -> None:
    """Do nothing: nothing is limited."""


def _tell_nobody() -> None:
    """Do nothing: nobody waits."""
