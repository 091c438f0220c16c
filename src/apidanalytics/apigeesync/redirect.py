"""Where a redirect leads, and what may be sent along. Pure."""

from typing import Final
from urllib.parse import urljoin, urlsplit, urlunsplit

STATUSES: Final = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS: Final = 5


def target_of(url: str, location: str | None) -> str | None:
    """Return the absolute URL behind ``Location``; None when it is none that may be followed."""
    if not location or not location.isascii() or not location.isprintable() or " " in location:
        return None
    try:
        target = urljoin(url, location)
        parts = urlsplit(target)
        was_secure = urlsplit(url).scheme == "https"
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or (was_secure and parts.scheme == "http"):
        return None
    return target


def is_same_origin(url: str, other: str) -> bool:
    """Return whether scheme, host and port are the same: only then do token and names go along."""
    return _origin(url) == _origin(other)


def with_prefix(base: str, url: str) -> str | None:
    """Return the URL below the path of the base, when the server that redirected does not know of that path.

    The snapshot server answers with a path of its own root (``/data?...``); behind a proxy that serves it below
    ``/edgex`` and does not rewrite, the place is ``/edgex/data?...``. None: there is nothing to add.
    """
    prefix, parts = urlsplit(base).path.rstrip("/"), urlsplit(url)
    if not prefix or not is_same_origin(base, url) or parts.path.startswith(f"{prefix}/"):
        return None
    return urlunsplit(parts._replace(path=prefix + parts.path))


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
