"""What the answers of the collection endpoint and of the object store mean. No input of theirs may do harm."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import msgspec

from apidanalytics.upload.outcome import (
    Delivered,
    Failure,
    Faulty,
    Outcome,
    Party,
    Refused,
    Throttled,
    TokenRefused,
    Unreachable,
)

_BEFORE_PATH: Final = re.compile(r"([^/?#]*//)?[^/?#]*")
_VISIBLE: Final = re.compile(r"[!-~]+")
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE: Final = re.compile(r"[\t -~]*")
_STORE_CODE: Final = re.compile(rb"<Code>([A-Za-z0-9.]{1,64})</Code>")
_THERE_ALREADY: Final = frozenset({"BlobAlreadyExists", "UnauthorizedBlobOverwrite"})
"""How Azure answers a create-only PUT of what is there, with 409 or 403 where others say 412."""
_CONDITION_FAILED: Final = frozenset({"", "PreconditionFailed", "ConditionNotMet"})
"""Codes of a 412 that says so. Others forbid: Google answers so what a policy of the organization does not allow."""
_CREATE_ONLY_HEADERS: Final = (("if-none-match", "*"), ("x-goog-if-generation-match", "0"))
_CREATE_ONLY_QUERIES: Final = frozenset({"create-only=true", "x-goog-if-generation-match=0", "ifGenerationMatch=0"})
_EXPIRED: Final = re.compile(rb"(?i)\bexpired|not valid in the specified time frame")
"""S3 and its kin: ``Request has expired``; GCS and the AWS token service: ``ExpiredToken``; Azure: the time frame."""

_SLOW_DOWN: Final = frozenset({"SlowDown", "ServerBusy", "RequestLimitExceeded", "Throttling", "ThrottlingException"})
"""Codes of S3 and Azure by which they throttle, whatever the status."""

_MAY_PASS: Final = frozenset({"BadDigest", "IncompleteBody", "Md5Mismatch", "RequestTimeout", "OperationAborted"})
"""Codes that say 400 but speak of this one transfer only."""

_PERMANENT: Final = frozenset({400, 405, 406, 411, 413, 414, 415, 422, 431})
"""The request itself is at fault. 403 and 404 are not among them: a permission or a bucket may be on its way."""

_OURS: Final = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that the endpoint has no say in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A complete answer."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    """By lower-case name."""
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedUrl:
    """Where a file may be put. The URL is a secret for as long as it is valid."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """To send along."""

    @property
    def is_create_only(self) -> bool:
        """Whether it can be seen that a PUT there replaces nothing: only then a 412 may say "it is there already"."""
        sent = {(name.lower(), value.strip()) for name, value in self.headers.items()}
        query = self.url.partition("?")[2].partition("#")[0]
        return not sent.isdisjoint(_CREATE_ONLY_HEADERS) or not _CREATE_ONLY_QUERIES.isdisjoint(query.split("&"))


def before_path(url: str) -> str:
    """Return scheme, host and port: the same for all URLs of a store, so that they need to be taken apart once."""
    found = _BEFORE_PATH.match(url)
    return found[0] if found else ""


def read_signed(answer: Answer, now: float) -> SignedUrl | Failure:
    """Return what the endpoint's answer means."""
    if answer.status == HTTPStatus.OK:
        return _read_url(answer.body)
    if answer.status == HTTPStatus.UNAUTHORIZED:
        return TokenRefused(reason=f"the {Party.ENDPOINT} answered 401")
    return _failure(Party.ENDPOINT, answer, now)


def read_put(answer: Answer, now: float, *, sent_all: bool, may_be_there: bool) -> Outcome:
    """Return what the store's answer means.

    ``sent_all`` tells whether it had the whole file by then, ``may_be_there`` whether a 412 may say that it had it
    before: of a PUT that is not create-only it says nothing of the kind.
    """
    if _is_there(answer, may_be_there=may_be_there):
        return Delivered(etag=answer.headers.get("etag"))
    if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        if not sent_all:
            reason = f"the {Party.STORE} answered before it had the whole file"
            return Unreachable(party=Party.STORE, reason=reason, is_doubtful=True)
        return Delivered(etag=answer.headers.get("etag"))
    return _failure(Party.STORE, answer, now)


