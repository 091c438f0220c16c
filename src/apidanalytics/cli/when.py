"""Instants as people type them."""

import re
from datetime import UTC, datetime
from typing import Final

from apidanalytics.errors import ConfigurationError

_AGES: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AGE: Final = re.compile(r"([0-9]{1,9})([smhdw])")


def parse_when(option: str, text: str | None, now: float) -> float:
    """Return the Unix time that an option's value names: an age such as ``2h``, or a time (UTC unless it says so).

    None is the beginning of time.

    Raises:
        ConfigurationError: it is neither.

    """
    if text is None:
        return 0.0
    if age := _AGE.fullmatch(text):
        return now - int(age[1]) * _AGES[age[2]]
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        problem = f"{option}: {text!r} should be an age such as 2h or 7d, or a time such as 2026-01-31T12:00"
        raise ConfigurationError([problem]) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
