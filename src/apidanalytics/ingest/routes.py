"""Which request is for what, and what its headers have to say."""

from typing import Final
from urllib.parse import unquote_to_bytes

from apidanalytics.errors import ErrorCode, Refusal

HEALTH: Final = b"/health"
READY: Final = b"/ready"
PROBES: Final = (HEALTH, READY)

MAX_REMEMBERED: Final = 20_000
"""Paths remembered."""
MAX_REMEMBERED_BYTES: Final = 128
"""Longest of them."""

_SLASH: Final = ord("/")
_PERCENT: Final = ord("%")
JSON: Final = b"application/json"


class Routes:
    """The two routes for batches, below a base path."""

    def __init__(self, base_path: str) -> None:
        base = base_path.strip("/").encode()
        self._prefix = b"/" + base + b"/" if base else b"/"
        self._named = self._prefix if self._prefix == b"/" else self._prefix[:-1]
        self._known: dict[bytes, str | None] = {}

    def scope_of(self, path: bytes) -> str | None:
        """Return the scope uuid in a path, ``""`` for the route without one, and None for any other path."""
        try:
            return self._known[path]
        except KeyError:
            scope = self._read(path)
        if len(path) <= MAX_REMEMBERED_BYTES:
            if len(self._known) >= MAX_REMEMBERED:  # somebody makes paths up; the others are read again
                self._known.clear()
            self._known[path] = scope
        return scope

    def _read(self, path: bytes) -> str | None:
        scope = path[len(self._prefix) :] if path.startswith(self._prefix) else b""
        if not scope or _SLASH in scope or path in PROBES:
            return "" if path == self._named else None
        return (unquote_to_bytes(scope) if _PERCENT in scope else scope).decode("utf-8", "replace")


def check_content_type(value: bytes | None) -> None:
    """Check that a body is said to be JSON.

    Raises:
        Refusal: it is not.

    """
    if value != JSON and (value or b"").partition(b";")[0].strip().lower() != JSON:
        raise Refusal(400, ErrorCode.UNSUPPORTED_CONTENT_TYPE, "Only supported content type is application/json")


def is_zipped(encoding: bytes | None) -> bool:
    """Say whether a body is gzip by its Content-Encoding.

    Raises:
        Refusal: it is something else.

    """
    if not encoding:
        return False
    name = encoding.strip().lower()
    if name not in (b"gzip", b"identity", b""):
        raise Refusal(400, ErrorCode.UNSUPPORTED_CONTENT_ENCODING, "Only supported content encoding is gzip")
    return name == b"gzip"


def not_found() -> Refusal:
    """Return the 404."""
    return Refusal(404, ErrorCode.NOT_FOUND, "There is nothing at this path")


def method_not_allowed(methods: str) -> Refusal:
    """Return the 405 for a path that other methods are for; the answer needs ``Allow`` too."""
    return Refusal(405, ErrorCode.METHOD_NOT_ALLOWED, f"This path is for {methods} only")
