"""One form for each value, whether it comes from a snapshot or from a change list, which encode the same differently.

The form is text, as snapshots have it: NULL is an empty string, a boolean ``t`` or ``f``, a number decimal, an
instant ``YYYY-MM-DD HH:MM:SS[.fff]+00:00``.
"""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

UNCHANGED_TOAST: Final = '"unchanged-toast-datum"'
"""What an update carries, quotes and all, in place of a long value that it does not change."""

_BOOL: Final = 16
_INTEGERS: Final = frozenset({20, 21, 23, 26})
_FLOATS: Final = frozenset({700, 701})
_INSTANTS: Final = frozenset({1114, 1184})
_BOOLEANS: Final = {"true": "t", "t": "t", "false": "f", "f": "f"}
_INSTANT: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d{1,9})?\s*(Z|[+-]\d\d(?::?\d\d)?)?(?:\s*[A-Z]{3,4})?"
)


def canonical(value: str | float | bool | bytes | None, oid: int) -> str:
    """Return a value of this PostgreSQL type in its one form. What is not understood stays as it is."""
    if value is None:
        return ""
    text = _plain(value)
    if oid == _BOOL:
        return _BOOLEANS.get(text.lower(), text)
    if oid in _INTEGERS:
        return _integer(text)
    if oid in _FLOATS:
        return _float(text)
    return _instant(text) if oid in _INSTANTS else text


def _plain(value: str | float | bool | bytes) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)


def _integer(text: str) -> str:
    try:
        return str(int(text))
    except ValueError:
        return text


def _float(text: str) -> str:
    try:
        return repr(float(text))
    except ValueError:
        return text


def _instant(text: str) -> str:
    """Return an instant in UTC with its fraction cut; without a zone it is UTC already."""
    match = _INSTANT.fullmatch(text)
    if match is None:
        return text
    day, clock, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=_zone(zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return text
    digits = (fraction or "").rstrip("0").rstrip(".")
    return f"{moment:%Y-%m-%d %H:%M:%S}{digits}+00:00"


def _zone(text: str | None) -> timezone:
    if text in (None, "Z"):
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)
