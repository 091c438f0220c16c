"""One connection of the HTTP server: requests in, answers out in their order, and every way it can end.

There is no timer, task or future per request: an answer is written when the handler gives it, and all deadlines are
swept together (``ServerState.sweep``).

Lingering: after an answer that did not wait for the rest of the request, closing at once would make the kernel reset
the connection, and the client would lose the answer. So our side is shut, and what still arrives is thrown away for
a bounded time.
"""

import asyncio
from collections import deque
from typing import Final, cast

from apidanalytics.errors import ErrorCode, Refusal
from apidanalytics.ingest.budget import IncompleteBody
from apidanalytics.ingest.gate import CHOKED, CLOSED, LINGERING, NO_ROOM, UNANSWERED, Gate
from apidanalytics.ingest.http import CLOSE, NO_ANSWER, Exchange, Response
from apidanalytics.ingest.request import RequestReader
from apidanalytics.ingest.server_state import ServerState

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
DRAIN_GRACE_SECONDS: Final = 1.0
"""While draining, an idle connection stays open this long: a request may be on its way."""
MAX_DISCARDED_BYTES: Final = 64 * 1024 * 1024
"""So much of what follows the last request is thrown away; then the connection is no longer read."""

_INTERNAL_ERROR: Final = Refusal(500, ErrorCode.INTERNAL_SERVER_ERROR, "Internal error")
_TIMEOUT: Final = Refusal(408, ErrorCode.REQUEST_TIMEOUT, "The request did not arrive in time")


