"""The answers that say "try again later": made once, because under overload there are many."""

from collections.abc import Mapping
from enum import Enum
from typing import Final

from apidanalytics.errors import ErrorCode, Refusal
from apidanalytics.ingest.http import Response
from apidanalytics.model import Outcome

_AGAIN: Final = "nothing of the batch was kept; try again later"


class Busy(Enum):
    """Why a batch cannot be taken now: the code, seconds for ``Retry-After``, and the reason. Nothing of it is kept."""

    BUFFER_FULL = ErrorCode.OVERLOADED, 1, "The buffer stayed full for too long; try again"
    DISK_REFUSES = ErrorCode.STORAGE_UNAVAILABLE, 5, f"The disk refuses writes; {_AGAIN}"
    NO_ROOM = ErrorCode.STORAGE_UNAVAILABLE, 5, f"The disk has no room for more; {_AGAIN}"
    OVER_SHARE = ErrorCode.STORAGE_UNAVAILABLE, 5, f"This tenant has used up its share of the disk; {_AGAIN}"
    KEYS_FAILED = ErrorCode.STORAGE_UNAVAILABLE, 5, f"The index of Idempotency-Keys cannot be used; {_AGAIN}"
    KEY_IN_USE = (
        ErrorCode.IDEMPOTENCY_KEY_IN_USE,
        1,
        "Another request with this Idempotency-Key is not through; try again",
    )
    KEYS_FULL = (
        ErrorCode.IDEMPOTENCY_KEYS_FULL,
        60,
        "No further Idempotency-Key can be remembered now; try again later",
    )

    def __init__(self, code: ErrorCode, retry_after: int, reason: str) -> None:
        self.code = code
        self.retry_after = retry_after
        self.reason = reason

    def answer(self, status: int) -> Response:
        """Return the answer, with this status."""
        body = Refusal(status, self.code, self.reason).body()
        return Response(status, body, ((b"Retry-After", b"%d" % self.retry_after),))


BY_OUTCOME: Final[Mapping[Outcome, Busy]] = {
    Outcome.UNAVAILABLE: Busy.DISK_REFUSES,
    Outcome.NO_ROOM: Busy.NO_ROOM,
    Outcome.OVER_SHARE: Busy.OVER_SHARE,
}


def busy_answers(status: int) -> Mapping[Busy, Response]:
    """Return the answer for each of them, all with this status (``apidanalytics_overload_status``)."""
    return {busy: busy.answer(status) for busy in Busy}
