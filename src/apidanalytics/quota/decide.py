"""Who may still write how much, from the limits and one measurement.

Every byte in a spool counts twice: packing needs as much room again before the spool can go. So what is packed,
uploaded and deleted never waits for room that new batches took.

::

              high-water: no room for more            low-water: 9/10 of that, or 11/10 of the reserve
    open ---------------------------------> full ---------------------------------------------------> open
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from apidanalytics.config import Settings

RESUME_AT: Final = 0.9
"""Of a limit: having reached it, service goes on once usage is below this."""
_LISTED_BELOW: Final = 4
"""Tenants are listed when they have less than a quarter of their share left; all others may take that much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The settings of this room."""

    max_bytes: int | None = None
    """``apidanalytics_max_disk_bytes``"""
    min_free_bytes: int = 0
    """``apidanalytics_min_free_disk_bytes``"""
    tenant_max_bytes: int | None = None
    """``apidanalytics_tenant_max_disk_bytes``"""
    drops_oldest: bool = False
    """``apidanalytics_full_policy``"""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the limits that the settings give."""
        return cls(
            max_bytes=settings.max_disk_bytes,
            min_free_bytes=settings.min_free_disk_bytes,
            tenant_max_bytes=settings.tenant_max_disk_bytes,
            drops_oldest=settings.full_policy == "drop_oldest",
        )

    @property
    def are_any(self) -> bool:
        """Tell whether anything is limited."""
        return bool(self.max_bytes or self.min_free_bytes or self.tenant_max_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """One measurement."""

    used_bytes: int
    """Of everything in the data directory, spools included."""
    spooled_bytes: int
    """Of the spools, open ones too."""
    free_bytes: int
    """That the file system has left."""
    files_by_tenant: Mapping[str, int] = field(default_factory=dict)
    """Bytes of staged and failed files."""
    spooled_by_tenant: Mapping[str, int] = field(default_factory=dict)
    """Measured only where tenants have a limit."""

    def of(self, tenant: str) -> int:
        """Return what counts against a tenant's share."""
        return self.files_by_tenant.get(tenant, 0) + 2 * self.spooled_by_tenant.get(tenant, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What follows from a measurement."""

    room_bytes: int = 0
    """That all workers together may add to their spools."""
    full: str | None = None
    """Why nobody may add anything; None: there is room."""
    full_tenants: frozenset[str] = frozenset()
    """Over their share."""
    share_bytes: int | None = None
    """That a tenant may add which is not in ``shares``; None: as much as there is room."""
    shares: Mapping[str, int] = field(default_factory=dict)
    drop_bytes: int = 0
    """To be dropped, of the oldest files of all."""
    drop_of_tenants: Mapping[str, int] = field(default_factory=dict)
    """To be dropped, of the oldest files of these tenants."""


OPEN: Final = Decision()


def decide(limits: Limits, usage: Usage, before: Decision = OPEN, wanted_bytes: int = 0) -> Decision:
    """Return what holds now, given what held before, and how much room somebody waits for."""
    marks = _marks(limits, usage)
    full = next((mark.name for mark in marks if mark.is_passed(wanted_bytes, was_full=before.full is not None)), None)
    over = _full_tenants(limits, usage, before.full_tenants)
    drops = limits.drops_oldest
    return Decision(
        room_bytes=0 if full else max(min(mark.room_bytes for mark in marks), 0),
        full=full,
        full_tenants=over,
        share_bytes=None if limits.tenant_max_bytes is None else limits.tenant_max_bytes // _LISTED_BELOW,
        shares=_shares(limits, usage, over),
        drop_bytes=max(2 * (mark.slack_bytes - mark.room_bytes) + 1 for mark in marks) if full and drops else 0,
        drop_of_tenants={tenant: _excess_of(limits, usage, tenant) for tenant in over} if drops else {},
    )


@dataclass(frozen=True, slots=True)
class _Mark:
    """One limit: the room below its high-water mark, and below its low-water mark how much there is at least."""

    name: str
    room_bytes: int
    slack_bytes: int

    def is_passed(self, wanted_bytes: int, *, was_full: bool) -> bool:
        if was_full:
            return self.room_bytes < self.slack_bytes
        # Room that is too small for those who wait is none; but what is larger than any room may not stop the others.
        return self.room_bytes <= 0 or self.room_bytes < min(wanted_bytes, self.slack_bytes)


def _marks(limits: Limits, usage: Usage) -> list[_Mark]:
    # Halved, because whatever is added to a spool is needed once more to pack it.
    reserve = limits.min_free_bytes
    left = (usage.free_bytes - usage.spooled_bytes - reserve) // 2
    marks = [_Mark("apidanalytics_min_free_disk_bytes", left, _slack(reserve))]
    if limits.max_bytes is not None:
        left = (limits.max_bytes - usage.used_bytes - usage.spooled_bytes) // 2
        marks.append(_Mark("apidanalytics_max_disk_bytes", left, _slack(limits.max_bytes)))
    return marks


def _slack(limit: int) -> int:
    return limit // 10 // 2  # the tenth between the two marks


def _full_tenants(limits: Limits, usage: Usage, before: frozenset[str]) -> frozenset[str]:
    limit = limits.tenant_max_bytes
    if limit is None:
        return frozenset()
    known = usage.files_by_tenant.keys() | usage.spooled_by_tenant.keys()
    return frozenset(t for t in known if usage.of(t) >= limit * (RESUME_AT if t in before else 1))


def _shares(limits: Limits, usage: Usage, over: frozenset[str]) -> dict[str, int]:
    limit = limits.tenant_max_bytes
    if limit is None:
        return {}
    known = usage.files_by_tenant.keys() | usage.spooled_by_tenant.keys()
    left = {tenant: 0 if tenant in over else (limit - usage.of(tenant)) // 2 for tenant in known}
    return {tenant: room for tenant, room in left.items() if room < limit // _LISTED_BELOW}


def _excess_of(limits: Limits, usage: Usage, tenant: str) -> int:
    assert limits.tenant_max_bytes is not None
    return max(int(usage.of(tenant) - limits.tenant_max_bytes * RESUME_AT) + 1, 0)
