"""Bearer tokens: made here, kept by whoever calls; a service knows only their hashes.

A token is 256 random bits, so a plain SHA-256 of it can be neither guessed nor turned back: what slow password hashes
are for, words that people choose, does not arise, and a look-up by hash takes the same time for every wrong token.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from apidanalytics.access.patterns import Pattern

_MARK: Final = "apa_"
"""In front of each token, so that scanners for lost secrets can know it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One token that is good."""

    name: str
    hash: str
    tenants: Sequence[Pattern] = ()
    scopes: frozenset[str] = frozenset()
    """Scope uuids that it is for whatever tenant is behind them; for the data API only."""

    def allows(self, tenant: str) -> bool:
        """Say whether it is for the tenant of this encoded name."""
        return any(pattern.matches(tenant) for pattern in self.tenants)


def make_token() -> str:
    """Return a new token."""
    return _MARK + secrets.token_urlsafe(32)


def hash_token(token: str | bytes) -> str:
    """Return what a service's file holds of it."""
    given = token.encode(errors="surrogateescape") if isinstance(token, str) else token
    return f"sha256:{hashlib.sha256(given).hexdigest()}"
