"""One connection of the HTTP server: requests in, answers out in order, and every way it can end.

::

    OPEN --last request read, or refused--> ENDING --its answer sent--> LINGERING --peer closes, time over--> CLOSED
      |                                                                    ^
      +--idle for too long ------------------------------------------------+

Lingering: after an answer that did not wait for the rest of the request, closing at once would make the kernel reset
the connection, and the client would lose the answer. So our side is shut, and what still arrives is thrown away for
a bounded time.

There is no timer, task or future per request. A connection has a ``deadline``; ``ServerState.sweep`` calls ``expire``
on those that are past theirs.
"""

import asyncio
from collections import deque
from math import inf
from typing import Final, cast

from apidanalytics.errors import ErrorCode, Refusal
from apidanalytics.ingest.http import CLOSE, NO_ANSWER, Exchange, Response
from apidanalytics.ingest.request import SMALL_BYTES, RequestReader
from apidanalytics.ingest.server_state import ServerState

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
LINGER_SECONDS: Final = 2.0
LINGER_BYTES: Final = 64 * 1024 * 1024
DRAIN_GRACE_SECONDS: Final = 1.0
"""While draining, an idle connection stays open this long: a request may be on its way."""

# Why a connection reads no requests. The first three pass, the others are how it ends.
UNANSWERED: Final = 1
"""Too many requests of it wait for their answers."""
NO_ROOM: Final = 2
"""The bodies in this worker take too many bytes."""
CHOKED: Final = 4
"""The client does not read its answers."""
PAUSED: Final = UNANSWERED | NO_ROOM | CHOKED
ENDING: Final = 8
"""The last request has been read."""
LINGERING: Final = 16
"""The last answer has been sent."""
CLOSED: Final = 32

_NAMES: Final = {
    UNANSWERED: "unanswered",
    NO_ROOM: "no room",
    CHOKED: "choked",
    ENDING: "ending",
    LINGERING: "lingering",
    CLOSED: "closed",
}
_INTERNAL_ERROR: Final = Refusal(500, ErrorCode.INTERNAL_SERVER_ERROR, "Internal error")
_TIMEOUT: Final = Refusal(408, ErrorCode.REQUEST_TIMEOUT, "The request did not arrive in time")


