"""One HTTP request and its whole answer; what goes wrong on the way comes back as a value, without any URL in it."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from apidanalytics import __version__
from apidanalytics.outgoing.proxy import Proxy, addressed
from apidanalytics.outgoing.trouble import describe, os_reason
from apidanalytics.upload.answers import Answer
from apidanalytics.upload.content import PIECE_BYTES, Content
from apidanalytics.upload.outcome import Party, Unreachable, Unreadable

MAX_ANSWER_BYTES: Final = 1 << 20
"""No answer of use to us is longer."""

CONTINUE_SECONDS: Final = 1.0
"""How long ``100 Continue`` is waited for: a server need not know it (RFC 9110, section 10.1.1)."""

CONNECT_SECONDS: Final = 10.0
"""How long one connection attempt may take."""


class Exchanger:
    """Sends requests over kept connections, through the proxy if there is one."""

    def __init__(self, *, timeout_seconds: float, proxy: Proxy | None = None, ca_bundle: Path | None = None) -> None:
        self._timeout_seconds = timeout_seconds
        self._proxy = proxy
        self._ca_bundle = ca_bundle
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Get ready.

        Raises:
            OSError: the CA bundle cannot be read (``ssl.SSLError`` when it is none).

        """
        context = await asyncio.to_thread(ssl.create_default_context, cafile=self._ca_bundle)
        connector = aiohttp.TCPConnector(limit=0, ssl=context, keepalive_timeout=30, socket_factory=_make_socket)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=min(CONNECT_SECONDS, self._timeout_seconds)),
            headers={"User-Agent": f"apidanalytics/{__version__}"},
            request_class=_Request,
        )

    async def aclose(self) -> None:
        """Close all connections; closing twice is fine."""
        if self._session is not None:
            await self._session.close()

    async def get(self, party: Party, url: str, headers: Mapping[str, str]) -> Answer | Unreachable:
        """Send a GET; redirects are not followed."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._send("GET", url, headers, None)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Unreachable(party=party, reason=f"{party}: {self._describe(error)}")

    async def put(
        self, party: Party, url: str, headers: Mapping[str, str], content: Content
    ) -> tuple[Answer, bool] | Unreachable | Unreadable:
        """Send a file, with ``Expect: 100-continue``; return the answer, and whether the whole file had been sent."""
        body: _Body | None = None
        try:
            async with asyncio.timeout(self._timeout_seconds) as guard:
                body = _Body(content, lambda: self._postpone(guard))
                answer = await self._send("PUT", url, {**headers, "Expect": "100-continue"}, body)
                return answer, body.sent == content.size_bytes
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if body is not None and body.error is not None:
                return Unreadable(reason=f"the file cannot be read: {os_reason(body.error)}")
            return Unreachable(party=party, reason=f"{party}: {self._describe(error)}")

    async def _send(self, method: str, url: str, headers: Mapping[str, str], body: "_Body | None") -> Answer:
        assert self._session is not None, "not open"
        target = URL(url, encoded=True)  # as it was signed, byte by byte
        async with self._session.request(
            method, target, data=body, allow_redirects=False, **addressed(self._proxy, target, headers)
        ) as response:
            content = bytearray()
            async for piece in response.content.iter_any():
                content += piece
                if len(content) > MAX_ANSWER_BYTES:
                    response.close()
                    break
            named = {name.lower(): value for name, value in response.headers.items()}
            return Answer(status=response.status, headers=named, body=bytes(content))

    def _postpone(self, guard: asyncio.Timeout) -> None:
        if not guard.expired():
            guard.reschedule(asyncio.get_running_loop().time() + self._timeout_seconds)

    def _describe(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return f"no progress for {self._timeout_seconds:g} s"
        return describe(error)


def _make_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    # What the kernel holds back is not progress: on a slow line, megabytes of it would look like a standstill.
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, PIECE_BYTES)
    return made


class _Body(aiohttp.Payload):
    """A file as the body of a request."""

    _autoclose = True

    def __init__(self, content: Content, progress: Callable[[], None]) -> None:
        super().__init__(content)
        self._size = content.size_bytes
        self._content = content
        self._progress = progress
        self.sent = 0
        self.error: OSError | None = None

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002 - aiohttp asks for it
        """Refuse: a file is not a text."""
        raise TypeError("not a text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send everything, from the beginning: aiohttp does so again when a kept connection turns out to be closed."""
        self.sent = 0
        pieces = self._content.pieces()
        while (piece := await self._next(pieces)) is not None:
            await writer.write(piece)
            self.sent += len(piece)
            self._progress()

    async def _next(self, pieces: Any) -> bytes | None:
        try:
            return await anext(pieces, None)
        except OSError as error:
            self.error = error
            raise


class _Request(aiohttp.ClientRequest):
    """A request that does not wait for ever for ``100 Continue``, as aiohttp's own does."""

    async def write_bytes(self, writer: Any, conn: Any, content_length: int | None = None) -> None:
        waiting = self._continue
        if waiting is None:
            await super().write_bytes(writer, conn, content_length)
            return
        timer = self.loop.call_later(CONTINUE_SECONDS, _go_on, waiting)
        try:
            await super().write_bytes(writer, conn, content_length)
        finally:
            timer.cancel()


def _go_on(waiting: "asyncio.Future[bool]") -> None:
    if not waiting.done():
        waiting.set_result(True)
