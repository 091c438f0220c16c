"""What a signed URL of the local store binds: method, key, content type, encryption, create-only, the end of its life.

By HMAC-SHA256, with a key that only the server has: it makes the URLs, and it checks what comes back with them.
"""

import hashlib
import hmac
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """One PUT that is allowed."""

    key: str
    """The object's, not encoded."""
    content_type: str
    encrypt: bool
    create_only: bool
    """An object that is there already stays as it is."""
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

    def query(self, permission: Permission) -> str:
        """Return the query of the URL for a PUT."""
        encrypt = "&encrypt=true" if permission.encrypt else ""
        create_only = "&create-only=true" if permission.create_only else ""
        return f"expires={permission.expires_at}{encrypt}{create_only}&signature={self._sign('PUT', permission)}"

    def check(self, method: str, permission: Permission, signature: str, now: float) -> None:
        """Check a request against the signature it brings.

        Raises:
            SignatureError: it was changed, or its time is over.

        """
        if not hmac.compare_digest(self._sign(method, permission).encode(), signature.encode(errors="replace")):
            raise SignatureError("the signature does not match the request")
        if now > permission.expires_at:
            raise SignatureError("the URL has expired")

    def _sign(self, method: str, permission: Permission) -> str:
        flags = f"encrypt={permission.encrypt} create-only={permission.create_only}"
        parts = (method, permission.key, permission.content_type, flags, str(permission.expires_at))
        return hmac.new(self._key, "\n".join(parts).encode(), hashlib.sha256).hexdigest()
