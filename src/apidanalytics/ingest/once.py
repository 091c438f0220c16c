"""Batches that come with an ``Idempotency-Key``: each is stored once, however often it is sent.

::

    key, hash of the body --claim--> GRANTED --> line --> spool --> COMMITTED: settle, 200
              ^                        |          |         |
              |                        |          |         +-----> UNAVAILABLE: release, 503
              +--IN_USE: after a while |          +--waits too long: release, 503
                 (too long: 503)       |                    +-----> UNKNOWN: in doubt, no answer
                                       |
                              REPLAYED: 200, Idempotency-Replayed: true
                              REUSED: 422       FULL, FAILED: 503

Nothing is claimed before the batch has passed every check, and no 200 leaves before its batch, or the one that it
repeats, is durable.
"""

import secrets
from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from typing import Final, NamedTuple, Protocol

from apidanalytics.errors import ErrorCode, Refusal
from apidanalytics.ingest.busy import Busy
from apidanalytics.ingest.entrance import Line
from apidanalytics.ingest.http import Exchange, Response
from apidanalytics.ingest.payload import Payload
from apidanalytics.ingest.ports import Keys, Timers
from apidanalytics.model import Batch, Claim, Fate, Outcome, Verdict, Wish

KEY_HEADER: Final = b"idempotency-key"
MAX_KEY_BYTES: Final = 255
ASK_AGAIN_SECONDS: Final = 0.05
"""Pause before asking again for a key that is in use."""

REPLAYED: Final = Response(200, headers=((b"Idempotency-Replayed", b"true"),))
_FATES: Final = {
    Outcome.COMMITTED: Fate.STORED,
    Outcome.UNAVAILABLE: Fate.RELEASED,
    Outcome.NO_ROOM: Fate.RELEASED,
    Outcome.OVER_SHARE: Fate.RELEASED,
    Outcome.UNKNOWN: Fate.IN_DOUBT,
}
_BUSY: Final = {
    Verdict.IN_USE: Busy.KEY_IN_USE,
    Verdict.FULL: Busy.KEYS_FULL,
    Verdict.FAILED: Busy.KEYS_FAILED,
}


class Mark(NamedTuple):
    """What makes a request one of a kind, beside its tenant."""

    key: str
    body: bytes
    """Hash of the unzipped body."""

    @classmethod
    def of(cls, key: str, body: bytes, secret: bytes = b"") -> "Mark":
        """Hash a body: a millisecond per megabyte. With a ``secret``, what is in it cannot be found out by trying."""
        return cls(key, blake2b(body, digest_size=16, key=secret).digest())


def read_key(exchange: Exchange) -> str:
    """Return the key of a request that has one.

    Raises:
        Refusal: it is not 1 to 255 visible ASCII characters.

    """
    value = exchange.header(KEY_HEADER) or b""
    if not 0 < len(value) <= MAX_KEY_BYTES or not all(0x21 <= byte <= 0x7E for byte in value):
        reason = f"Idempotency-Key has to be 1 to {MAX_KEY_BYTES} visible ASCII characters"
        raise Refusal(400, ErrorCode.IDEMPOTENCY_KEY_INVALID, reason)
    return value.decode("ascii")


class Owner(Protocol):
    """The acceptor."""

    def batch(self, exchange: Exchange, payload: Payload, claim: Claim) -> Batch:
        """Make the batch of a request."""

    def finish(self, exchange: Exchange, batch: Batch, outcome: Outcome) -> None:
        """Answer, now that it is known what became of the batch."""

    def say_busy(self, exchange: Exchange, busy: Busy) -> None:
        """Answer: try later."""

    def fail(self, exchange: Exchange, error: Exception) -> None:
        """Answer with a refusal, or to a defect."""

    def replayed(self, exchange: Exchange) -> None:
        """Answer that the batch was stored before."""


class _Request(NamedTuple):
    exchange: Exchange
    payload: Payload
    wish: Wish
    deadline: float


class Once:
    """Claims keys, stores the batches whose keys were granted, and answers the others."""

    def __init__(self, keys: Keys, line: Line, timers: Timers, wait_seconds: float, owner: Owner) -> None:
        self._keys = keys
        self._line = line
        self._timers = timers
        self._wait_seconds = wait_seconds
        self._owner = owner

    def accept(self, exchange: Exchange, payload: Payload, mark: Mark) -> None:
        """Store the batch unless it is stored already; answer, once, now or later."""
        wish = Wish(tenant=payload.tenant.name, key=mark.key, body=mark.body, ticket=secrets.randbits(63))
        self._ask(_Request(exchange, payload, wish, self._timers.time() + self._wait_seconds))

    def _ask(self, request: _Request) -> None:
        self._guarded(request, lambda: self._keys.claim(request.wish, partial(self._told, request)))

    def _told(self, request: _Request, verdict: Verdict, claim: Claim | None) -> None:
        self._guarded(request, lambda: self._follow(request, verdict, claim))

    def _guarded(self, request: _Request, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - the border: every request gets its answer
            self._owner.fail(request.exchange, error)

    def _follow(self, request: _Request, verdict: Verdict, claim: Claim | None) -> None:
        exchange = request.exchange
        if claim is not None:
            self._store(request, claim)
        elif verdict is Verdict.REPLAYED:
            self._owner.replayed(exchange)
        elif verdict is Verdict.REUSED:
            reason = "This Idempotency-Key was used with another body before"
            raise Refusal(422, ErrorCode.IDEMPOTENCY_KEY_REUSED, reason)
        elif verdict is Verdict.IN_USE and not exchange.is_gone and self._timers.time() < request.deadline:
            self._timers.call_at(self._timers.time() + ASK_AGAIN_SECONDS, partial(self._ask, request))
        else:
            self._owner.say_busy(exchange, _BUSY[verdict])

    def _store(self, request: _Request, claim: Claim) -> None:
        try:
            batch = self._owner.batch(request.exchange, request.payload, claim)
            done = partial(self._done, request.exchange, batch)
            if not self._line.offer(batch, done):
                self._line.wait(batch, done, partial(self._give_up, request.exchange, claim))
        except BaseException:
            self._keys.settle(claim, Fate.RELEASED)
            raise

    def _done(self, exchange: Exchange, batch: Batch, outcome: Outcome) -> None:
        assert batch.claim is not None
        self._keys.settle(batch.claim, _FATES[outcome])
        self._owner.finish(exchange, batch, outcome)

    def _give_up(self, exchange: Exchange, claim: Claim) -> None:
        self._keys.settle(claim, Fate.RELEASED)
        self._owner.say_busy(exchange, Busy.BUFFER_FULL)
