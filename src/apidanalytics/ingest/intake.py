"""The requests of one connection: from the bytes that arrive to the handler, with everything that may hold them up."""

import asyncio
from collections import deque
from typing import Final, cast

from apidanalytics.errors import Refusal
from apidanalytics.ingest import refusals
from apidanalytics.ingest.budget import IncompleteBody
from apidanalytics.ingest.gate import NO_ROOM, UNANSWERED, Gate
from apidanalytics.ingest.http import CLOSE, Channel, Exchange, Response
from apidanalytics.ingest.request import RequestReader
from apidanalytics.ingest.server_state import ServerState

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
MAX_DISCARDED_BYTES: Final = 64 * 1024 * 1024
"""So much of what follows the last request is thrown away; then the connection is no longer read."""


class Intake:
    """Reads requests and gives them to the handler, as fast as limits, room and answers allow.

    ``transport`` must be set before use. ``queue`` gets every exchange that is owed an answer by ``channel``.
    """

    __slots__ = (
        "_budget",
        "_channel",
        "_discarded_bytes",
        "_gate",
        "_is_refusing",
        "_max_unanswered",
        "_pending",
        "_queue",
        "_state",
        "body",
        "reader",
        "transport",
    )

    def __init__(self, state: ServerState, gate: Gate, channel: Channel, queue: deque[Exchange]) -> None:
        self._state = state
        self._budget = state.budget
        self._gate = gate
        self._channel = channel
        self._queue = queue
        self._max_unanswered = state.limits.max_unanswered
        self._pending = b""  # read, but not parsed before a pause
        self._discarded_bytes = 0
        self._is_refusing = False
        self.transport = cast(asyncio.Transport, None)
        self.reader = RequestReader(
            state.limits, state.spellings, channel, state.arrival_time, self._deliver, self._deliver_unusual
        )
        self.body = IncompleteBody(state.budget, self)
        """What the budget counts of a body that is not complete."""

    @property
    def has_begun(self) -> bool:
        """Whether part of a request has been read that has not been delivered."""
        return self._gate.is_clocked or bool(self._pending)

    @property
    def is_within_body(self) -> bool:
        """Whether part of a body has been read, and part is to come."""
        return self.reader.is_within_body

    @property
    def unanswered(self) -> int:
        """Requests that have no answer, one that has only begun among them."""
        return len(self._queue) + self.has_begun

    @property
    def lane(self) -> str:
        """Whose the request is that is being read, or else the last one."""
        parts = self.reader.target_parts
        if not parts and self._queue:
            return self._state.lane_of(self._queue[-1].path, self._queue[-1].body)
        return self._state.lane_of(b"".join(parts).partition(b"?")[0], b"")

    def take(self, data: bytes) -> None:
        """Parse any number of bytes, as far as possible now."""
        if self._gate.halted_by:
            self._set_aside(data)
            return
        start = 0
        while start < len(data) and not self._gate.halted_by:
            try:
                start = self.reader.feed_next(data, start)
            except Refusal as refusal:
                self.refuse(refusal)
                return
            self._look_after_feed()
        if start < len(data):
            self._set_aside(data[start:])

    def look_closer(self, data: bytes, trouble: Exception | None = None) -> None:
        """Do what is to be done after ``reader.parse`` was called with ``data``, and raised ``trouble``."""
        reader = self.reader
        try:
            if trouble is not None:
                reader.recover(trouble, data)
            elif reader.target_parts or not reader.is_between_requests:
                reader.look_closer(len(data))
        except Refusal as refusal:
            self.refuse(refusal)
        else:
            self._look_after_feed()

    def look_after_answers(self) -> None:
        """Read on if that waited for answers, and ask for a body that did."""
        if self._gate.halted_by & UNANSWERED and len(self._queue) <= self._max_unanswered // 2:
            self.lift(UNANSWERED)
        self._maybe_continue()

    def lift(self, reason: int) -> None:
        """Take away a reason not to read, and read on if there is no other."""
        if not self._gate.lift(reason):
            return
        self._maybe_continue()
        if self._pending:
            self._state.call_soon(self._take_pending)
        else:
            self.transport.resume_reading()

    def read_on(self) -> None:
        """Go on reading: there is room for more, or the right of way."""
        self.lift(NO_ROOM)

    def refuse(self, refusal: Refusal) -> None:
        """Answer what cannot be read any further, after all that was; then close."""
        if self._gate.is_ending:
            return  # what follows the last request is not looked at
        self._state.refusals[refusal.status] += 1
        self.throw_away_body()
        self._gate.end()
        exchange = Exchange(self._channel, self.reader.method, b"", {}, b"", self._state.arrival_time(), CLOSE)
        self._queue.append(exchange)
        exchange.respond(Response(refusal.status, refusal.body()))

    def read_one_more(self) -> None:
        """Let the next request be the last."""
        if self._is_refusing:
            return  # it is in any case
        self.reader.deliver = self.reader.deliver_unusual = self._deliver_last

    def refuse_next(self) -> None:
        """Refuse whatever comes first: this client is not let in."""
        self._is_refusing = True
        self.reader.deliver = self.reader.deliver_unusual = self._deliver_nothing

    def read_no_more(self) -> None:
        """Let go of all that has not been delivered, and look at nothing that follows."""
        self.throw_away_body()
        self._pending = b""
        self.reader.deliver = self.reader.deliver_unusual = _ignore

    def throw_away_body(self) -> None:
        """Count out a body that will not be complete."""
        self.body.end()
        self._budget.leave(self)

    def _take_pending(self) -> None:
        if self._gate.halted_by:
            return
        data, self._pending = self._pending, b""
        self.take(data)
        if not self._gate.halted_by:
            self.transport.resume_reading()

    def _set_aside(self, data: bytes) -> None:
        """Keep what was read beyond a pause; throw away what follows the last request."""
        if not self._gate.is_ending:
            self._pending += data
            return
        self._discarded_bytes += len(data)
        if self._discarded_bytes > MAX_DISCARDED_BYTES:
            self.transport.pause_reading()

    def _look_after_feed(self) -> None:
        """Do what an incomplete request, or one too many, calls for."""
        gate = self._gate
        if gate.is_ending:
            return
        if not self.reader.is_between_requests:
            gate.start_clock()
            self.body.grow(self.reader.body_bytes)
        if len(self._queue) >= self._max_unanswered:
            gate.pause(UNANSWERED)
        if self._budget.is_closed_to(self) and not self._budget.may_pass(self):
            gate.pause(NO_ROOM)
            self._budget.wait(self)
        if not gate.halted_by:
            self._maybe_continue()

    def _maybe_continue(self) -> None:
        """Ask for the body if the client waits for that, and it is this request's turn to be answered."""
        reader = self.reader
        if reader.expects_continue and not self._queue:
            reader.expects_continue = False
            if not reader.body_bytes:
                self.transport.write(CONTINUE)

    def _deliver(self, exchange: Exchange) -> None:
        exchange.body_bytes = len(exchange.body)
        self._budget.used += exchange.body_bytes
        self._queue.append(exchange)
        self._state.deliver(exchange)

    def _deliver_unusual(self, exchange: Exchange) -> None:
        """Deliver a request that did not arrive in one piece, or after which the connection closes."""
        self._gate.is_clocked = False
        self.body.end()
        if exchange.ending == CLOSE:
            self._gate.end(lingers=False)  # all that the client sent has been read
        self._deliver(exchange)

    def _deliver_last(self, exchange: Exchange) -> None:
        """Deliver while draining: the answer says that the connection closes, and more may be on its way."""
        self.read_no_more()
        self._gate.end()
        exchange.ending = CLOSE
        self._deliver(exchange)

    def _deliver_nothing(self, exchange: Exchange) -> None:
        """Answer a client that is not let in, without asking the handler."""
        refusal = refusals.client_not_allowed()
        self._state.refusals[refusal.status] += 1
        self.read_no_more()
        self._gate.end()
        exchange.ending = CLOSE
        exchange.body = b""
        self._queue.append(exchange)
        exchange.respond(Response(refusal.status, refusal.body()))


def _ignore(_: Exchange) -> None:
    """Take a request that came after the last one."""
