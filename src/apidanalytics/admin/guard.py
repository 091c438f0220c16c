"""Who is let in, and what a browser may do with the answers.

* A token is asked for where there is one, except on the probes and for the page itself, which holds no data.
* Where neither a token nor client certificates are asked for, the address is on loopback, and only the name in
  ``Host`` could bring a strange page's requests here: names other than our own are refused (DNS rebinding).
* Whatever changes something must come with a header that no other site's page can send without being asked first.
* Answers may load nothing from elsewhere, and may not be framed, cached or sniffed.
"""

import hmac
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from apidanalytics.admin.pages import PATHS
from apidanalytics.file_versions import Version, version_of

log = structlog.get_logger()

CHANGE_HEADER: Final = "X-Apidanalytics"
"""Required, with any value, of requests that change something."""

OPEN: Final = PATHS | {"/health", "/ready"}
"""Paths that need no token: the probes, and the page, whose data does."""

_READING: Final = frozenset({"GET", "HEAD"})

SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Token:
    """The content of the token file, read again whenever it changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version: Version | None = None
        self._token = b""

    def __repr__(self) -> str:
        return f"<Token of {self._path}>"

    def matches(self, given: str) -> bool:
        """Tell whether this is it. A file that cannot be read, or is empty, matches nothing."""
        try:
            version = version_of(self._path.stat())
            if version != self._version:
                self._token, self._version = self._path.read_bytes().strip(), version
        except OSError as error:
            hint = "nobody is let in until the file can be read; chown it to the user of the service"
            log.warning("admin.token_unreadable", path=str(self._path), error=error.strerror, hint=hint)
            return False
        return bool(self._token) and hmac.compare_digest(given.encode(errors="surrogateescape"), self._token)


class Guard:
    """Checks requests. ``is_protected`` tells that only clients with a certificate get this far."""

    def __init__(self, *, token: Token | None, is_protected: bool, own_names: frozenset[str]) -> None:
        self._token = token
        self._is_protected = is_protected
        self._own_names = own_names | {"localhost"}

    def __repr__(self) -> str:
        return f"<Guard token={self._token is not None}, certificates={self._is_protected}>"

    def refusal(self, request: web.Request) -> tuple[int, str] | None:
        """Return (status, reason) when this request is not let in."""
        if self._token is None and not self._is_protected and not self._is_own(request.host):
            return 421, "this address does not answer to that name in Host"
        if self._token is not None and request.path not in OPEN and not self._has_token(request):
            return 401, "a token is required: Authorization: Bearer <token>"
        if request.method not in _READING and not _is_of_this_site(request):
            return 403, f"what changes something needs the header {CHANGE_HEADER}, and must not come from another site"
        return None

    def _has_token(self, request: web.Request) -> bool:
        assert self._token is not None
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self._token.matches(given.strip())

    def _is_own(self, host: str) -> bool:
        """Tell whether this is an address, to which no name was bound again, or a name of ours."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in self._own_names or _is_address(name)


def _is_of_this_site(request: web.Request) -> bool:
    if CHANGE_HEADER not in request.headers:
        return False
    origin = request.headers.get("Origin")
    try:
        return origin is None or urlsplit(origin).netloc == request.host
    except ValueError:
        return False


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
