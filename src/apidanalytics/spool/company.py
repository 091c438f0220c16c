"""Who posts side by side: whether their shares differ much, and which tenants have far more than others."""

from collections.abc import Iterable
from math import inf
from typing import Final

COMPANY_SECONDS: Final = 1.0
"""Company is even again when it was not uneven for so long."""
UNEVEN: Final = 4
"""Shares differ much when one is more than so many times another."""
HEAVY: Final = 16
"""A tenant is heavy when it has at least this part (one in so many) of all: of many that differ a little, none is."""
PERIOD_SECONDS: Final = 0.5
"""Who is heavy is told from this period and the one before it."""
NOBODY: Final[frozenset[str]] = frozenset()


class Company:
    """Whether tenants of very different shares post side by side.

    Then those that have less must not wait for large groups.
    Where there is but one, or all have much the same, everybody waits for his own, and large groups cost less.
    """

    def __init__(self) -> None:
        self.heavy = NOBODY
        """Tenants that have far more than another one; as of the last group."""
        self._last: dict[str, int] = {}
        self._until = -inf
        self._period: dict[str, int] = {}
        self._period_before: dict[str, int] = {}
        self._period_ends_at = -inf
        self._look_at = -inf

    def lately(self) -> set[str]:
        """Return whose the batches of the last periods were; any thread may ask."""
        return self._period.keys() | self._period_before.keys()

    def is_even(self, now: float) -> bool:
        """Tell whether no tenant had much more than another lately."""
        return now >= self._until

    def saw(self, batches: Iterable[tuple[str, int]], now: float) -> None:
        """Take note of the tenants and bytes of the batches of a group, together with the group before it."""
        shares: dict[str, int] = {}
        for tenant, size in batches:
            shares[tenant] = shares.get(tenant, 0) + size
        last, self._last = self._last, shares
        self._count(shares, now)
        if len(shares) > 1 or shares.keys() != last.keys():
            together = [shares.get(tenant, 0) + last.get(tenant, 0) for tenant in shares.keys() | last.keys()]
            if max(together) > UNEVEN * min(together):
                self._until = now + COMPANY_SECONDS
        if self.is_even(now):
            self.heavy = NOBODY
        elif now >= self._look_at:
            self._look_at = now + PERIOD_SECONDS / 10
            self._look()

    def _count(self, shares: dict[str, int], now: float) -> None:
        if now >= self._period_ends_at:
            is_next = now < self._period_ends_at + PERIOD_SECONDS
            self._period_before = self._period if is_next else {}
            self._period = {}
            self._period_ends_at = now + PERIOD_SECONDS
        period = self._period
        for tenant, size in shares.items():
            period[tenant] = period.get(tenant, 0) + size

    def _look(self) -> None:
        sizes = self._period_before.copy()
        for tenant, size in self._period.items():
            sizes[tenant] = sizes.get(tenant, 0) + size
        least = max(min(sizes.values()) * UNEVEN, sum(sizes.values()) / HEAVY)
        heavy = frozenset(tenant for tenant, size in sizes.items() if size > least)
        if heavy != self.heavy:
            self.heavy = heavy
