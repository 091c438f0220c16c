"""What a judgement is based on. Instants are Unix seconds; the shares of what is judged elsewhere are not here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

LATELY_SECONDS: Final = 3600.0
"""What happened within this time is still worth a finding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """Data that waits in one state."""

    records: int = 0
    files: int = 0
    oldest_at: float | None = None
    """Start of the oldest bucket in it."""
    last_at: float | None = None
    """When the last file came to what is set aside or dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFacts:
    """One ingest worker."""

    index: int
    state: str
    """``down``, ``starting`` or ``running``."""
    restarts: int = 0
    """Within ``LATELY_SECONDS``."""
    is_writable: bool = True
    """The disk took its last write."""
    keys_trouble: str | None = None
    """Why the last batch with an ``Idempotency-Key`` was refused, if it was."""
    scopes_trouble: str | None = None
    """Why it does not answer from the scope data that were published last, if it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantTrouble:
    """A tenant whose uploads fail while others may go through."""

    tenant: str
    since: float
    reason: str
    waiting: Backlog = Backlog()
    """Its files in ``staging/`` and ``failed/``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantPause:
    """A tenant whose uploads somebody paused."""

    tenant: str
    since: float
    waiting: Backlog = Backlog()
    """Its files in ``staging/`` and ``failed/``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeFacts:
    """The scope data in use."""

    version: str | None = None
    """None: there is none, and every batch gets 500."""
    is_configured: bool = True
    trouble: str | None = None
    """Why the source cannot be read now."""
    trouble_since: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessFacts:
    """Who may send batches."""

    is_open: bool = False
    """Other machines can reach the data API, and nothing is asked of them."""
    tokens_in_clear: bool = False
    """Other machines can reach it, and send their tokens without TLS."""
    trouble: str | None = None
    """Why the file of the tokens cannot be used as it is now."""
    trouble_since: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts:
    """A certificate that is shown to who connects."""

    address: str
    """The setting of the address that shows it."""
    good_until: float
    is_for_batches: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFacts:
    """The file system of the data directory."""

    total_bytes: int
    free_bytes: int
    limits_reached: Sequence[str] = ()
    """Which of the limits that were set are reached, and what follows, as sentences."""
    drops_oldest: bool = False
    """Whether the oldest files are given up there, undelivered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadFacts:
    """How delivery goes."""

    stopped_since: float | None = None
    """When everybody's uploads began to fail, so that only probes go out."""
    stopped_reason: str | None = None
    throttled_until: float | None = None
    """Nothing is sent before, because the endpoint or the store asked to be left alone."""
    throttled_reason: str | None = None
    troubles: Sequence[TenantTrouble] = ()
    paused_since: float | None = None
    """When somebody paused all uploads."""
    paused_tenants: Sequence[TenantPause] = ()
    others: Backlog = Backlog()
    """What is staged of the tenants that are neither in trouble nor paused; counted only while any is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackFacts:
    """Spools that could not be packed, and are tried again; and whether it is known at all which there are."""

    put_off: int = 0
    first: str = ""
    """Of these the one that has waited longest: its name."""
    since: float | None = None
    reason: str = ""
    blocked_since: float | None = None
    """Since when a directory of the spools cannot be looked through."""
    blocked_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """The index of idempotency keys."""

    lost: str | None = None
    """What was forgotten with an index that is lost, and until when a repeat matters: a sentence."""
    lost_at: float | None = None
    unread_spools: int = 0
    """Spools that could not be read then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusals:
    """Batches that were not taken in the last minute; a disk that refuses is judged by the disk itself."""

    overloaded: int = 0
    other_5xx: int = 0
    unanswered: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that the judgement looks at."""

    now: float
    state: str
    """Of the agent: ``starting``, ``running``, ``draining`` or ``stopped``."""
    interval_seconds: float
    workers: Sequence[WorkerFacts] = ()
    scopes: ScopeFacts = ScopeFacts()
    access: AccessFacts = AccessFacts()
    certificates: Sequence[CertificateFacts] = ()
    admin_taken: str | None = None
    """The administration address, while another program has it."""
    disk: DiskFacts | None = None
    uploads: UploadFacts = UploadFacts()
    packing: PackFacts = PackFacts()
    keys: KeyFacts = KeyFacts()
    spooled: Backlog = Backlog()
    staged: Backlog = Backlog()
    failed: Backlog = Backlog()
    set_aside: Backlog = Backlog()
    """Ever, like what was dropped."""
    dropped: Backlog = Backlog()
    damaged: int | None = 0
    """Pieces that stand in ``damaged/``, counted up to a bound; None: it cannot be read."""
    refusals: Refusals = Refusals()
