"""What a signed URL binds: method, key, content type, encryption and the end of its life, by HMAC-SHA256."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

PREFIX: Final = "/lake/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """One PUT that is allowed."""

    key: str
    """``<tenant>/date=.../time=.../<file>``, the tenant's name encoded as on disk."""
    content_type: str
    encrypt: bool
    expires_at: int
    """Unix seconds."""


class SignatureError(Exception):
    """The URL does not allow this."""


class UrlSigner:
    """Makes such URLs and checks them, with a key that nobody else has."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "<UrlSigner>"

    def path(self, permission: Permission) -> str:
        """Return path and query of the URL for a PUT."""
        encrypt = "&encrypt=true" if permission.encrypt else ""
        query = f"expires={permission.expires_at}{encrypt}&signature={self._sign('PUT', permission)}"
        return f"{PREFIX}{quote(permission.key)}?{query}"

    def check(self, method: str, permission: Permission, signature: str, now: float) -> None:
        """Check a request against the signature it brings.

        Raises:
            SignatureError: it was changed, or its time is over.

        """
        if not hmac.compare_digest(self._sign(method, permission), signature):
            raise SignatureError("the signature does not match the request")
        if now > permission.expires_at:
            raise SignatureError("the URL has expired")

    def _sign(self, method: str, permission: Permission) -> str:
        parts = (method, permission.key, permission.content_type, str(permission.encrypt), str(permission.expires_at))
        return hmac.new(self._key, "\n".join(parts).encode(), hashlib.sha256).hexdigest()
