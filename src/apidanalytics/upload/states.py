"""The values of the ledger: what is known of a file, and in which state it is.

::

    stage() --> STAGED --uploaded--> UPLOADED --forget--> (only its totals stay)
                 ^  |
        revived  |  | gave up
                 |  v
                FAILED          STAGED or FAILED --cannot be delivered--> SET_ASIDE --found again--> STAGED or FAILED
                                STAGED or FAILED --no room, by policy--> DROPPED --was on its way, arrived--> UPLOADED
"""

from dataclasses import dataclass
from enum import StrEnum

from apidanalytics.model import StagedFile


class State(StrEnum):
    """What became of a file. Totals are kept by these, and by ``ACCEPTED``, which no file is in."""

    ACCEPTED = "accepted"
    """Committed by a worker and counted once, when its spool was packed."""
    STAGED = "staged"
    """Stands in ``staging/`` and will be sent."""
    FAILED = "failed"
    """Gave up for now; stands in ``failed/``."""
    UPLOADED = "uploaded"
    """The object store has it; the local file is gone or about to go."""
    SET_ASIDE = "set_aside"
    """Cannot be delivered: damaged, or no longer there."""
    DROPPED = "dropped"
    """Removed undelivered, to make room, because ``apidanalytics_full_policy: drop_oldest`` was chosen."""


@dataclass(frozen=True, slots=True)
class Count:
    """An amount of data."""

    records: int = 0
    bytes: int = 0
    """Of lines, unzipped."""
    files: int = 0

    def __add__(self, other: "Count") -> "Count":
        return Count(self.records + other.records, self.bytes + other.bytes, self.files + other.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFile:
    """All that the ledger knows of one file."""

    id: int
    """Grows with every file that is staged."""
    file: StagedFile
    state: State
    attempts: int
    """Attempts that counted since it was last staged."""
    next_attempt_at: float
    """Unix time before which it is not sent; 0: at once."""
    staged_at: float
    settled_at: float | None
    """When it came into its present state, unless that is STAGED."""
    etag: str | None
    """What the store called the object's content."""
    reason: str | None
    """Why the last attempt failed."""
    doubt: str | None = None
    """Why the store may keep other bytes under the name since an attempt; then "already there" is a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Which failed files are meant; None: no matter."""

    tenant: str | None = None
    name: str | None = None
    """A file's name, or its beginning."""
    before: float | None = None
    """Unix time: those that failed before, also those that failed before the clock was set back."""

    def has(self, known: LedgerFile, now: float) -> bool:
        """Tell whether this file is one of them."""
        failed_at = known.settled_at or 0.0
        return (
            known.state is State.FAILED
            and (self.tenant is None or known.file.tenant == self.tenant)
            and (self.name is None or known.file.name.startswith(self.name))
            and (self.before is None or failed_at < self.before or failed_at > now)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A staged file in the uploader's queue: as little as will do, for there may be many."""

    id: int
    tenant: str
    start_at: int
    next_attempt_at: float = 0.0
