"""Durations and sizes as text: ``90s``, ``2m``, ``300ms``; ``32MiB``, ``16MB``. Parser and formatter side by side."""

import re
from decimal import Decimal
from typing import Final

_SECONDS: Final = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}
_BYTES: Final = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
# So many digits are enough for every setting, and few enough for Decimal to stay exact.
_NUMBER: Final = r"[0-9]{1,12}(?:\.[0-9]{1,9})?"
_BARE: Final = re.compile(_NUMBER)
_TERM: Final = re.compile(rf"({_NUMBER}) ?(ms|s|m|h|d)")
_DURATION: Final = re.compile(rf"(?:{_NUMBER} ?(?:ms|s|m|h|d))+")
_SIZE: Final = re.compile(rf"({_NUMBER}) ?([A-Za-z]*)")


def parse_duration(text: str) -> float:
    """Return the seconds of ``90``, ``90s``, ``2m``, ``1h``, ``300ms``, ``7d`` or a sum such as ``1m30s``.

    A bare number is seconds.

    Raises:
        ValueError: it is not a duration.

    """
    if _BARE.fullmatch(text):
        return float(text)
    if not _DURATION.fullmatch(text):
        raise ValueError("not a duration")
    return float(sum(Decimal(number) * _SECONDS[unit] for number, unit in _TERM.findall(text)))


def format_duration(seconds: float) -> str:
    """Return seconds as ``7d``, ``120s`` or ``300ms``; ``parse_duration`` reads it back."""
    exact = Decimal(repr(seconds))
    if exact and exact % 86400 == 0:
        return f"{exact / 86400:f}".split(".")[0] + "d"
    if 0 < exact < 1 and exact * 1000 % 1 == 0:
        return f"{int(exact * 1000)}ms"
    whole = f"{exact:f}"
    return (whole.rstrip("0").rstrip(".") if "." in whole else whole) + "s"


def parse_size(text: str) -> int:
    """Return the bytes of ``1048576``, ``16MB`` (millions), ``32MiB``, ``1GiB`` or ``1.5 GiB``, in any case.

    Raises:
        ValueError: it is not a size, or not a whole number of bytes.

    """
    match = _SIZE.fullmatch(text)
    factor = _BYTES.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ValueError("not a size")
    size = Decimal(match[1]) * factor
    if size % 1:
        raise ValueError("not a whole number of bytes")
    return int(size)


def format_size(size_bytes: int) -> str:
    """Return bytes in the largest binary unit that divides them, as ``32MiB``; ``parse_size`` reads it back."""
    for unit, factor in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size_bytes and size_bytes % factor == 0:
            return f"{size_bytes // factor}{unit}"
    return str(size_bytes)
