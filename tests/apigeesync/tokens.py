"""The token server: it gives bearer tokens to who knows the secret, and knows which of them are still good."""

import secrets
import time
from collections.abc import Mapping
from typing import Any


class Tokens:
    """All attributes may be changed at any time."""

    def __init__(self, *, key: str = "consumer-key", secret: str = "consumer-secret") -> None:
        self.key = key
        self.secret = secret
        self.lifetime_seconds: float = 3599
        """How long the next token is good."""
        self.expires_in: object = None
        """What the next answer says of that, instead of the truth: ``"3599"``, ``-1`` ..."""
        self.is_rfc_spelling = False
        """Answer with the names of RFC 6749 (``access_token``), not with those of Apigee (``accessToken``)."""
        self.issued: list[str] = []
        self._expires_at: dict[str, float] = {}

    def issue(self, form: Mapping[str, str]) -> dict[str, Any] | None:
        """Return the answer with a new token; None if the client is not who it says."""
        given = (form.get("grant_type"), form.get("client_id"), form.get("client_secret"))
        if given != ("client_credentials", self.key, self.secret):
            return None
        token = secrets.token_urlsafe(18)
        self.issued.append(token)
        self._expires_at[token] = time.monotonic() + self.lifetime_seconds
        expires_in = int(self.lifetime_seconds) if self.expires_in is None else self.expires_in
        if self.is_rfc_spelling:
            return {"access_token": token, "expires_in": expires_in, "token_type": "Bearer"}
        return {
            "accessToken": token,
            "expiresIn": expires_in,
            "issuedAt": int(time.time() * 1000),
            "applicationName": "stand-in",
            "scope": "",
            "status": "approved",
            "apiProductList": ["apid"],
            "developerEmail": "developer@stand-in.example",
            "tokenType": "BearerToken",
            "clientId": self.key,
            "refreshTokenExpiresIn": 0,
            "refreshCount": 0,
        }

    def accepts(self, authorization: str) -> bool:
        """Return whether this header carries a token that is good now."""
        scheme, _, token = authorization.partition(" ")
        return scheme.lower() == "bearer" and self._expires_at.get(token.strip(), 0.0) > time.monotonic()

    def revoke(self) -> None:
        """Let no token be good any more; the next request with one gets 401."""
        self._expires_at.clear()
