"""Instants as they stand in names: ``yyyyMMddHHmmss`` and ``yyyyMMddHHmmss.SSS``, always UTC."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

_TIME: Final = "%Y%m%d%H%M%S"
_TIME_LENGTH: Final = 14


def format_instant(at: int) -> str:
    """Return Unix seconds as ``yyyyMMddHHmmss``, UTC."""
    return datetime.fromtimestamp(at, UTC).strftime(_TIME)


@lru_cache(maxsize=1024)
def parse_instant(text: str) -> int:
    """Return the Unix seconds of ``yyyyMMddHHmmss``, UTC.

    Raises:
        ValueError: there is no such instant.

    """
    if len(text) != _TIME_LENGTH or not (text.isascii() and text.isdigit()):
        raise ValueError("not an instant")
    # strptime takes ten times as long. All files of an interval have the same two.
    month, day, hour, minute, second = (int(text[at : at + 2]) for at in range(4, _TIME_LENGTH, 2))
    return int(datetime(int(text[:4]), month, day, hour, minute, second, tzinfo=UTC).timestamp())


def format_recovery_time(at: float) -> str:
    """Return Unix time as ``yyyyMMddHHmmss.SSS``, UTC."""
    milliseconds = int(at * 1000)
    return f"{format_instant(milliseconds // 1000)}.{milliseconds % 1000:03d}"
