"""The forms of one value. In a snapshot and in a change list they differ; both are as the servers really write them.

===========  ==================================  ==============================================
type         in a SQLite snapshot                in a change (a string, or null)
===========  ==================================  ==============================================
bool         ``t``, ``f``                        ``true``, ``false``
integer      integer                             decimal
float4       real                                widened to a double
timestamp    text in UTC, ``...25.094+00:00``    ``...25.094``, no zone (see ``TimestampForm``)
timestamptz  the same                            ``...25.094+00``
bytea        blob                                the bytes as text, lossy
NULL         ``''`` for text and timestamps      null
===========  ==================================  ==============================================
"""

import struct
from datetime import UTC, datetime
from enum import Enum
from typing import TypeAlias

from tests.apigeesync.tables import BYTEA, FLOAT4, FLOATS, INTEGERS, TIMESTAMP, TIMESTAMPS

Value: TypeAlias = str | int | float | bool | bytes | datetime | None

UNCHANGED_TOAST = '"unchanged-toast-datum"'
"""Stands for a long value that an update did not touch. The quotes are part of it."""


class TimestampForm(Enum):
    """How changes write a timestamp without zone."""

    AS_FOUND = "%Y-%m-%d %H:%M:%S"
    REPAIRED = "%Y-%m-%d %H:%M:%S +0000 UTC"


class UnreadableValueError(Exception):
    """The snapshot server fails on this value, and with it the whole snapshot: a NULL in a float column."""


def declared_type(oid: int) -> str:
    """Return the type that a column of this OID has in a snapshot."""
    if oid in INTEGERS:
        return "integer"
    if oid in FLOATS:
        return "real"
    return "blob" if oid == BYTEA or oid in TIMESTAMPS else "text"


def in_snapshot(value: Value, oid: int) -> str | int | float | bytes | None:
    """Return what a snapshot stores.

    Raises:
        UnreadableValueError: it is one that makes the whole snapshot fail.

    """
    if value is None:
        if oid in FLOATS:
            raise UnreadableValueError
        return None if oid in INTEGERS or oid == BYTEA else ""
    if isinstance(value, bool):
        return "t" if value else "f"
    return _time(value, "%Y-%m-%d %H:%M:%S") + "+00:00" if isinstance(value, datetime) else value


def in_change(value: Value, oid: int, timestamps: TimestampForm = TimestampForm.AS_FOUND) -> str | None:
    """Return what a change list says."""
    if value is None or isinstance(value, bool):
        return None if value is None else str(value).lower()
    if isinstance(value, datetime):
        return _time(value, timestamps.value) if oid == TIMESTAMP else _time(value, "%Y-%m-%d %H:%M:%S") + "+00"
    if isinstance(value, float):
        return repr(_widened(value) if oid == FLOAT4 else value).replace("e", "E")
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _widened(value: float) -> float:
    return float(struct.unpack("f", struct.pack("f", value))[0])


def _time(value: datetime, form: str) -> str:
    """Write it in UTC, with the fraction (no trailing zeros, none if zero) behind the seconds."""
    value = value.astimezone(UTC)
    fraction = f".{value.microsecond:06d}".rstrip("0").rstrip(".")
    return value.strftime(form.replace("%S", "%S" + fraction))