class HttpConnection(asyncio.Protocol):
    """One client, from connect to close. Handed to the event loop as the protocol of a transport."""

    __slots__ = (
        "_answered",
        "_budget",
        "_charged_bytes",
        "_discarded_bytes",
        "_halted_by",
        "_is_clocked",
        "_is_tls",
        "_keepalive_timeout",
        "_lingers",
        "_max_unanswered",
        "_pending",
        "_queue",
        "_reader",
        "_remaining_seconds",
        "_state",
        "_transport",
        "deadline",
    )

    def __init__(self, state: ServerState, *, is_tls: bool = False) -> None:
        self._state = state
        self._budget = state.budget
        self._keepalive_timeout = state.limits.keepalive_timeout
        self._max_unanswered = state.limits.max_unanswered
        self._is_tls = is_tls
        self._transport = cast(asyncio.Transport, None)
        self._reader = RequestReader(state.limits, self, state.arrival_time, self._deliver)
        self._queue: deque[Exchange] = deque()  # unanswered, oldest first
        self._halted_by = 0
        self._pending = b""  # read, but not parsed before the halt
        self._charged_bytes = 0  # of the incomplete body, counted in the budget
        self._is_clocked = False  # the deadline is that of an incomplete request
        self._remaining_seconds = inf  # of the deadline, while it is paused
        self._lingers = False
        self._discarded_bytes = 0
        self._answered = 0
        self.deadline = inf

    # The transport calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._state.connections.add(self)
        self.deadline = self._state.now + self._keepalive_timeout
        if self._state.is_draining:
            self.drain()

    def data_received(self, data: bytes) -> None:
        if self._halted_by:
            self._set_aside(data)
        elif len(data) > SMALL_BYTES:
            self._feed_in_pieces(data)
        else:
            self._feed(data)

    def eof_received(self) -> bool:
        """Keep the connection for as long as answers are owed: the client may have shut down only its own side."""
        if self._is_tls or not self._queue or self._halted_by & LINGERING:
            return False  # the transport closes itself
        self._release_incomplete_body()
        self._end_with_last_queued()
        self._lingers = False
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._halted_by |= CLOSED
        self.deadline = inf
        self._pending = b""
        self._forget_queue()
        self._release_incomplete_body()
        self._state.connections.discard(self)
        self._state.on_close()

    def pause_writing(self) -> None:
        if self._halted_by & LINGERING:
            return
        self._pause(CHOKED)
        self.deadline = self._state.now + self._state.limits.request_timeout

    def resume_writing(self) -> None:
        if self._halted_by & CHOKED:
            self._resume(CHOKED)

    # Requests in.

    def _feed(self, piece: bytes | memoryview) -> None:
        try:
            self._reader.feed(piece)
        except Refusal as refusal:
            self._refuse(refusal)
            return
        budget = self._budget
        if self._reader.state or budget.used > budget.limit or len(self._queue) >= self._max_unanswered:
            self._look_after_feed()

    def _feed_in_pieces(self, data: bytes) -> None:
        view = memoryview(data)
        start = 0
        while start < len(data) and not self._halted_by:
            end = self._reader.piece_end(data, start)
            self._feed(view[start:end])
            start = end
        if start < len(data):
            self._set_aside(data[start:])

    def _feed_pending(self) -> None:
        if self._halted_by:
            return
        data, self._pending = self._pending, b""
        self._feed_in_pieces(data)
        if not self._halted_by:
            self._transport.resume_reading()

    def _set_aside(self, data: bytes) -> None:
        """Keep what was read beyond a pause; throw away what follows the last request."""
        if self._halted_by < ENDING:
            self._pending += data
            return
        self._discarded_bytes += len(data)
        if self._discarded_bytes > LINGER_BYTES:
            self._transport.pause_reading()

    def _look_after_feed(self) -> None:
        """Do what an incomplete request, or one too many, calls for."""
        if self._halted_by >= ENDING:
            return
        if self._reader.state:
            self._look_after_incomplete_request()
        if self._budget.is_closed_to(self):
            self._pause(NO_ROOM)
            self._budget.wait(self)
        if len(self._queue) >= self._max_unanswered:
            self._pause(UNANSWERED)

    def _look_after_incomplete_request(self) -> None:
        if not self._is_clocked:
            self._is_clocked = True
            self.deadline = self._state.now + self._state.limits.request_timeout
        fresh_bytes = self._reader.body_bytes - self._charged_bytes
        self._charged_bytes += fresh_bytes
        self._budget.used += fresh_bytes
        self._budget.partial += fresh_bytes
        self._maybe_continue()

    def _maybe_continue(self) -> None:
        """Ask for the body if the client waits for that, and it is this request's turn to be answered."""
        reader = self._reader
        if reader.expects_continue and reader.is_within_body and not self._queue:
            reader.expects_continue = False
            if not reader.body_bytes:
                self._transport.write(CONTINUE)

    def _deliver(self, exchange: Exchange) -> None:
        if self._is_clocked:
            self._is_clocked = False
            self._complete_body()
        state = self._state
        state.requests += 1
        self._budget.used += len(exchange.body)
        self._queue.append(exchange)
        if exchange.ending == CLOSE:
            self._halted_by |= ENDING
        try:
            state.handler(exchange)
        except Exception as error:  # noqa: BLE001 - a defect in the handler must not take the connection with it
            state.report_failure(error)
            exchange.respond(Response(_INTERNAL_ERROR.status, _INTERNAL_ERROR.body()))

    def _deliver_last(self, exchange: Exchange) -> None:
        """Deliver while draining: the answer says that the connection closes."""
        self._lingers = True
        self._reader.deliver = _ignore
        exchange.ending = CLOSE
        self._deliver(exchange)

    def _refuse(self, refusal: Refusal) -> None:
        """Answer what cannot be read any further, after all that was; then close."""
        if self._halted_by >= ENDING:
            return  # what follows the last request is not looked at
        self._state.refusals[refusal.status] += 1
        self._release_incomplete_body()
        self._is_clocked = False
        self._halted_by |= ENDING
        self._lingers = True
        exchange = Exchange(self, self._reader.method, b"", {}, b"", self._state.arrival_time())
        self._queue.append(exchange)
        exchange.respond(Response(refusal.status, refusal.body()))

    # Answers out.

    @property
    def is_lost(self) -> bool:
        """Whether no answer can be sent any more."""
        return self._halted_by >= CLOSED

    def answer_ready(self, exchange: Exchange) -> None:
        """Send this answer, and those that waited for it, unless earlier ones are missing."""
        queue = self._queue
        if not queue or queue[0] is not exchange:
            return
        while queue and (answer := queue[0].answer) is not None:
            if not self._send(queue.popleft(), answer):
                return
        if self._halted_by or self._is_clocked:
            self._look_after_answers()
        else:
            self.deadline = self._state.now + self._keepalive_timeout

    def _send(self, exchange: Exchange, answer: Response) -> bool:
        """Write one answer; return whether the connection goes on."""
        budget = self._budget
        budget.used -= len(exchange.body)
        if budget.line:
            budget.settle()
        ending = exchange.ending
        wire = answer.head + self._state.tails[ending]
        if answer.body and exchange.method != b"HEAD":
            wire += answer.body
        elif answer is NO_ANSWER:
            self._close()
            return False
        self._transport.write(wire)
        if ending == CLOSE:
            self._finish()
            return False
        return True

    def _look_after_answers(self) -> None:
        if self._halted_by & UNANSWERED and len(self._queue) < self._max_unanswered:
            self._resume(UNANSWERED)
        self._maybe_continue()

    # Pauses.

    def _pause(self, reason: int) -> None:
        """Stop reading. Until that ends, the clock of an incomplete request stands still."""
        if not self._halted_by:
            self._transport.pause_reading()
            self._remaining_seconds = self.deadline - self._state.now
            self.deadline = inf
        self._halted_by |= reason

    def _resume(self, reason: int) -> None:
        self._halted_by &= ~reason
        if self._halted_by:
            self.deadline = inf if reason == CHOKED else self.deadline
            return
        self.deadline = self._state.now + (self._remaining_seconds if self._is_clocked else self._keepalive_timeout)
        if self._pending:
            self._state.call_soon(self._feed_pending)
        else:
            self._transport.resume_reading()

    @property
    def is_within_body(self) -> bool:
        """Whether part of a body has been read, and part is to come."""
        return self._reader.is_within_body

    def read_on(self) -> None:
        """Go on reading: there is room for more, or the right of way."""
        self._resume(NO_ROOM)

    def _complete_body(self) -> None:
        """Count the incomplete body out: it is counted in again as a whole."""
        self._budget.used -= self._charged_bytes
        self._budget.partial -= self._charged_bytes
        self._charged_bytes = 0
        if self._budget.privileged is self:
            self._budget.privileged = None

    def _release_incomplete_body(self) -> None:
        self._complete_body()
        self._budget.leave(self)

    def _forget_queue(self) -> None:
        self._budget.used -= sum(len(exchange.body) for exchange in self._queue)
        self._queue.clear()

    # The end.

    def expire(self) -> None:
        """Act on the deadline: refuse a slow request, close an idle connection, give up one that does not end."""
        if self._halted_by & (CHOKED | LINGERING):
            self._transport.abort()
        elif self._is_clocked and not self._halted_by:
            self._refuse(_TIMEOUT)
        elif self._queue or self._halted_by:
            self.deadline = self._state.now + self._keepalive_timeout  # it waits for us
        else:
            self._close()

    def drain(self) -> None:
        """Serve what is in flight or on its way, then close."""
        self._reader.deliver = self._deliver_last
        self._keepalive_timeout = DRAIN_GRACE_SECONDS
        is_between_requests = not (self._is_clocked or self._pending or self._halted_by >= ENDING)
        if is_between_requests and self._queue:
            self._end_with_last_queued()
        elif is_between_requests and not self._halted_by:
            self.deadline = self._state.now + DRAIN_GRACE_SECONDS

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def _end_with_last_queued(self) -> None:
        self._queue[-1].ending = CLOSE
        self._halted_by |= ENDING
        self._lingers = True

    def _finish(self) -> None:
        """The last answer has been written: close in a way that lets the client read it."""
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
        self._release_incomplete_body()
        patience = self._state.limits.request_timeout if self._halted_by & CHOKED else LINGER_SECONDS
        self._halted_by = ENDING | LINGERING
        self._pending = b""
        self._reader.deliver = _ignore
        self.deadline = self._state.now + patience

    def __repr__(self) -> str:
        halted_by = [name for reason, name in _NAMES.items() if self._halted_by & reason]
        requests = f"{self._answered} answered, {len(self._queue)} unanswered"
        return f"<HttpConnection {', '.join(halted_by) or 'open'}: {requests}>"


def _ignore(*_: object) -> None:
    """Take a request that came after the last one."""
