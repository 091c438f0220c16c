"""The answers that say "try again later": made once, because under overload there are many."""

from collections.abc import Mapping
from typing import Final

from apidanalytics.errors import ErrorCode, Refusal
from apidanalytics.ingest.http import Response

_BUSY: Final = {
    ErrorCode.OVERLOADED: (b"1", "The buffer stayed full for too long; try again"),
    ErrorCode.STORAGE_UNAVAILABLE: (
        b"5",
        "The disk has no room or refuses writes; nothing of the batch was kept; try again later",
    ),
    ErrorCode.IDEMPOTENCY_KEY_IN_USE: (b"1", "Another request with this Idempotency-Key is not through; try again"),
    ErrorCode.IDEMPOTENCY_KEYS_FULL: (b"60", "No further Idempotency-Key can be remembered now; try again later"),
}
"""Seconds for ``Retry-After``, and the reason."""


def busy_answers(status: int) -> Mapping[ErrorCode, Response]:
    """Return the answer for each of these codes, all with this status (``apidanalytics_overload_status``)."""
    return {
        code: Response(status, Refusal(status, code, reason).body(), ((b"Retry-After", retry_after),))
        for code, (retry_after, reason) in _BUSY.items()
    }
