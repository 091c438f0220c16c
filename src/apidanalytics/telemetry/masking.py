"""What is a secret in a log line, and how it is masked: tokens, passwords, and the query of a URL, which signs it."""

import re
from collections.abc import Mapping
from typing import Any, Final

MASK: Final = "***"
"""Stands for a secret."""

CUT: Final = "?…"
"""Stands for the query of a URL."""

_SECRET_NAMES: Final = ("token", "authorization", "password", "passwd", "secret")
_URL_NAMES: Final = ("url", "uri", "location")
_BEARER: Final = re.compile(r"\b(bearer)\s+[^\s'\"]+", re.IGNORECASE)
# As in a form or a JSON text: client_secret=..., "accessToken": "...".
_ASSIGNED: Final = re.compile(
    r"((?:access_?token|password|passwd|secret)[\"']?\s*[=:]\s*[\"']?)[^\s\"'&,}]+", re.IGNORECASE
)
_CREDENTIALS: Final = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/?#'\"]*@", re.IGNORECASE)
_QUERY: Final = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s?'\"<>]*)\?[^\s'\"<>]*", re.IGNORECASE)
_PLAIN: Final = (bool, int, float, type(None))


def mask_text(text: str) -> str:
    """Return a text without what follows ``Bearer`` or ``secret=``, and without user, password and query of URLs."""
    text = _BEARER.sub(rf"\1 {MASK}", text)
    text = _CREDENTIALS.sub(rf"\1{MASK}@", text)
    text = _QUERY.sub(rf"\1{CUT}", text)
    return _ASSIGNED.sub(rf"\1{MASK}", text)


def mask_value(name: str, value: Any) -> Any:
    """Return the value of a field so that it may be logged: what it consists of is masked too.

    The end of the name decides: ``token``, ``access_token`` and ``accessToken`` are secrets, ``token_file`` is not.
    """
    if value is None:
        return None
    if name.lower().endswith(_SECRET_NAMES):
        return MASK
    if name.lower().endswith(_URL_NAMES):
        return _cut_query(mask_text(str(value)))
    return _masked(value)


def mask_fields(fields: Mapping[Any, Any]) -> dict[str, Any]:
    """Return fields by name, each masked."""
    named = ((_as_text(name), value) for name, value in fields.items())
    return {name: mask_value(name, value) for name, value in named}


def _cut_query(text: str) -> str:
    address, mark, _ = text.partition("?")
    return f"{address}{CUT}" if mark else text


def _masked(value: Any) -> Any:
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, Mapping):
        return mask_fields(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_masked(item) for item in value]
    return mask_text(_as_text(value))


def _as_text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}".removesuffix(": ")
    return str(value)
