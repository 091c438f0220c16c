"""One HTTP request and its whole answer; what goes wrong on the way comes back as a value, without any URL in it."""

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Final

from apidanalytics import __version__
from apidanalytics.outgoing.proxy import Proxy
from apidanalytics.upload.answers import Answer
from apidanalytics.upload.connection import Connection, ConnectionEndedError
from apidanalytics.upload.content import Content
from apidanalytics.upload.outcome import Party, Unreachable, Unreadable
from apidanalytics.upload.pool import NotConnectedError, Origin, Pool, reason_of

CONTINUE_SECONDS: Final = 1.0
"""How long ``100 Continue`` is waited for: a server need not know it (RFC 9110, section 10.1.1)."""

EAGER_BYTES: Final = 1 << 20
"""A body of up to this length does not wait for it where ``Expect`` is known: what a refusal would save costs less.

It stops at a refusal anyway; curl draws the line here, too. Where it is not yet known, only a shorter one goes at once:
what answers before it was sent anything is noticed, and what answers a body that it never reads is not.
"""

_TOGETHER_BYTES: Final = 64 << 10
"""One of up to this length goes together with its head."""

_NONE_WAITS: Final = sys.maxsize
_ALL_WAIT: Final = -1

_MOST_ORIGINS: Final = 1000
"""Of which is remembered how they take ``Expect``."""


