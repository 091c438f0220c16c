"""What can become of one attempt to deliver a file. Which of them count, and what follows, is decided in ``decide``."""

from dataclasses import dataclass
from enum import StrEnum


class Party(StrEnum):
    """Who answered, or did not."""

    ENDPOINT = "collection endpoint"
    STORE = "object store"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """The store has the file: it said so now (2xx), or it had it already (412 on a create-only PUT) without doubt."""

    etag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """No, for this tenant or this file: 400, 403, 404 and the like, or an answer that makes no sense."""

    party: Party
    reason: str
    is_permanent: bool = False
    """The same request would be refused again and again, so that trying it three times is of no use."""
    is_doubtful: bool = False
    """The store may keep other bytes under the name now: "it is there already" means no delivery from here on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """The signed URL's time was over when it was used: another one is asked for, and nobody is to blame."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Faulty:
    """It answered with a fault of its own (5xx, or a redirect to elsewhere): for this tenant, or for everybody."""

    party: Party
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreachable:
    """No connection, no progress for too long, or no complete answer."""

    party: Party
    reason: str
    is_doubtful: bool = False
    """As in ``Refused``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttled:
    """Not now: 429, 503 with ``Retry-After``, S3's SlowDown. Whoever says so is there, and knows what he does."""

    party: Party
    reason: str
    retry_after_seconds: float | None = None
    """How long it asked to be left alone, if it said so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRefused:
    """The endpoint does not take our token (401), or there is none to be had."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """The file itself cannot be read."""

    reason: str


Outcome = Delivered | Refused | Faulty | Unreachable | Throttled | TokenRefused | Unreadable

Failure = Refused | Faulty | Unreachable | Throttled | TokenRefused | Unreadable
"""Every outcome but the good one."""
