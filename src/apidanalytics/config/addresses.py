"""Where to listen, and where to call: the forms of addresses that a setting may have."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

MAX_SOCKET_PATH_BYTES: Final = 107
"""Longest path of a unix socket that Linux takes."""

_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
_NUMERIC: Final = re.compile(r"[0-9.]+")
_VISIBLE: Final = re.compile(r"[!-~]+")
_CREDENTIALS: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)?.*@", re.DOTALL)


def parse_listen(text: str) -> tuple[str, int] | Path:
    """Return (host, port), or the path of a unix socket.

    ``127.0.0.1:9000``, ``[::1]:9000``, ``name:9000``, ``:9000`` (host ``""``: every interface), ``unix:/path``.
    Port 0 stands for any free port.

    Raises:
        ValueError: it is none of these.

    """
    if text.startswith("unix:"):
        return _socket_path(text.removeprefix("unix:"))
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError("no port")
    return parse_host(host) if host else "", _port(port)


def parse_host(text: str) -> str:
    """Return a host name or address; the brackets of an IPv6 address go.

    Raises:
        ValueError: it is neither.

    """
    if text.startswith("[") and text.endswith("]"):
        return str(IPv6Address(text[1:-1]))
    if _NUMERIC.fullmatch(text):
        return str(IPv4Address(text))
    if not _NAME.fullmatch(text):
        raise ValueError("not a host")
    return text


def is_loopback(listen: str) -> bool:
    """Tell whether what listens there (``off``: nothing) can be reached from this machine only."""
    if listen == "off" or listen.startswith("unix:"):
        return True
    host, _, _ = listen.rpartition(":")
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False  # a name, which may mean anything, or every interface


def parse_base_url(text: str) -> str:
    """Return an ``http`` or ``https`` URL to which a path is appended; a slash at its end goes.

    Raises:
        ValueError: another scheme, no host, or a user, query or fragment, which do not belong in a base.

    """
    if not _VISIBLE.fullmatch(text) or "?" in text or "#" in text:
        raise ValueError("not a base")
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or "@" in parts.netloc or not parts.hostname:
        raise ValueError("not a base")
    if parts.port == 0:
        raise ValueError("no such port")
    return text.rstrip("/")


def hide_credentials(text: str) -> str:
    """Return an address, right or wrong, without what may be a secret in it: ``user:password@`` and the query."""
    address, mark, _ = _CREDENTIALS.sub(r"\1***@", text).partition("?")
    return f"{address}{mark}…" if mark else address


def _socket_path(text: str) -> Path:
    if not text.startswith("/") or text.endswith("/") or not text.isprintable():
        raise ValueError("not an absolute path")
    if len(text.encode()) > MAX_SOCKET_PATH_BYTES:
        raise ValueError("too long")
    return Path(text)


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > 65535:
        raise ValueError("not a port")
    return int(text)