class Exchanger:
    """Sends requests over kept connections, through the proxy if there is one."""

    def __init__(self, *, timeout_seconds: float, proxy: Proxy | None = None, ca_bundle: Path | None = None) -> None:
        self._timeout_seconds = timeout_seconds
        self._proxy = proxy
        self._ca_bundle = ca_bundle
        self._pool: Pool | None = None
        self._eager_bytes: dict[Origin, int] = {}  # up to which length a body does not wait, where that was learned

    async def open(self) -> None:
        """Get ready.

        Raises:
            OSError: the CA bundle cannot be read (``ssl.SSLError`` when it is none).

        """
        context = await asyncio.to_thread(ssl.create_default_context, cafile=self._ca_bundle)
        self._pool = Pool(context=context, proxy=self._proxy, connect_seconds=self._timeout_seconds)

    async def aclose(self) -> None:
        """Close all connections; closing twice is fine."""
        if self._pool is not None:
            self._pool.close()
            await asyncio.sleep(0)  # for the transports to end

    async def get(self, party: Party, url: str, headers: Mapping[str, str]) -> Answer | Unreachable:
        """Send a GET; redirects are not followed."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._send("GET", url, headers, None)
        except (NotConnectedError, ConnectionEndedError, OSError, ValueError) as error:
            return Unreachable(party=party, reason=f"{party}: {self._describe(error)}")

    async def put(
        self,
        party: Party,
        url: str,
        headers: Mapping[str, str],
        content: Content,
        *,
        on_taken: Callable[[], None] = lambda: None,
    ) -> tuple[Answer, bool] | Unreachable | Unreadable:
        """Send a file, with ``Expect: 100-continue``; return the answer, and whether the whole file had been sent.

        ``on_taken`` is called at once when there is a whole answer that says so (2xx), and the whole file went out
        before it. What follows from another one, the caller decides before anything else is sent.

        Raises:
            ChangedError: the file has other bytes than when it was made, and was not sent to its end.

        """
        body: _Body | None = None
        try:
            async with asyncio.timeout(self._timeout_seconds) as guard:
                body = _Body(content, guard, self._timeout_seconds, on_taken)
                answer = await self._send("PUT", url, {**headers, "Expect": "100-continue"}, body)
                return answer, body.sent == content.size_bytes
        except (NotConnectedError, ConnectionEndedError, OSError, ValueError) as error:
            if body is not None and body.error is not None:
                return Unreadable(reason=f"the file cannot be read: {reason_of(body.error)}")
            return Unreachable(party=party, reason=f"{party}: {self._describe(error)}")

    async def _send(self, method: str, url: str, headers: Mapping[str, str], body: "_Body | None") -> Answer:
        assert self._pool is not None, "not open"
        origin = Origin.of(url)
        head = self._head(method, url, origin, headers)
        kept = self._pool.take_kept(origin)
        if kept is not None:
            try:
                return await self._exchange(kept, origin, head, body, is_kept=True)
            except (ConnectionEndedError, OSError):
                # The other side may close a kept connection just when it is used again: the request never arrived.
                if kept.heard or (body is not None and body.error is not None):
                    raise
        return await self._exchange(await self._pool.connect(origin), origin, head, body)

    async def _exchange(
        self, connection: Connection, origin: Origin, head: bytes, body: "_Body | None", *, is_kept: bool = False
    ) -> Answer:
        assert self._pool is not None
        try:
            if body is None:
                answer = await connection.exchange(head)
            else:
                answer = await self._exchange_body(connection, origin, head, body, is_kept=is_kept)
        except BaseException:
            connection.close()
            raise
        self._pool.keep(origin, connection)
        return answer

    async def _exchange_body(
        self, connection: Connection, origin: Origin, head: bytes, body: "_Body", *, is_kept: bool
    ) -> Answer:
        patient = body.size_bytes > self._eager_bytes.get(origin, _TOGETHER_BYTES)
        whole = None if patient else body.small
        patience_seconds = CONTINUE_SECONDS if patient else 0.0
        try:
            if whole is not None:
                answer = await connection.exchange(head, whole=whole, on_taken=body.on_taken)
            else:
                answer = await connection.exchange(
                    head,
                    body.pieces(),
                    size_bytes=body.size_bytes,
                    patience_seconds=patience_seconds,
                    on_progress=body.progress,
                    on_taken=body.on_taken,
                )
        except (ConnectionEndedError, OSError):
            if body.error is None and (connection.heard or not is_kept):
                self._learn(origin, _ALL_WAIT)  # it may have refused, and not have listened to the rest
            raise
        finally:
            body.sent = connection.sent
        if connection.was_told_to_go_on and origin not in self._eager_bytes:
            self._learn(origin, EAGER_BYTES)
        elif patient and not connection.was_told_to_go_on and body.sent:
            self._learn(origin, _NONE_WAITS)  # it does not know Expect: waiting again would only cost time
        if body.sent != body.size_bytes:
            connection.is_reusable = False
        return answer

    def _learn(self, origin: Origin, eager_bytes: int) -> None:
        if len(self._eager_bytes) >= _MOST_ORIGINS:
            self._eager_bytes.clear()
        self._eager_bytes[origin] = eager_bytes

    def _head(self, method: str, url: str, origin: Origin, headers: Mapping[str, str]) -> bytes:
        target = _target(url)
        named = {"Host": origin.authority, "User-Agent": f"apidanalytics/{__version__}", "Accept": "*/*", **headers}
        if self._proxy is not None and origin.scheme == "http":
            target = f"http://{origin.authority}{target}"
            named |= self._proxy.authorization()
        head = "\r\n".join((f"{method} {target} HTTP/1.1", *map(": ".join, named.items()), "", ""))
        lines = len(named) + 2
        if head.count("\r") != lines or head.count("\n") != lines or "\0" in head:
            raise ValueError("a line break in a header")
        return head.encode()

    def _describe(self, error: Exception) -> str:
        # Never str(error) of what others raise: there may be a URL in it, and a signed URL is a secret.
        match error:
            case TimeoutError():
                return f"no progress for {self._timeout_seconds:g} s"
            case NotConnectedError() | ConnectionEndedError():
                return str(error)
            case OSError():
                return f"the connection broke: {reason_of(error)}"
            case _:
                return type(error).__name__


class _Body:
    """A file as the body of a request; progress postpones the guard."""

    def __init__(
        self, content: Content, guard: asyncio.Timeout, timeout_seconds: float, on_taken: Callable[[], None]
    ) -> None:
        self.on_taken = on_taken
        self._content = content
        self._guard = guard
        self._timeout_seconds = timeout_seconds
        self.size_bytes = content.size_bytes
        self.small = content.whole if content.size_bytes <= _TOGETHER_BYTES else None
        """The whole of it, when it is so short that it may go together with the head."""
        self.sent = 0
        self.error: OSError | None = None

    async def pieces(self) -> AsyncIterator[bytes | memoryview]:
        """Yield the whole file, from its beginning."""
        try:
            async for piece in self._content.pieces():
                yield piece
        except OSError as error:
            self.error = error
            raise

    def progress(self) -> None:
        """Note that a piece is on its way."""
        if not self._guard.expired():
            self._guard.reschedule(asyncio.get_running_loop().time() + self._timeout_seconds)


def _target(url: str) -> str:
    """Return what follows the host, as it was signed, byte by byte."""
    _, _, rest = url.partition("://")
    at = min((found for found in (rest.find("/"), rest.find("?"), rest.find("#")) if found >= 0), default=len(rest))
    target = rest[at:].partition("#")[0]
    return target if target.startswith("/") else f"/{target}"
