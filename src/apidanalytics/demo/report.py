"""What the oracle found: counts per tenant, and examples of every fault."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """The ways in which the promise can be broken."""

    LOST = "lost"
    """Acknowledged, and in the lake nowhere under its tenant."""
    DOUBLED = "doubled"
    """In the lake more than once."""
    ALTERED = "altered"
    """In the lake, but not as it was sent plus what enrichment adds."""
    MISPLACED = "misplaced"
    """In the lake under another tenant."""
    REFUSED = "refused"
    """Refused with 4xx or 5xx, and yet in the lake."""
    TORN = "torn"
    """A batch without an answer of which only a part arrived."""
    STRAY = "stray"
    """In the lake, but never sent."""
    UNREADABLE = "unreadable"
    """An object in the lake that is no valid gzip file of whole lines, or not in its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fault."""

    fault: Fault
    tenant: str
    """Whose record it is; for stray and unreadable ones, under whose prefix it lies."""
    subject: str
    """The record's id, or a file."""
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.fault.value}: {self.subject} of {self.tenant}{self.detail and ': '}{self.detail}"


@dataclass(slots=True, kw_only=True)
class TenantCount:
    """Records of one tenant, but for ``files`` and ``size_bytes``. All faults aside, accepted = delivered."""

    accepted: int = 0
    """Acknowledged with 200."""
    delivered: int = 0
    """Of these, in the lake under their tenant and as they should be (once or more)."""
    refused: int = 0
    """Answered 4xx or 5xx."""
    unanswered: int = 0
    """Sent on a connection that ended without an answer: they may be in the lake once, or not at all."""
    unanswered_delivered: int = 0
    """Of these, in the lake."""
    files: int = 0
    size_bytes: int = 0
    """Of the gzip files."""
    lines_bytes: int = 0
    """Of the records in them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The outcome of a comparison."""

    tenants: Mapping[str, TenantCount]
    faults: Mapping[str, Mapping[Fault, int]]
    """Tenant -> fault -> how many records (of ``TORN``: batches; of ``UNREADABLE``: files)."""
    examples: tuple[Finding, ...]
    """A few of each fault."""

    @property
    def holds(self) -> bool:
        """Whether the promise was kept: not one fault, and something was accepted at all."""
        return not any(self.faults.values()) and any(count.accepted for count in self.tenants.values())

    def count(self, fault: Fault, tenant: str | None = None) -> int:
        """Return how often this fault was found, with one tenant or with all."""
        names = self.faults if tenant is None else (tenant,)
        return sum(self.faults.get(name, {}).get(fault, 0) for name in names)

    def total(self) -> TenantCount:
        """Return the sums over all tenants."""
        names = TenantCount.__dataclass_fields__
        return TenantCount(**{name: sum(getattr(count, name) for count in self.tenants.values()) for name in names})
