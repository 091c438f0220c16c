"""What becomes of a value that must not be stored: pure functions from one JSON value's text to another's.

``null`` hides nothing and stays, whatever is asked for but ``drop``.
"""

import hmac
import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

import msgspec

Change = Callable[[bytes], bytes | None]
"""Returns the new text of a value; None: the whole member goes."""

UNKNOWN: Final = "unknown"
"""Stands for what should be an IP address and is none; RFC 7239 has the same word for it."""

_NULL: Final = b"null"
_QUOTE: Final = b'"'
_CONTAINERS: Final = (b"[", b"{")
_TEXT: Final = msgspec.json.Decoder(str)
_PLAIN_IPV4: Final = re.compile(rb'("(?:[0-9]{1,3}\.){3})[0-9]{1,3}"')
_WITH_PORT: Final = re.compile(r"\[(?P<six>[^\]]*)\](?::[0-9]+)?|(?P<four>[0-9.]+):[0-9]+")
_QUERY: Final = re.compile(r"[?#]")
_PLAIN_QUERY: Final = re.compile(rb"[?#]")


def drop(_value: bytes) -> None:
    """Drop the member."""


def hasher(key: bytes) -> Change:
    """Return what replaces a value by 64 hex digits: HMAC-SHA256 of its text, or of the JSON as sent if it is none."""

    def hash_value(value: bytes) -> bytes:
        if value == _NULL:
            return value
        text = _TEXT.decode(value).encode() if value.startswith(_QUOTE) else value
        return b'"%b"' % hmac.digest(key, text, "sha256").hex().encode()

    return hash_value


def truncate(value: bytes) -> bytes:
    """Cut an IP address to its network, /24 or /48; of a list, as X-Forwarded-For has it, each one."""
    if match := _PLAIN_IPV4.fullmatch(value):
        return match[1] + b'0"'
    if value == _NULL:
        return value
    text = _TEXT.decode(value) if value.startswith(_QUOTE) else ""
    return msgspec.json.encode(", ".join(_truncate_one(part.strip()) for part in text.split(",")))


def _truncate_one(text: str) -> str:
    if match := _WITH_PORT.fullmatch(text):
        text = match["six"] or match["four"] or ""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return UNKNOWN
    return str(_network(address))


def _network(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return IPv6Address(int(address) >> 80 << 80)
    return IPv4Address(int(address) & 0xFFFFFF00)


def cut_query(value: bytes) -> bytes:
    """Cut a URL or path before its query or fragment; a list or object, which may hold one, becomes ``null``."""
    if value.startswith(_CONTAINERS):
        return _NULL
    if not value.startswith(_QUOTE):
        return value
    if b"\\" not in value:
        match = _PLAIN_QUERY.search(value)
        return value if match is None else value[: match.start()] + _QUOTE
    text = _TEXT.decode(value)
    found = _QUERY.search(text)
    return value if found is None else msgspec.json.encode(text[: found.start()])
