"""Who may send batches, where tokens are asked for.

The header of a client is the same with every request, so what it means is remembered: a request costs one look-up.
Only good headers are; a wrong token costs one hash, and takes the same time whatever is wrong with it.
"""

from collections.abc import Iterable
from typing import Final

from apidanalytics.access.tokens import Token, hash_token
from apidanalytics.errors import ErrorCode, Refusal
from apidanalytics.ingest.http import Response
from apidanalytics.ingest.payload import Find
from apidanalytics.layout import format_tenant
from apidanalytics.model import Tenant

AUTHORIZATION: Final = b"authorization"
MAX_REMEMBERED: Final = 1000
"""Headers remembered; a client may spell the same token in more than one way."""

_SCHEME: Final = b"bearer "
_REALM: Final = b'Bearer realm="apidanalytics"'


def _unauthorized(reason: str, challenge: bytes) -> Response:
    body = Refusal(401, ErrorCode.UNAUTHORIZED, reason).body()
    return Response(401, body, ((b"WWW-Authenticate", challenge),))


MISSING: Final = _unauthorized("A bearer token is required", _REALM)
WRONG: Final = _unauthorized("This bearer token is not valid", _REALM + b', error="invalid_token"')


class Guard:
    """Knows the tokens that are good; none, and nobody is let in, until the agent has said which."""

    def __init__(self) -> None:
        self._tokens: dict[str, Token] | None = None
        self._remembered: dict[bytes, Token] = {}

    def __repr__(self) -> str:
        return "<Guard closed>" if self._tokens is None else f"<Guard of {len(self._tokens)} tokens>"

    @property
    def is_ready(self) -> bool:
        """Whether it knows which tokens are good."""
        return self._tokens is not None

    def renew(self, tokens: Iterable[Token]) -> None:
        """Take these, and no others, from now on."""
        self._tokens = {token.hash: token for token in tokens}
        self._remembered.clear()

    def token(self, header: bytes | None) -> Token | Response:
        """Return the token behind an ``Authorization`` header, or the 401 for it."""
        if header is None:
            return MISSING
        return self._remembered.get(header) or self._look_up(header)

    def lets(self, header: bytes | None, tenant: str, scope: str | None) -> bool:
        """Tell whether the token behind this header, if any, is for a tenant, or for a scope."""
        token = self.token(header)
        return isinstance(token, Token) and (scope in token.scopes or token.allows(tenant))

    def _look_up(self, header: bytes) -> Token | Response:
        given = header[len(_SCHEME) :].strip(b" ")
        if header[: len(_SCHEME)].lower() != _SCHEME or not given:
            return MISSING
        token = (self._tokens or {}).get(hash_token(given))
        if token is None:
            return WRONG
        if len(self._remembered) >= MAX_REMEMBERED:
            self._remembered.clear()
        self._remembered[header] = token
        return token


def check_scope(token: Token, scope: str, tenant: Tenant) -> None:
    """Check that a token is for this scope, or for the tenant behind it.

    Raises:
        Refusal: it is not.

    """
    if scope not in token.scopes and not token.allows(tenant.name):
        raise _not_allowed()


def finder(token: Token, find: Find) -> Find:
    """Return what finds tenants for a token: those that it is not for are refused before anyone looks for them."""

    def find_allowed(org: str, env: str) -> Tenant:
        if not token.allows(format_tenant(org, env)):
            raise _not_allowed()
        return find(org, env)

    return find_allowed


def _not_allowed() -> Refusal:
    return Refusal(403, ErrorCode.TENANT_NOT_ALLOWED, "This bearer token is not for this tenant")
