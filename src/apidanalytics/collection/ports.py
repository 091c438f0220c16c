"""What the collection endpoint asks of an object store: a URL that allows one PUT and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from apidanalytics.errors import ApidAnalyticsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """One PUT that is to be allowed."""

    key: str
    """Of the object: not encoded, no ``/`` at its beginning."""
    content_type: str
    encrypt: bool
    """The store shall encrypt the object at rest."""
    asked_at: float
    """Unix time."""
    expires_seconds: int

    @property
    def expires_at(self) -> int:
        """Unix seconds after which the URL allows nothing any more."""
        return int(self.asked_at) + self.expires_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedPut:
    """What the client needs for it. The URL is a secret: whoever has it may write this object."""

    url: str
    headers: Mapping[str, str]
    """To be sent along as they are: the signature may cover them."""


class StoreUnavailableError(ApidAnalyticsError):
    """No URL can be signed now; later it may be possible."""


class Store(Protocol):
    """Signs for one bucket."""

    def sign(self, put: Put) -> SignedPut:
        """Return the URL and its headers. It takes CPU only: it is called on the event loop.

        Raises:
            StoreUnavailableError: there are no credentials at this moment.

        """

    def refresh(self) -> None:
        """Get what signing needs from elsewhere, such as the instance's credentials. It may block.

        Called at start and then every minute. When it fails, what was got before stays in use.

        Raises:
            StoreUnavailableError: it is not to be had.

        """
