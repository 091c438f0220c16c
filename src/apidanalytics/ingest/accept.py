"""Answers the requests of the data API: a batch that passes every check goes to the spool, and its 200 follows it.

The usual batch takes one call from the request to the spool, without a task or a future. Those that take longer than
others should wait for are read in steps (``large``).
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Final

from apidanalytics.access.tokens import Token
from apidanalytics.clock import Clock
from apidanalytics.errors import ErrorCode, Refusal
from apidanalytics.ingest import defects
from apidanalytics.ingest.busy import BY_OUTCOME, Busy, busy_answers
from apidanalytics.ingest.counters import Counters
from apidanalytics.ingest.entrance import Entrance
from apidanalytics.ingest.guard import AUTHORIZATION, Guard, check_scope, finder
from apidanalytics.ingest.http import Exchange, Response, Work
from apidanalytics.ingest.large import STEP_BYTES, LargeBodies, Post
from apidanalytics.ingest.lease import Lease
from apidanalytics.ingest.lookups import tenant_by_scope
from apidanalytics.ingest.once import KEY_HEADER, REPLAYED, Mark, Once, read_key
from apidanalytics.ingest.payload import Payload, PayloadOptions, PayloadReader
from apidanalytics.ingest.ports import Keys, Scopes, Spool, Timers
from apidanalytics.ingest.probes import answer_other
from apidanalytics.ingest.routes import JSON, PROBES, Routes, check_content_type, is_zipped, method_not_allowed
from apidanalytics.ingest.waiting import WaitingLine
from apidanalytics.ingest.whose import PROBES_LANE, lane_of
from apidanalytics.model import Batch, Claim, Outcome

NOT_INITIALIZED: Final = "Service is not initialized completely"

_OK: Final = Response(200)
_COMMITTED: Final = Outcome.COMMITTED
_FOR_POST: Final = ((b"Allow", b"POST"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptOptions:
    """How requests are answered."""

    base_path: str = "/analytics"
    interval_seconds: int = 120
    """``apidanalytics_collection_interval``: the length of a bucket."""
    max_payload_bytes: int = 128 << 20
    """Of an unzipped body."""
    overload_wait_seconds: float = 10.0
    """How long a batch waits for room in the buffer."""
    max_over_share_bytes: int = 4 << 20
    """Of the batches of tenants over their share of the disk, that may wait."""
    overload_status: int = 503
    """Of every answer that says "try again later" (``busy``); 500 for a client that retries nothing else."""
    mark_secret: bytes = b""
    """Key of the hashes of bodies that come with an ``Idempotency-Key``; at most 64 bytes."""
    payload: PayloadOptions = field(default_factory=PayloadOptions)


class Acceptor:
    """The handler of the data API. All of it runs on the event loop."""

    def __init__(
        self,
        *,
        spool: Spool,
        keys: Keys,
        timers: Timers,
        clock: Clock,
        options: AcceptOptions,
        lease: Lease | None = None,
        guard: Guard | None = None,
    ) -> None:
        """Without a ``guard`` no token is asked for."""
        self._guard = guard or Guard()
        self._is_guarded = guard is not None
        self._post = self._accept_guarded if guard is not None else self._accept
        self._spool, self._now = spool, clock.now
        self._options = options
        self._routes = Routes(options.base_path)
        self.lease = lease or Lease()
        """How much the disk still has room for."""
        self.entrance = Entrance(
            WaitingLine(spool, timers, options.overload_wait_seconds),
            self.lease,
            timers,
            wait_seconds=options.overload_wait_seconds,
            max_over_share_bytes=options.max_over_share_bytes,
        )
        self._once = Once(keys, self.entrance, timers, options.overload_wait_seconds, self)
        self._scopes: Scopes | None = None
        self._reader: PayloadReader | None = None
        self.large = LargeBodies(
            self, self.lane_of, max_payload_bytes=options.max_payload_bytes, mark_secret=options.mark_secret
        )
        """Those that take longer than others should wait for."""
        self._busy = busy_answers(options.overload_status)
        self.counters = Counters()
        self.draining = False
        """Whether ``/ready`` says that no more batches should come; those that come are served."""

    def __repr__(self) -> str:
        state = "draining" if self.draining else "ready" if self._reader else "without scopes"
        return f"<Acceptor {state}: {len(self.entrance)} waiting, {len(self.large)} large>"

    @property
    def scopes(self) -> Scopes | None:
        """The source of scope data; None until there is one."""
        return self._scopes

    @scopes.setter
    def scopes(self, scopes: Scopes | None) -> None:
        self._scopes = scopes
        self._reader = PayloadReader(scopes, self._options.payload) if scopes else None

    def lane_of(self, path: bytes, body: bytes) -> str:
        """Tell whose a request is: a tenant, or one of the lanes that several share."""
        return PROBES_LANE if path in PROBES else lane_of(self._scopes, self._reader, self._routes.scope_of(path), body)

    def __call__(self, exchange: Exchange) -> Work | None:
        """Answer a request, now or later, exactly once; or return what is left to do, if it was held back."""
        try:
            scope = self._routes.scope_of(exchange.path)
            if scope is None:
                self._answer_other(exchange)
            elif exchange.method == b"POST":
                return self._post(exchange, scope)
            else:
                self._refuse(exchange, method_not_allowed("POST"), _FOR_POST)
        except Exception as error:  # noqa: BLE001 - the border: every request gets its answer
            self.fail(exchange, error)
        return None

    def _accept_guarded(self, exchange: Exchange, scope: str) -> Work | None:
        if not self._guard.is_ready:
            raise Refusal(500, ErrorCode.INTERNAL_SERVER_ERROR, NOT_INITIALIZED)
        token = self._guard.token(exchange.header(AUTHORIZATION))
        if isinstance(token, Response):
            self._answer(exchange, token, ErrorCode.UNAUTHORIZED)
            return None
        return self._accept(exchange, scope, token)

    def _accept(self, exchange: Exchange, scope: str, token: Token | None = None) -> Work | None:
        scopes, reader = self._scopes, self._reader
        if scopes is None or reader is None:
            raise Refusal(500, ErrorCode.INTERNAL_SERVER_ERROR, NOT_INITIALIZED)
        if (content_type := exchange.header(b"content-type")) != JSON:
            check_content_type(content_type)
        tenant = tenant_by_scope(scopes, scope) if scope else None
        find = None
        if token is not None:
            if tenant is not None:
                check_scope(token, scope, tenant)
            find = finder(token, reader.find)
        encoding = exchange.header(b"content-encoding")
        zipped = encoding is not None and is_zipped(encoding)
        key = read_key(exchange) if KEY_HEADER in (exchange.names or exchange.headers) else None
        body = exchange.body
        if zipped or len(body) > STEP_BYTES:
            post = Post(exchange, reader, tenant, find, key)
            small = self.large.small_body(body, zipped=zipped)
            if small is None:
                self.large.start(post, zipped=zipped)
                return None
            body = small
            if exchange.is_held_back and len(body) > STEP_BYTES:
                return self.large.in_steps(post, body)
        payload = reader.read(body, tenant, exchange.arrived_at, find)
        if key is None:
            self._append(exchange, payload)
        else:
            self._append_once(exchange, payload, Mark.of(key, body, self._options.mark_secret))
        return None

    def _append(self, exchange: Exchange, payload: Payload) -> None:
        exchange.body = b""  # the lines are what counts now; a batch may wait for the disk
        batch = self.batch(exchange, payload)
        done = partial(self.finish, exchange, batch)
        if not self.entrance.offer(batch, done):
            self.entrance.wait(batch, done, partial(self.say_busy, exchange, Busy.BUFFER_FULL))

    def _append_once(self, exchange: Exchange, payload: Payload, mark: Mark) -> None:
        exchange.body = b""
        self._once.accept(exchange, payload, mark)

    # Those who were given a request call these, too.

    def store(self, exchange: Exchange, payload: Payload, mark: Mark | None) -> None:
        """Hand a batch that passed every check to the spool."""
        if mark is None:
            self._append(exchange, payload)
        else:
            self._append_once(exchange, payload, mark)

    def batch(self, exchange: Exchange, payload: Payload, claim: Claim | None = None) -> Batch:
        """Make the batch of a request."""
        interval = self._options.interval_seconds
        return Batch(
            tenant=payload.tenant.name,
            start_at=int(exchange.arrived_at // interval) * interval,
            records=payload.records,
            lines=payload.lines,
            claim=claim,
        )

    def finish(self, exchange: Exchange, batch: Batch, outcome: Outcome) -> None:
        """Answer, now that it is known what became of the batch."""
        if outcome is _COMMITTED:
            counters = self.counters
            counters.batches += 1
            counters.records += batch.records
            counters.bytes += len(batch.lines)
            counters.seconds.observe(self._now() - exchange.arrived_at)
            exchange.respond(_OK)
        elif outcome is Outcome.UNKNOWN:
            self.counters.requests[0, ""] += 1
            exchange.abort()
        else:
            self.say_busy(exchange, BY_OUTCOME[outcome])

    def replayed(self, exchange: Exchange) -> None:
        """Answer that the batch was stored before."""
        self.counters.replayed += 1
        self._answer(exchange, REPLAYED)

    def say_busy(self, exchange: Exchange, busy: Busy) -> None:
        """Answer: try later."""
        self._answer(exchange, self._busy[busy], busy.code)

    def fail(self, exchange: Exchange, error: Exception) -> None:
        """Answer with a refusal, or to a defect."""
        if not isinstance(error, Refusal):
            defects.report(error)
            error = Refusal(500, ErrorCode.INTERNAL_SERVER_ERROR, "The service failed; nothing of the batch was kept")
        self._refuse(exchange, error)

    def _answer_other(self, exchange: Exchange) -> None:
        answer, code = answer_other(exchange.method, exchange.path, self._not_ready_because)
        self._answer(exchange, answer, code)

    def _not_ready_because(self) -> str | None:
        if self._reader is None or (self._is_guarded and not self._guard.is_ready):
            return NOT_INITIALIZED
        if self.draining:
            return "The service is stopping"
        if self.lease.is_full:
            return "The disk has no room for more"
        return None if self._spool.is_writable else "The disk refuses writes"

    def _refuse(self, exchange: Exchange, refusal: Refusal, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        self._answer(exchange, Response(refusal.status, refusal.body(), headers), refusal.code)

    def _answer(self, exchange: Exchange, response: Response, code: str = "") -> None:
        self.counters.answered(exchange, response.status, code)
        exchange.respond(response)
