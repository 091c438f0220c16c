"""``/health`` and ``/ready``, which no token is asked for, and everything that there is not."""

from collections.abc import Callable
from typing import Final

from apidanalytics.errors import ErrorCode, Refusal
from apidanalytics.ingest.http import Response
from apidanalytics.ingest.routes import PROBES, READY, method_not_allowed, not_found

_READY: Final = Response(200, b'{"status":"ready"}')
_ALIVE: Final = Response(200, b'{"status":"alive"}')
_FOR_READING: Final = ((b"Allow", b"GET, HEAD"),)


def answer_other(method: bytes, path: bytes, not_ready_because: Callable[[], str | None]) -> tuple[Response, str]:
    """Return the answer to what is no batch, and its error code.

    Raises:
        Refusal: there is nothing at this path.

    """
    if path not in PROBES:
        raise not_found()
    if method not in (b"GET", b"HEAD"):
        return _refusal(method_not_allowed("GET and HEAD"), _FOR_READING)
    trouble = not_ready_because() if path == READY else None
    if trouble is not None:
        return _refusal(Refusal(503, ErrorCode.NOT_READY, trouble))
    return (_READY if path == READY else _ALIVE), ""


def _refusal(refusal: Refusal, headers: tuple[tuple[bytes, bytes], ...] = ()) -> tuple[Response, str]:
    return Response(refusal.status, refusal.body(), headers), refusal.code
