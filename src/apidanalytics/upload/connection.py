"""One HTTP/1.1 connection of a client: one request at a time, its body piece by piece, and the whole answer.

On httptools and bare transports, as the data API is: an upload of a small file is two requests, and through a framework
they cost four times as much as here.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Final, cast

import httptools

from apidanalytics.upload.answers import Answer

MAX_ANSWER_BYTES: Final = 1 << 20
"""No answer of use to us is longer; what is, is cut there."""

_MAX_HEAD_BYTES: Final = 64 << 10
_HIGH_WATER_BYTES: Final = 64 << 10
"""Of a body in the transport's buffer. What waits there is memory, and no progress."""
_ENDED: Final = "the connection ended before the answer was complete"


class ConnectionEndedError(Exception):
    """The connection ended before the answer was complete."""


def _nothing() -> None:
    """Nobody wants to know."""


class Connection(asyncio.Protocol):
    """Open once it is connected; after ``exchange`` it may be used again if ``is_reusable``."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._continue: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[bool] | None = None
        self._broken: Exception | None = None
        self._on_taken = _nothing
        self._left = 0  # bytes of the body that are still to come
        self._is_tunnel = False
        self.sent = 0
        """Bytes of the last request's body that were handed to the system."""
        self.heard = False
        """Something of an answer to the last request has come."""
        self.was_told_to_go_on = False
        """The other side answered 100 to the last request."""
        self.is_reusable = False

    def __repr__(self) -> str:
        return f"<Connection {'open' if self.is_open else 'closed'}>"

    @property
    def is_open(self) -> bool:
        """Tell whether it is connected."""
        return self._broken is None and self._transport is not None

    @property
    def transport(self) -> asyncio.Transport:
        """What carries it."""
        assert self._transport is not None, "not connected"
        return self._transport

    def close(self) -> None:
        """End it at once; twice is fine."""
        self.is_reusable = False
        if self._transport is not None:
            self._transport.abort()

    async def tunnel(self, head: bytes) -> Answer:
        """Send a CONNECT and return the answer; what follows a 2xx belongs to the tunnel."""
        self._is_tunnel = True
        answer = self._begin(head)
        try:
            return await answer
        finally:
            self._end_waiting(answer)

    async def exchange(
        self,
        head: bytes,
        body: AsyncIterator[bytes | memoryview] | None = None,
        *,
        size_bytes: int = 0,
        whole: bytes = b"",
        patience_seconds: float = 0.0,
        on_progress: Callable[[], None] = _nothing,
        on_taken: Callable[[], None] = _nothing,
    ) -> Answer:
        """Send a request; return the whole answer, which may come before all of the body was sent.

        The body, of ``size_bytes``, is held back until the other side tells to go on, for so many seconds; 0: it goes
        at once. One that is given ``whole`` goes together with the head. ``on_taken`` is called at once when there is
        an answer that says so (2xx) after all of it went out.

        Raises:
            ConnectionEndedError, OSError: the connection ended, or broke.
            ValueError: the answer is not HTTP.

        """
        answer = self._begin(head + whole)
        self._on_taken = on_taken
        self.sent = len(whole)
        self._left = size_bytes
        try:
            if body is not None:
                if patience_seconds:
                    await self._wait_for_continue(answer, patience_seconds)
                await self._send(body, answer, on_progress)
            return await answer
        finally:
            self._end_waiting(answer)

    # What the request needs.

    def _begin(self, head: bytes) -> "asyncio.Future[Answer]":
        if self._broken is not None:
            raise self._broken
        self.sent, self.heard, self.was_told_to_go_on, self.is_reusable = 0, False, False, False
        self._answer = self._loop.create_future()
        self._continue = self._loop.create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._clear()
        self._head_bytes = 0
        self.transport.write(head)
        return self._answer

    async def _wait_for_continue(self, answer: "asyncio.Future[Answer]", seconds: float) -> None:
        assert self._continue is not None
        await asyncio.wait((answer, self._continue), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)

    async def _send(
        self, body: AsyncIterator[bytes | memoryview], answer: "asyncio.Future[Answer]", on_progress: Callable[[], None]
    ) -> None:
        if answer.done():
            return
        async for piece in body:
            if answer.done():
                return  # it came while this piece was read, and nobody would say when there is room for more
            self.transport.write(piece)
            self._left -= len(piece)
            writable = self._writable
            if writable is not None and not await writable:
                return
            self.sent += len(piece)
            on_progress()
            if answer.done():
                return

    def _end_waiting(self, answer: "asyncio.Future[Answer]") -> None:
        """Wait for it no more, whatever ended that; an error that nobody asked for, asyncio would write to the log."""
        self._answer = None
        if answer.done() and not answer.cancelled():
            answer.exception()

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or go on within TLS."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=_HIGH_WATER_BYTES)

    def pause_writing(self) -> None:
        """Hold the body back."""
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """Go on."""
        self._end_pause(went_out=True)

    def data_received(self, data: bytes) -> None:
        """Read a stretch of the answer."""
        if self._answer is None or self._answer.done():
            self.close()  # nobody asked
            return
        self.heard = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(ValueError(type(error).__name__))

    def eof_received(self) -> None:
        """Take the end of the stream as the end of an answer that says no other; of another one, nothing more comes."""
        if self._answer is None or self._answer.done():
            return
        if self._reads_to_the_end:
            self.on_message_complete()
        else:
            # The transport would first wait until the rest of the body is taken.
            self._fail(ConnectionEndedError(_ENDED))

    def connection_lost(self, error: Exception | None) -> None:
        """Tell whoever waits."""
        self.is_reusable = False
        self._fail(error or ConnectionEndedError(_ENDED))

    def _fail(self, error: Exception) -> None:
        self._broken = self._broken or error
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
        self._end_pause(went_out=False)
        self.close()

    def _end_pause(self, *, went_out: bool) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(went_out)
        self._writable = None

    # What the parser tells.

    def _clear(self) -> None:
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._reads_to_the_end = False

    def on_message_begin(self) -> None:
        """Take no second answer."""
        if self._answer is None or self._answer.done():
            raise ValueError("more than one answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header."""
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > _MAX_HEAD_BYTES:
            raise ValueError("the head of the answer is too long")
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Note how the answer will end."""
        if self._is_tunnel and 200 <= self._parser.get_status_code() < 300:
            self._is_tunnel = False
            self.on_message_complete()
            return
        self._reads_to_the_end = not self._headers.keys() & {"content-length", "transfer-encoding"}

    def on_body(self, piece: bytes) -> None:
        """Keep a stretch of the body."""
        self._body += piece
        if len(self._body) > MAX_ANSWER_BYTES:
            self._reads_to_the_end = True
            self.on_message_complete()

    def on_message_complete(self) -> None:
        """Hand over the answer, or go on after an interim one."""
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            self.was_told_to_go_on = self.was_told_to_go_on or status == 100
            if status == 100 and self._continue is not None and not self._continue.done():
                self._continue.set_result(None)
            self._clear()
        elif self._answer is not None and not self._answer.done():
            went_out = not self._left and not self.transport.get_write_buffer_size()
            # What is left of the body would stand in the way of the next request.
            self.is_reusable = went_out and self._parser.should_keep_alive() and not self._reads_to_the_end
            self._answer.set_result(Answer(status=status, headers=self._headers, body=bytes(self._body)))
            if self._writable is not None:
                # Not at once: in this turn of the loop there may be room, too, and then the piece went out.
                self._loop.call_soon(_give_up, self._writable)
            if went_out and status < HTTPStatus.MULTIPLE_CHOICES:
                self._on_taken()


def _give_up(writable: "asyncio.Future[bool]") -> None:
    if not writable.done():
        writable.set_result(False)
