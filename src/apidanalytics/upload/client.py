"""The client of the collection endpoint: ask for a signed URL, then put the file there."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import quote, urljoin, urlsplit

from apidanalytics import failpoints, layout
from apidanalytics.clock import Clock
from apidanalytics.upload.answers import Answer, SignedUrl, is_expired, read_put, read_signed
from apidanalytics.upload.content import Content
from apidanalytics.upload.exchange import Exchanger
from apidanalytics.upload.outcome import Delivered, Expired, Failure, Outcome, Party, Refused, TokenRefused
from apidanalytics.upload.token import TokenSource, TokenUnavailableError
from apidanalytics.upload.turns import Turn
from apidanalytics.upload.verify import checksum_header, confirms, contradiction

CONTENT_TYPE: Final = "application/x-gzip"

_FRESH_SECONDS: Final = 60.0
"""A URL that waited for longer is asked for anew before it is used: how long it is valid, only its endpoint knows."""

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS: Final = 3
_FORBIDDEN: Final = 403
_UNAUTHORIZED: Final = 401
_PRECONDITION_FAILED: Final = 412


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One file to deliver."""

    tenant: str
    """Encoded name."""
    start_at: int
    """Start of the bucket; it makes the partition."""
    name: str
    content: Content
    md5: str
    """Of the content, lower-case hex."""
    turn: Turn
    """Entered while the content is sent."""
    doubt: str | None = None
    """Why the store may keep other bytes under this name since an earlier attempt."""


class CollectionClient:
    """Delivers files through one collection endpoint.

    The token goes to that endpoint's origin only: not to the store, and not along a redirect to another host.
    """

    def __init__(
        self, base_url: str, *, exchanger: Exchanger, token: TokenSource, clock: Clock, encrypt: bool = False
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._exchanger = exchanger
        self._token = token
        self._clock = clock
        self._encrypt = encrypt
        content_type = quote(CONTENT_TYPE, safe="~")
        self._asked_of_all = f"&file_content_type={content_type}{'&encrypt=true' if encrypt else ''}"

    def __repr__(self) -> str:
        return f"<CollectionClient {self._base_url}>"

    async def deliver(self, delivery: Delivery) -> Outcome:
        """Make one attempt; it ends with an outcome, whatever the others answer."""
        outcome, status = await self._sign_ahead_and_put(delivery)
        if isinstance(outcome, Expired) or (isinstance(outcome, Refused) and status == _FORBIDDEN):
            # A 403 that says nothing of an expired URL may still mean that: a new one tells, if it need not wait.
            async with delivery.turn:
                outcome, _ = await self._sign_and_put(delivery)
        return outcome if not isinstance(outcome, Expired) else _always_expired(outcome)

    async def _sign_ahead_and_put(self, delivery: Delivery) -> tuple[Outcome | Expired, int | None]:
        failpoints.hit("upload.before_sign")
        signed = await self.sign(delivery)
        if not isinstance(signed, SignedUrl):
            return signed, None
        failpoints.hit("upload.before_put")
        asked_at = self._clock.monotonic()
        async with delivery.turn:
            if self._clock.monotonic() - asked_at > _FRESH_SECONDS:
                # Others took their time, and the URL's may be over by now.
                result = await self._sign_and_put(delivery)
            else:
                result = await self._put(signed, delivery)
        failpoints.hit("upload.after_put")
        return result

    async def _sign_and_put(self, delivery: Delivery) -> tuple[Outcome | Expired, int | None]:
        signed = await self.sign(delivery)
        return await self._put(signed, delivery) if isinstance(signed, SignedUrl) else (signed, None)

    async def sign(self, delivery: Delivery) -> SignedUrl | Failure:
        """Ask for the signed URL of a file, and put nothing there."""
        url = f"{self._base_url}/analytics?{self._query(delivery)}"
        try:
            answer, token = await self._ask(url)
            if isinstance(answer, Answer) and answer.status == _UNAUTHORIZED:
                await self._token.refused(token)
                if await self._token.current() != token:
                    answer, _ = await self._ask(url)  # the token was replaced
        except TokenUnavailableError as error:
            return TokenRefused(reason=str(error))
        return read_signed(answer, self._clock.now()) if isinstance(answer, Answer) else answer

    async def _ask(self, url: str) -> tuple[Answer | Failure, str | None]:
        token = await self._token.current()
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        for _ in range(_MAX_REDIRECTS):
            answer = await self._exchanger.get(Party.ENDPOINT, url, headers)
            location = _redirect(url, answer) if isinstance(answer, Answer) else None
            if location is None:
                break
            url = location
        return answer, token

    async def _put(self, signed: SignedUrl, delivery: Delivery) -> tuple[Outcome | Expired, int | None]:
        content = delivery.content
        own = {"Content-Type": CONTENT_TYPE, "Content-Length": str(content.size_bytes)}
        if self._encrypt and not any(name.lower() == "x-amz-server-side-encryption" for name in signed.headers):
            own["x-amz-server-side-encryption"] = "AES256"
        checksum = checksum_header(signed.url, signed.headers, delivery.md5)
        headers = {**signed.headers, **checksum, **own}
        put = await self._exchanger.put(Party.STORE, signed.url, headers, content, on_taken=delivery.turn.end)
        if not isinstance(put, tuple):
            return put, None
        answer, sent_all = put
        if is_expired(answer):
            return Expired(reason=f"the {Party.STORE} answered {answer.status}: the signed URL has expired"), None
        may_be_there = answer.status == _PRECONDITION_FAILED and (
            signed.is_create_only or confirms(answer, md5=delivery.md5)
        )
        outcome = read_put(answer, self._clock.now(), sent_all=sent_all, may_be_there=may_be_there)
        return _verified(outcome, answer, delivery), answer.status

    def _query(self, delivery: Delivery) -> str:
        path = quote(layout.format_object_path(delivery.name, delivery.start_at), safe="~")
        return f"tenant={_quoted_tenant(delivery.tenant)}&relative_file_path={path}{self._asked_of_all}"


@lru_cache(maxsize=1024)
def _quoted_tenant(tenant: str) -> str:
    org, env = layout.parse_tenant(tenant)
    return quote(f"{org}~{env}", safe="~")


def _verified(outcome: Outcome, answer: Answer, delivery: Delivery) -> Outcome:
    """Take a delivery back that the store's own words contradict, now or at an earlier attempt."""
    if not isinstance(outcome, Delivered):
        return outcome
    if answer.status >= 300:
        return outcome if delivery.doubt is None or confirms(answer, md5=delivery.md5) else _kept_other(delivery.doubt)
    wrong = contradiction(answer, md5=delivery.md5, size_bytes=delivery.content.size_bytes)
    return outcome if wrong is None else Refused(party=Party.STORE, reason=wrong, is_doubtful=True)


def _kept_other(doubt: str) -> Refused:
    reason = f"it is there already, but not as it was sent: {doubt}"
    return Refused(party=Party.STORE, reason=reason, is_permanent=True, is_doubtful=True)


def _always_expired(expired: Expired) -> Refused:
    return Refused(
        party=Party.STORE, reason=f"{expired.reason}, and so had the next one: do the clocks here and there agree?"
    )


def _redirect(url: str, answer: Answer) -> str | None:
    """Return where a redirect leads, if that is the same origin."""
    location = answer.headers.get("location")
    if answer.status not in _REDIRECTS or location is None:
        return None
    try:
        target = urljoin(url, location)
        same = urlsplit(target)[:2] == urlsplit(url)[:2]
    except ValueError:
        return None
    return target if same and target.isascii() and target.isprintable() and " " not in target else None
