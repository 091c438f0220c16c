"""What an audit finds wrong."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The kinds of difference, as ``--json`` names them."""

    BOOKS = "books"
    """Accepted is not what the states add up to."""
    TOTALS = "totals"
    """The ledger's running totals are not the sum of its files."""
    LEDGER = "ledger"
    """The ledger cannot be read, or SQLite finds damage in it."""
    SPOOL_GONE = "spool_gone"
    """A spool was counted and not all of it staged, and it is not there."""
    SPOOL_DAMAGED = "spool_damaged"
    """Committed records in a spool cannot be read any more, or not by this version."""
    GONE = "gone"
    """The ledger has a file that is not there."""
    UNKNOWN = "unknown"
    """A file or an object is there that the ledger does not know."""
    DOUBLED = "doubled"
    """The same file stands in two places."""
    CHANGED = "changed"
    """A file is not what the ledger says: its size, its SHA-256, its lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is not as it should be."""

    kind: Kind
    tenant: str
    """Encoded name; ``""`` where it is nobody's."""
    subject: str
    """What it is about. Kind, tenant and subject together are the same in a second look."""
    sentence: str
    """For people."""

    @property
    def key(self) -> tuple[Kind, str, str]:
        """What tells it from others."""
        return self.kind, self.tenant, self.subject
