"""One connection of the HTTP server, from connect to close: requests in, answers out, and every way it can end.

There is no timer, task or future per request: an answer is written when the handler gives it, and all deadlines are
swept together (``ServerState.sweep``).

Lingering: after an answer that did not wait for the rest of the request, closing at once would make the kernel reset
the connection, and the client would lose the answer. So our side is shut, and what still arrives is thrown away for
a bounded time.
"""

import asyncio
from math import inf
from typing import Final, cast

from apidanalytics.ingest import refusals
from apidanalytics.ingest.answers import Answers
from apidanalytics.ingest.gate import CHOKED, LINGERING, Gate
from apidanalytics.ingest.http import CLOSE
from apidanalytics.ingest.intake import Intake
from apidanalytics.ingest.peers import Admit
from apidanalytics.ingest.repeats import TRIES, Repeat
from apidanalytics.ingest.request import PARSER_ERRORS
from apidanalytics.ingest.server_state import ServerState

DRAIN_GRACE_SECONDS: Final = 1.0
"""While draining, an idle connection stays open this long: a request may be on its way."""


class HttpConnection(asyncio.Protocol):
    """One client: the protocol of a transport, on one event loop."""

    __slots__ = (
        "_admit",
        "_answers",
        "_budget",
        "_gate",
        "_intake",
        "_is_tls",
        "_max_unanswered",
        "_queue",
        "_reader",
        "_repeat",
        "_small_bytes",
        "_state",
        "_transport",
        "_tries",
        "peer",
    )

    def __init__(self, state: ServerState, *, is_tls: bool = False, admit: Admit | None = None, peer: str = "") -> None:
        limits = state.limits
        self.peer = peer
        """The client's address, without its port."""
        self._state = state
        self._gate = Gate(state, request_timeout=limits.request_timeout, idle_seconds=limits.keepalive_timeout)
        self._answers = Answers(state, self._gate, self)
        self._intake = Intake(state, self._gate, self._answers, self._answers.queue)
        self._is_tls = is_tls
        self._admit = admit
        self._transport = cast(asyncio.Transport, None)  # until it is made
        # What every request needs, close at hand.
        self._budget = state.budget
        self._max_unanswered = limits.max_unanswered
        self._queue = self._answers.queue
        self._reader = self._intake.reader
        self._small_bytes = self._reader.small_bytes
        self._repeat: Repeat | None = None  # set only while the parser stands between two requests
        self._tries = TRIES

    @property
    def was_made(self) -> bool:
        """Whether it ever had a transport; if so, ``on_close`` is called when it is gone."""
        return self._transport is not None

    @property
    def deadline(self) -> float:
        """When ``expire`` is to be called; on the monotonic clock."""
        return self._gate.deadline

    @property
    def quiet_since(self) -> float:
        """When the last answer was sent, or the request began that is not complete; infinite while it waits for us."""
        return inf if self._queue else self._gate.quiet_since

    @property
    def is_within_request(self) -> bool:
        """Whether part of a request has been read, and part is to come."""
        return self._gate.is_clocked

    # The transport calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to read requests."""
        self._transport = cast(asyncio.Transport, transport)
        self._gate.transport = self._answers.transport = self._intake.transport = self._transport
        self._state.connections.add(self)
        if self._state.is_draining:
            self.drain()
        if self._admit is not None and not self._admit(transport.get_extra_info("peercert") or {}):
            self._intake.refuse_next()

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, and deliver the requests that are complete."""
        if self._gate.halted_by or len(data) > self._small_bytes:
            self._repeat = None
            self._intake.take(data)
            return
        reader = self._reader
        repeat = self._repeat
        if repeat is not None:
            if (exchange := repeat.read(data, self._state.arrival_time())) is not None:
                self._tries = TRIES
                reader.deliver(exchange)
                if self._budget.used > self._budget.limit or len(self._queue) >= self._max_unanswered:
                    self._intake.look_closer(data)
                return
            self._repeat = None  # the parser goes somewhere else now
        # What RequestReader.feed does, once more: a call is saved for nearly every request.
        is_first_piece = reader.is_between_requests and not reader.target_parts
        reader.is_between_requests = False
        try:
            reader.parse(data)
        except PARSER_ERRORS as error:
            trouble = error
        else:
            budget = self._budget
            if (
                not reader.is_between_requests
                or reader.target_parts
                or budget.used > budget.limit
                or len(self._queue) >= self._max_unanswered
            ):
                self._intake.look_closer(data)
            elif self._tries and is_first_piece:
                self._remember(data)
            return
        self._intake.look_closer(data, trouble)

    def _remember(self, data: bytes) -> None:
        """Be prepared for a request like this one."""
        self._tries -= 1
        if self._queue and self._state.spellings.plain(tuple(self._queue[-1].headers)) is not None:
            self._repeat = Repeat.of(data, self._queue[-1])

    def eof_received(self) -> bool:
        """Stay open as long as answers are owed: the client may have shut down only its own side."""
        if self._is_tls or not self._queue or self._gate.halted_by & LINGERING:
            return False  # the transport closes itself
        self._intake.throw_away_body()
        self._end_with_last_queued(lingers=False)
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - gone is gone
        """Let go of everything."""
        self._repeat = None  # it leads back here, where the garbage collector does not look
        self._gate.close()
        self._answers.forget()
        self._intake.read_no_more()
        self._state.connections.discard(self)
        self._state.on_close()

    def pause_writing(self) -> None:
        """Read nothing more from a client that does not read its answers."""
        if not self._gate.halted_by & LINGERING:
            self._gate.pause(CHOKED)

    def resume_writing(self) -> None:
        """Go on: the client has read enough of its answers."""
        if self._gate.halted_by & CHOKED:
            self._intake.lift(CHOKED)

    # The listener calls these.

    def expire(self) -> None:
        """Refuse a request that is too slow, close an idle connection, give up one that does not end."""
        gate = self._gate
        if gate.halted_by & (CHOKED | LINGERING):
            self._transport.abort()
        elif gate.is_clocked and not gate.halted_by:
            self._intake.refuse(refusals.too_slow())
        elif self._queue or gate.halted_by:
            gate.rest()  # the client waits for us
        else:
            self.close()

    def drain(self) -> None:
        """Serve what is in flight or on its way, then close."""
        gate = self._gate
        if gate.is_ending:
            return
        gate.idle_seconds = DRAIN_GRACE_SECONDS
        self._intake.read_one_more()
        if self._intake.has_begun:
            return
        if self._queue:
            self._end_with_last_queued(lingers=True)
        elif not gate.halted_by:
            gate.rest()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    # The answers call these.

    def look_after_answers(self) -> None:
        """Do what waited for answers to be written."""
        self._intake.look_after_answers()

    def finish(self) -> None:
        """Close after the last answer, in a way that lets the client read it."""
        self._linger()
        if self._gate.lingers and not self._is_tls:
            self._transport.write_eof()
            self._transport.resume_reading()
        else:
            self._transport.close()  # TLS does its own lingering

    def close(self) -> None:
        """Close without an answer to what is left."""
        self._answers.forget()
        self._linger()
        self._transport.close()

    def _linger(self) -> None:
        self._gate.linger()
        self._intake.read_no_more()

    def _end_with_last_queued(self, *, lingers: bool) -> None:
        self._queue[-1].ending = CLOSE
        self._gate.end(lingers=lingers)

    def __repr__(self) -> str:
        begun_bytes = self._intake.body.bytes
        return f"<HttpConnection {len(self._queue)} unanswered, {begun_bytes} bytes of a body, {self._gate!r}>"