class HttpConnection(asyncio.Protocol):
    """One client, from connect to close: the protocol of a transport, on one event loop."""

    __slots__ = (
        "_body",
        "_budget",
        "_discarded_bytes",
        "_gate",
        "_is_tls",
        "_lingers",
        "_max_unanswered",
        "_pending",
        "_queue",
        "_reader",
        "_small_bytes",
        "_state",
        "_transport",
    )

    def __init__(self, state: ServerState, *, is_tls: bool = False) -> None:
        limits = state.limits
        self._state = state
        self._budget = state.budget
        self._body = IncompleteBody(state.budget, self)
        self._gate = Gate(state, request_timeout=limits.request_timeout, idle_seconds=limits.keepalive_timeout)
        self._reader = RequestReader(
            limits, state.spellings, self, state.arrival_time, self._deliver, self._deliver_unusual
        )
        self._small_bytes = self._reader.small_bytes
        self._max_unanswered = limits.max_unanswered
        self._is_tls = is_tls
        self._transport = cast(asyncio.Transport, None)
        self._queue: deque[Exchange] = deque()  # unanswered, oldest first
        self._pending = b""  # read, but not parsed before a pause
        self._lingers = False  # at the end, wait for the client to have read the answer
        self._discarded_bytes = 0

    # The transport calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to read requests."""
        self._transport = self._gate.transport = cast(asyncio.Transport, transport)
        self._state.connections.add(self)
        if self._state.is_draining:
            self.drain()

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, and deliver the requests that are complete."""
        if self._gate.halted_by or len(data) > self._small_bytes:
            self._take_unusual(data)
            return
        reader = self._reader
        try:
            reader.feed(data)
        except Refusal as refusal:
            self._refuse(refusal)
            return
        budget = self._budget
        if not reader.is_between_requests or budget.used > budget.limit or len(self._queue) >= self._max_unanswered:
            self._look_after_feed()

    def eof_received(self) -> bool:
        """Stay open as long as answers are owed: the client may have shut down only its own side."""
        if self._is_tls or not self._queue or self._gate.halted_by & LINGERING:
            return False  # the transport closes itself
        self._throw_away_body()
        self._end_with_last_queued()
        self._lingers = False
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - gone is gone
        """Let go of everything."""
        self._gate.close()
        self._pending = b""
        self._forget_queue()
        self._throw_away_body()
        self._state.connections.discard(self)
        self._state.on_close()

    def pause_writing(self) -> None:
        """Read nothing more from a client that does not read its answers."""
        if not self._gate.halted_by & LINGERING:
            self._gate.pause(CHOKED)

    def resume_writing(self) -> None:
        """Go on: the client has read enough of its answers."""
        if self._gate.halted_by & CHOKED:
            self._lift(CHOKED)

    # Requests in.

    def _take_unusual(self, data: bytes) -> None:
        if self._gate.halted_by:
            self._set_aside(data)
        else:
            self._feed_in_pieces(data)

    def _feed_in_pieces(self, data: bytes) -> None:
        start = 0
        while start < len(data) and not self._gate.halted_by:
            try:
                start = self._reader.feed_next(data, start)
            except Refusal as refusal:
                self._refuse(refusal)
                return
            self._look_after_feed()
        if start < len(data):
            self._set_aside(data[start:])

    def _feed_pending(self) -> None:
        if self._gate.halted_by:
            return
        data, self._pending = self._pending, b""
        self._feed_in_pieces(data)
        if not self._gate.halted_by:
            self._transport.resume_reading()

    def _set_aside(self, data: bytes) -> None:
        """Keep what was read beyond a pause; throw away what follows the last request."""
        if not self._gate.is_ending:
            self._pending += data
            return
        self._discarded_bytes += len(data)
        if self._discarded_bytes > MAX_DISCARDED_BYTES:
            self._transport.pause_reading()

    def _look_after_feed(self) -> None:
        """Do what an incomplete request, or one too many, calls for."""
        gate = self._gate
        if gate.is_ending:
            return
        if not self._reader.is_between_requests:
            gate.start_clock()
            self._body.grow(self._reader.body_bytes)
        if len(self._queue) >= self._max_unanswered:
            gate.pause(UNANSWERED)
        if self._budget.is_closed_to(self):
            gate.pause(NO_ROOM)
            self._budget.wait(self)
        if self._reader.expects_continue and not gate.halted_by:
            self._maybe_continue()

    def _maybe_continue(self) -> None:
        """Ask for the body if the client waits for that, and it is this request's turn to be answered."""
        reader = self._reader
        if reader.expects_continue and not self._queue:
            reader.expects_continue = False
            if not reader.body_bytes:
                self._transport.write(CONTINUE)

    def _deliver(self, exchange: Exchange) -> None:
        state = self._state
        state.requests += 1
        self._budget.used += len(exchange.body)
        self._queue.append(exchange)
        try:
            state.handler(exchange)
        except Exception as error:  # noqa: BLE001 - a defect in the handler must not take the connection with it
            state.report_failure(error)
            exchange.respond(Response(_INTERNAL_ERROR.status, _INTERNAL_ERROR.body()))

    def _deliver_unusual(self, exchange: Exchange) -> None:
        """Deliver a request that did not arrive in one piece, or after which the connection closes."""
        self._gate.is_clocked = False
        self._body.end()
        if exchange.ending == CLOSE:
            self._gate.end()
        self._deliver(exchange)

    def _deliver_last(self, exchange: Exchange) -> None:
        """Deliver while draining: the answer says that the connection closes."""
        self._lingers = True
        self._read_no_more()
        exchange.ending = CLOSE
        self._deliver_unusual(exchange)

    def _read_no_more(self) -> None:
        self._reader.deliver = self._reader.deliver_unusual = _ignore

    def _refuse(self, refusal: Refusal) -> None:
        """Answer what cannot be read any further, after all that was; then close."""
        if self._gate.is_ending:
            return  # what follows the last request is not looked at
        self._state.refusals[refusal.status] += 1
        self._throw_away_body()
        self._gate.end()
        self._lingers = True
        exchange = Exchange(self, self._reader.method, b"", {}, b"", self._state.arrival_time(), CLOSE)
        self._queue.append(exchange)
        exchange.respond(Response(refusal.status, refusal.body()))

    # Answers out.

    @property
    def is_lost(self) -> bool:
        """Whether no answer can be sent any more."""
        return self._gate.halted_by >= CLOSED

    def answer_ready(self, exchange: Exchange) -> None:
        """Send this answer, and those that waited for it, unless earlier ones are missing."""
        queue = self._queue
        if not queue or queue[0] is not exchange:
            return
        budget = self._budget
        while (answer := exchange.answer) is not None:
            queue.popleft()
            budget.used -= len(exchange.body)
            if budget.line:
                budget.settle()
            ending = exchange.ending
            wire = answer.head + self._state.tails[ending]
            if answer.body:
                wire = wire if exchange.method == b"HEAD" else wire + answer.body
            elif answer is NO_ANSWER:
                self._close()
                return
            self._transport.write(wire)
            if ending == CLOSE:
                self._finish()
                return
            if not queue:
                break
            exchange = queue[0]
        gate = self._gate
        if gate.halted_by or gate.is_clocked:
            self._look_after_answers()
        else:
            gate.rest()

    def _look_after_answers(self) -> None:
        if self._gate.halted_by & UNANSWERED and len(self._queue) <= self._max_unanswered // 2:
            self._lift(UNANSWERED)
        self._maybe_continue()

    # Pauses and room.

    @property
    def is_within_body(self) -> bool:
        """Whether part of a body has been read, and part is to come."""
        return self._reader.is_within_body

    def read_on(self) -> None:
        """Go on reading: there is room for more, or the right of way."""
        self._lift(NO_ROOM)

    def _lift(self, reason: int) -> None:
        if not self._gate.lift(reason):
            return
        self._maybe_continue()
        if self._pending:
            self._state.call_soon(self._feed_pending)
        else:
            self._transport.resume_reading()

    def _throw_away_body(self) -> None:
        self._body.end()
        self._budget.leave(self)

    def _forget_queue(self) -> None:
        self._budget.used -= sum(len(exchange.body) for exchange in self._queue)
        self._queue.clear()

    # The end.

    @property
    def deadline(self) -> float:
        """When ``expire`` is to be called; on the monotonic clock."""
        return self._gate.deadline

    def expire(self) -> None:
        """Refuse a request that is too slow, close an idle connection, give up one that does not end."""
        gate = self._gate
        if gate.halted_by & (CHOKED | LINGERING):
            self._transport.abort()
        elif gate.is_clocked and not gate.halted_by:
            self._refuse(_TIMEOUT)
        elif self._queue or gate.halted_by:
            gate.rest()  # the client waits for us
        else:
            self._close()

    def drain(self) -> None:
        """Serve what is in flight or on its way, then close."""
        gate = self._gate
        if gate.is_ending:
            return
        gate.idle_seconds = DRAIN_GRACE_SECONDS
        self._reader.deliver = self._reader.deliver_unusual = self._deliver_last
        if gate.is_clocked or self._pending:
            return
        if self._queue:
            self._end_with_last_queued()
        elif not gate.halted_by:
            gate.rest()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def _end_with_last_queued(self) -> None:
        self._queue[-1].ending = CLOSE
        self._gate.end()
        self._lingers = True

    def _finish(self) -> None:
        """Close after the last answer, in a way that lets the client read it."""
        self._linger()
        if self._lingers and not self._is_tls:
            self._transport.write_eof()
            self._transport.resume_reading()
        else:
            self._transport.close()  # TLS does its own lingering

    def _close(self) -> None:
        """Close without an answer to what is left."""
        self._forget_queue()
        self._linger()
        self._transport.close()

    def _linger(self) -> None:
        self._gate.linger()
        self._throw_away_body()
        self._read_no_more()
        self._pending = b""

    def __repr__(self) -> str:
        return f"<HttpConnection {len(self._queue)} unanswered, {self._body.bytes} bytes of a body, {self._gate!r}>"


def _ignore(*_: object) -> None:
    """Take a request that came after the last one."""