def _is_there(answer: Answer, *, may_be_there: bool) -> bool:
    if answer.headers.get("x-ms-error-code") in _THERE_ALREADY:
        return True
    return may_be_there and answer.status == HTTPStatus.PRECONDITION_FAILED and _code(answer) in _CONDITION_FAILED


def is_expired(answer: Answer) -> bool:
    """Tell whether the store refused because the signed URL's time was over."""
    return answer.status in {400, 401, 403} and _EXPIRED.search(answer.body[:4096]) is not None


def read_retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that a ``Retry-After`` header means, as a number or as a date.

    ``now`` by the clock of who said so: its ``Date``, if it gave one.
    """
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value.strip()[:9])
    at = _read_date(value)
    return None if at is None else max(at - now, 0.0)


def _read_date(value: str | None) -> float | None:
    try:
        at = parsedate_to_datetime(value or "")
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _failure(party: Party, answer: Answer, now: float) -> Failure:
    code = _code(answer)
    reason = f"the {party} answered {answer.status}" + (f" {code}" if code else "")
    told = read_retry_after(answer.headers.get("retry-after"), _read_date(answer.headers.get("date")) or now)
    if answer.status == 429 or code in _SLOW_DOWN or (answer.status == 503 and told is not None):
        return Throttled(party=party, reason=reason, retry_after_seconds=told)
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return Faulty(party=party, reason=reason)
    if party is Party.ENDPOINT and 300 <= answer.status < 400:
        # A portal or a moved endpoint does this to everybody.
        return Faulty(party=party, reason=f"{reason}, a redirect that is not followed")
    return Refused(party=party, reason=reason, is_permanent=answer.status in _PERMANENT and code not in _MAY_PASS)


def _code(answer: Answer) -> str:
    """Return the store's own name of the trouble: in the XML, or Azure's header."""
    found = _STORE_CODE.search(answer.body)
    return found[1].decode() if found else re.sub(r"[^A-Za-z0-9.]", "", answer.headers.get("x-ms-error-code", ""))[:64]


def _read_url(body: bytes) -> SignedUrl | Refused:
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        is_page = body.lstrip()[:1] == b"<"
        return _senseless("is not JSON but a page, as of a login or a proxy" if is_page else "is not JSON")
    if not isinstance(document, dict):
        return _senseless("is not a JSON object")
    url, headers = document.get("url"), document.get("headers")
    problem = _url_problem(url) or _headers_problem(headers)
    if problem is not None:
        return _senseless(problem)
    return SignedUrl(url=str(url), headers={name: value for name, value in (headers or {}).items() if _may_say(name)})


def _senseless(what: str) -> Refused:
    return Refused(party=Party.ENDPOINT, reason=f"the {Party.ENDPOINT}'s answer {what}")


def _url_problem(url: object) -> str | None:
    if not isinstance(url, str):
        return 'has no string "url"'
    usable = _VISIBLE.fullmatch(url) and _is_usable(before_path(url))
    return None if usable else 'has a "url" that is not an absolute http or https URL'


@lru_cache(maxsize=64)
def _is_usable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(
            parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and "@" not in parts.netloc
        )
    except ValueError:
        return False


def _headers_problem(headers: object) -> str | None:
    if headers is None:
        return None
    usable = isinstance(headers, dict) and all(
        isinstance(value, str) and _HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value)
        for name, value in headers.items()
    )
    return None if usable else 'has "headers" that are not an object of header names and values'


def _may_say(name: str) -> bool:
    return name.lower() not in _OURS and not name.lower().startswith("proxy-")
