"""Errors as a small tree that tells the caller what to do, and the answers of the data API.

``Refusal`` is what a client is told: a status, a stable ``errorCode`` and a reason. The other exceptions are for
this side of the border: ``ConfigurationError`` stops the start, ``DataDirectoryLocked`` too, and ``DamagedError``
says that something on disk cannot be trusted.
"""

from enum import StrEnum
from typing import Final

import msgspec

MAX_QUOTED: Final = 200
"""Characters of the client's own input that a reason may quote."""


class ErrorCode(StrEnum):
    """Every ``errorCode`` of the data API, with what it means."""

    BAD_REQUEST = "BAD_REQUEST"
    """The request is not well-formed HTTP."""
    BAD_DATA = "BAD_DATA"
    """The body, or a record in it, is not what it should be."""
    CLIENT_NOT_ALLOWED = "CLIENT_NOT_ALLOWED"
    """None of the names in the client's certificate is among ``apidanalytics_api_client_names``."""
    EXPECTATION_FAILED = "EXPECTATION_FAILED"
    """An ``Expect`` header other than ``100-continue``."""
    HEADERS_TOO_LARGE = "HEADERS_TOO_LARGE"
    """The header is over ``apidanalytics_max_header_bytes``."""
    HTTP_VERSION_NOT_SUPPORTED = "HTTP_VERSION_NOT_SUPPORTED"
    """Neither HTTP/1.1 nor HTTP/1.0."""
    IDEMPOTENCY_KEYS_FULL = "IDEMPOTENCY_KEYS_FULL"
    """There are ``apidanalytics_idempotency_max_keys`` keys, none of which is old enough to go."""
    IDEMPOTENCY_KEY_INVALID = "IDEMPOTENCY_KEY_INVALID"
    """An ``Idempotency-Key`` that is not 1 to 255 visible ASCII characters."""
    IDEMPOTENCY_KEY_IN_USE = "IDEMPOTENCY_KEY_IN_USE"
    """Another request with this key was not through in time, or its worker died and it is being looked up."""
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    """Another body was stored under this key."""
    INTERNAL_SEARCH_ERROR = "INTERNAL_SEARCH_ERROR"
    """The scope data could not be asked."""
    INTERNAL_SERVER_ERROR = "INTERNAL_SERVER_ERROR"
    """There is no scope data yet, or a defect of ours."""
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    """A known path, but not with this method; ``Allow`` names those that are."""
    MISSING_FIELD = "MISSING_FIELD"
    """A required member is absent."""
    NOT_FOUND = "NOT_FOUND"
    """There is nothing at this path."""
    NOT_READY = "NOT_READY"
    """``/ready``: batches are not accepted now; the reason says why."""
    NO_RECORDS = "NO_RECORDS"
    """The batch holds no records."""
    OVERLOADED = "OVERLOADED"
    """The buffer stayed full for ``apidanalytics_overload_wait``."""
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    """The body is over a limit: as received, once unzipped, or in records."""
    REQUEST_TIMEOUT = "REQUEST_TIMEOUT"
    """The request did not arrive within ``apidanalytics_request_timeout``."""
    STORAGE_UNAVAILABLE = "STORAGE_UNAVAILABLE"
    """No room, or a failing disk or index of keys; the reason says which. Nothing of the batch was kept."""
    TENANT_NOT_ALLOWED = "TENANT_NOT_ALLOWED"
    """The bearer token is good, but not for this tenant."""
    UNAUTHORIZED = "UNAUTHORIZED"
    """There is no bearer token, or none that ``apidanalytics_api_tokens_file`` knows."""
    UNKNOWN_SCOPE = "UNKNOWN_SCOPE"
    """No tenant behind this scope uuid, or this org and env."""
    UNSUPPORTED_CONTENT_ENCODING = "UNSUPPORTED_CONTENT_ENCODING"
    """A ``Content-Encoding`` other than ``gzip`` or ``identity``."""
    UNSUPPORTED_CONTENT_TYPE = "UNSUPPORTED_CONTENT_TYPE"
    """A ``Content-Type`` other than ``application/json``."""
    UNSUPPORTED_TRANSFER_ENCODING = "UNSUPPORTED_TRANSFER_ENCODING"
    """A ``Transfer-Encoding`` other than ``chunked``."""
    URI_TOO_LONG = "URI_TOO_LONG"
    """The request target is over ``apidanalytics_max_target_bytes``."""


class ApidAnalyticsError(Exception):
    """The root of all exceptions of this package."""


class LookupFailedError(ApidAnalyticsError):
    """The scope data could not be asked: the database is missing, damaged or busy."""


class Refusal(ApidAnalyticsError):  # noqa: N818 - an answer, not a failure
    """The answer to a request that is not accepted. Nothing of its batch is kept."""

    def __init__(self, status: int, code: ErrorCode, reason: str) -> None:
        super().__init__(f"{status} {code}: {reason}")
        self.status = status
        self.code = code
        self.reason = reason

    def body(self) -> bytes:
        """Return ``{"errorCode": ..., "reason": ...}``, always valid JSON."""
        return msgspec.json.encode({"errorCode": self.code.value, "reason": self.reason})


class NotRunningError(ApidAnalyticsError):
    """No agent answers on this data directory's control socket. Exit code 4."""


class NotAllowedError(ApidAnalyticsError):
    """There is an agent, and this user may not ask it. Exit code 1."""


class RefusedError(ApidAnalyticsError):
    """What a command asked for is not there, or cannot be done; the text says why. Exit code 1."""


class ConfigurationError(ApidAnalyticsError):
    """The configuration cannot be used; ``problems`` lists every reason. Exit code 2."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class DataDirectoryLocked(ApidAnalyticsError):  # noqa: N818 - it says what is the case, not that it is wrong
    """Another agent owns the data directory. Exit code 3."""


class DamagedError(ApidAnalyticsError):
    """What is on disk cannot be trusted: it is set aside, counted, and never delivered."""


class NewerFormatError(ApidAnalyticsError):
    """What is on disk was written by a newer version: it is left alone."""


def quote(text: str) -> str:
    """Return what a client sent, cut so that it may stand in a reason (at most ``MAX_QUOTED`` characters)."""
    return text if len(text) <= MAX_QUOTED else text[:MAX_QUOTED]


def bad_data(reason: str) -> Refusal:
    """Return a 400 ``BAD_DATA``."""
    return Refusal(400, ErrorCode.BAD_DATA, reason)


def missing_field(name: str) -> Refusal:
    """Return a 400 ``MISSING_FIELD`` for the member of this name."""
    return Refusal(400, ErrorCode.MISSING_FIELD, f"Missing Required field: {name}")


def not_json() -> Refusal:
    """Return the 400 for a body that is not one JSON object in valid UTF-8."""
    return bad_data("Not a valid JSON payload")
