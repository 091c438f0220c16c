"""The checks of one record, in the order of ``docs/errors.md``, in the profiles basic and strict.

``Rules.check`` is exact for any record and says what is wrong. ``Rules.pass_plain`` is quick, for plain records
only, and may send a good one to the exact check, never a bad one past it.
"""

import math
import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Final

from msgspec import UNSET, Raw, UnsetType

from apidanalytics.errors import Refusal, bad_data, missing_field
from apidanalytics.ingest.decode import END, START, Members, PlainRecord, is_null, is_text

Number = int | Decimal

TOLERANCE_MS: Final = 60_000
"""How far a start may lie in the future (strict)."""
OLDEST_MS: Final = 90 * 86_400_000
"""How far it may lie in the past (strict)."""

_TINY: Final = Decimal("1e-999999999999999999")
_LONGEST_DOUBLE: Final = 308
_NOT_ZERO: Final = re.compile(rb"[^eE]*[1-9]")

NOT_A_NUMBER: Final = f"{START} and {END} has to be number"
IS_ZERO: Final = f"{START} or {END} cannot be 0"
ENDS_BEFORE_START: Final = f"{START} > {END}"
IN_THE_FUTURE: Final = f"{START} cannot be after current time"
TOO_OLD: Final = f"{START} cannot be older than 90 days"


def parse_number(token: bytes) -> Number | None:
    """Return the exact value of a JSON number; None for another JSON value, and for what no double can hold."""
    if token.isdigit() and len(token) <= _LONGEST_DOUBLE:
        return int(token)
    if token[0] not in b"-0123456789" or math.isinf(float(token)):
        return None
    try:
        return Decimal(token.decode())
    except InvalidOperation:  # an exponent of 19 digits: nothing, or next to nothing
        tiny = _TINY if _NOT_ZERO.match(token) else Decimal(0)
        return tiny.copy_negate() if token.startswith(b"-") else tiny


def should_be_text(name: str) -> Refusal:
    """Return the 400 for a member that has to be a string."""
    return bad_data(f"{name} should be a string")


class Rules:
    """What a record has to be. Timestamps are milliseconds, and compared as numbers."""

    def __init__(self, *, is_strict: bool) -> None:
        self._is_strict = is_strict

    def pass_plain(self, records: Sequence[PlainRecord], now: float) -> bool:
        """Say whether all of these are surely good."""
        if self._is_strict:
            return _pass_strict(records, int(now * 1000))
        for record in records:
            end = record.end
            if end is not None and record.start > end:
                return False
        return True

    def check(self, members: Members, now: float) -> None:
        """Check one record.

        Raises:
            Refusal: with the reason of the first rule that is broken.

        """
        if is_null(members.start):
            raise missing_field(START)
        if self._is_strict and is_null(members.end):
            raise missing_field(END)
        start, end = _number(members.start), _number(members.end)
        if start is None:
            raise bad_data(NOT_A_NUMBER)
        if self._is_strict and (start == 0 or end == 0):
            raise bad_data(IS_ZERO)
        if end is not None and start > end:
            raise bad_data(ENDS_BEFORE_START)
        if self._is_strict:
            _check_age(start, int(now * 1000))
        _check_texts(members)


def _pass_strict(records: Sequence[PlainRecord], now_ms: int) -> bool:
    oldest, newest = max(1, now_ms - OLDEST_MS), now_ms + TOLERANCE_MS
    for record in records:
        end = record.end
        if end is None or not oldest <= record.start <= newest or record.start > end:
            return False
    return True


def _number(value: Raw | UnsetType) -> Number | None:
    """Return the number, or None for an absent or null one.

    Raises:
        Refusal: it is something else.

    """
    if value is UNSET or is_null(value):
        return None
    number = parse_number(bytes(value))
    if number is None:
        raise bad_data(NOT_A_NUMBER)
    return number


def _check_age(start: Number, now_ms: int) -> None:
    if start > now_ms + TOLERANCE_MS:
        raise bad_data(IN_THE_FUTURE)
    if start < now_ms - OLDEST_MS:
        raise bad_data(TOO_OLD)


def _check_texts(members: Members) -> None:
    for name in ("client_id", "organization", "environment"):
        value = getattr(members, name)
        if not is_null(value) and not is_text(value):
            raise should_be_text(name)


def check_not_empty(value: Raw | UnsetType, name: str) -> None:
    """Check a member of the body that names the tenant.

    Raises:
        Refusal: it is absent, null or ``""``, or no string.

    """
    if value is UNSET or is_null(value) or bytes(value) == b'""':
        raise missing_field(name)
    if not is_text(value):
        raise should_be_text(name)
