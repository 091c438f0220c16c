"""The values that travel between the stages. Plain, frozen, and free of behaviour that decides."""

from dataclasses import dataclass
from enum import Enum

import msgspec

from apidanalytics import layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """An organization and environment that may send records."""

    org: str
    """Organization, as it stands in the scope data."""
    env: str
    """Environment, as it stands in the scope data."""
    tenant_id: str
    """Key of this tenant's developer data (``data_scope.scope``)."""
    name: str = ""
    """``<org>~<env>`` with odd characters percent-encoded: the tenant's name in paths, spools and the ledger."""

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", layout.format_tenant(self.org, self.env))


class Developer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Who stands behind an API key. A value that is not known is an empty string."""

    api_product: str = ""
    developer_app: str = ""
    developer_email: str = ""
    developer: str = ""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """To be the one batch of a tenant with this ``Idempotency-Key``."""

    tenant: str
    key: str
    body: bytes
    """Hash of the unzipped body: a repeat has the same one."""
    ticket: int
    """63 random bits, for the claim."""


class Verdict(Enum):
    """What the index of keys says to a wish."""

    GRANTED = "granted"
    """The key was free, and is claimed, durably: store the batch, then settle the claim."""
    REPLAYED = "replayed"
    """The same body is stored under this key: answer 200, store nothing."""
    REUSED = "reused"
    """Another body is stored under this key: answer 422."""
    IN_USE = "in use"
    """Somebody has claimed it and it is open what will become of it: ask again."""
    FULL = "full"
    """There are as many keys as may be: answer 503."""
    FAILED = "failed"
    """The index cannot be read or written: answer 503."""


class Fate(Enum):
    """What became of the batch of a claim."""

    STORED = "stored"
    RELEASED = "released"
    """It is stored nowhere: the key is free again."""
    IN_DOUBT = "in doubt"
    """The disk left it open: what its spool holds will tell."""


class Claim(msgspec.Struct, kw_only=True):
    """That a batch is the one and only with its ``Idempotency-Key``, as the index of keys has granted it."""

    tenant: str
    """Tenant name; every tenant has its own keys."""
    key: str
    """1 to 255 visible ASCII characters."""
    ticket: int
    """63 random bits: tells this claim from an earlier one to the same key, whose time is over."""
    spool: int = 0
    """Number of the spool that its batch was last written to; 0 before. Set by the spool's writer."""


class Batch(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The accepted records of one POST, ready to be made durable."""

    tenant: str
    """Tenant name, ``<org>~<env>`` percent-encoded."""
    start_at: int
    """Start of the bucket: arrival time in Unix seconds, rounded down to the collection interval."""
    records: int
    """Number of records, at least one."""
    lines: bytes
    """One record a line, each line (the last too) ended by a line feed."""
    claim: Claim | None = None
    """What its ``Idempotency-Key`` was granted; None for a batch without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolHeader:
    """What a spool says of itself: all that the names of its files depend on, fixed when it was created."""

    number: int
    """48 random bits; also in the spool's file name."""
    interval_seconds: int
    """Collection interval: a bucket ends this long after its start."""
    max_file_bytes: int
    """A staged file holds at most this many bytes of lines (one batch alone may be larger)."""
    instance_id: str
    created_at: float
    """Unix time."""
    owner: int = 0
    """48 random bits of the worker that made it; 0: from before spools said so."""
    marks_end: bool = False
    """Whether it gets a mark of its end when it is sealed; False: from before spools did."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """Where in a spool one tenant's share of one group commit lies.

    A Struct, because packing makes two of them for each: a tenth of the time that a frozen dataclass takes.
    """

    tenant: str
    start_at: int
    records: int
    bytes: int
    """Length of the lines, as they were before compressing."""
    offset: int
    """Where the stored chunk begins in the file."""
    stored_bytes: int
    """Length of the stored chunk."""
    codec: int
    """0: the lines as they are; 1: zlib."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """A stretch of a file that cannot be trusted."""

    offset: int
    length: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedFile:
    """A closed gzip file of one tenant and start, ready to upload."""

    directory: str
    """Name of its bucket directory."""
    name: str
    tenant: str
    start_at: int
    records: int
    bytes: int
    """Length of the lines, unzipped."""
    size_bytes: int
    """Length of the gzip file."""
    sha256: str
    """Of the gzip file, lower-case hex."""
    md5: str | None = None
    """Of the gzip file, lower-case hex: what stores check and report. None in entries of older ledgers."""
    xxh3: str | None = None
    """Of the gzip file, XXH3 with 128 bits, lower-case hex: what the uploader checks. None in older entries."""


class Outcome(Enum):
    """What became of a batch that passed every check."""

    COMMITTED = "committed"
    """It is as durable as ``apidanalytics_durability`` promises: answer 200."""
    UNAVAILABLE = "unavailable"
    """The disk refused it, and nothing of it is kept: answer 503."""
    NO_ROOM = "no room"
    """The disk had no room for it within its limits, for too long: it was not written, answer 503."""
    OVER_SHARE = "over its share"
    """The same of its tenant's share of the disk."""
    UNKNOWN = "unknown"
    """The disk failed in a way that leaves open whether it is kept: close the connection without an answer."""
