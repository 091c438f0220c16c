"""What is owed to one client: answers may be ready in any order, and are written in the order of the requests."""

import asyncio
from collections import deque
from typing import Protocol, cast

from apidanalytics.ingest.gate import CLOSED, Gate
from apidanalytics.ingest.http import CLOSE, KEEP, NO_ANSWER, Exchange, Response
from apidanalytics.ingest.server_state import ServerState


class Owner(Protocol):
    """The connection."""

    def finish(self) -> None:
        """Close in a way that lets the client read its last answer, which has been written."""

    def close(self) -> None:
        """Close without any further answer."""

    def look_after_answers(self) -> None:
        """Do what waited for answers to be written."""


class Answers:
    """The channel of all exchanges of one connection. ``transport`` must be set before the first."""

    __slots__ = ("_budget", "_gate", "_owner", "_state", "queue", "transport")

    def __init__(self, state: ServerState, gate: Gate, owner: Owner) -> None:
        self._state = state
        self._budget = state.budget
        self._gate = gate
        self._owner = owner
        self.transport = cast(asyncio.Transport, None)
        self.queue: deque[Exchange] = deque()
        """Exchanges that have no answer, or wait for those before them; oldest first. Their bodies are counted."""

    @property
    def is_lost(self) -> bool:
        """Whether no answer can be sent any more."""
        return self._gate.halted_by >= CLOSED

    def answer_ready(self, exchange: Exchange) -> None:
        """Write this answer, and those that waited for it, unless earlier ones are missing."""
        queue = self.queue
        if not queue or queue[0] is not exchange:
            return
        budget = self._budget
        state = self._state
        while (answer := exchange.answer) is not None:
            queue.popleft()
            budget.used -= exchange.body_bytes
            if budget.line:
                budget.settle()
            if answer.body or exchange.ending:
                if not self._write_unusual(exchange, answer):
                    return
            else:
                self.transport.write(answer.head + state.tails[KEEP])
            if not queue:
                break
            exchange = queue[0]
        gate = self._gate
        if gate.halted_by or gate.is_clocked:
            self._owner.look_after_answers()
        else:
            gate.deadline = state.now + gate.idle_seconds  # as gate.rest() does

    def forget(self) -> None:
        """Give up all that are not written."""
        self._budget.used -= sum(exchange.body_bytes for exchange in self.queue)
        self.queue.clear()

    def _write_unusual(self, exchange: Exchange, answer: Response) -> bool:
        """Write an answer that has a body, or that may be the last; return whether the connection goes on."""
        if answer is NO_ANSWER:
            self._owner.close()
            return False
        body = b"" if exchange.method == b"HEAD" else answer.body
        self.transport.write(answer.head + self._state.tails[exchange.ending] + body)
        if exchange.ending == CLOSE:
            self._owner.finish()
            return False
        return True
