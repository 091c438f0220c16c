"""A gateway's requests, and stand-ins for what stage 1 needs from others."""

import heapq
import json
import zlib
from collections.abc import Callable
from typing import Any

from apidanalytics.errors import LookupFailedError
from apidanalytics.ingest.accept import AcceptOptions, Acceptor
from apidanalytics.ingest.guard import Guard
from apidanalytics.ingest.http import KEEP, Exchange, Response
from apidanalytics.ingest.payload import PayloadOptions
from apidanalytics.model import Batch, Claim, Developer, Fate, Outcome, Tenant, Verdict, Wish
from apidanalytics.scopes.tails import WITHOUT_KEY, TailTable, tail_of

NOW = 1_795_310_045.0
NOW_MS = int(NOW) * 1000

TENANT = Tenant(org="testorg", env="testenv", tenant_id="tenantid")
OTHER_TENANT = Tenant(org="otherorg", env="otherenv", tenant_id="otherid")
DEVELOPER = Developer(
    api_product="testproduct",
    developer_app="testapp",
    developer_email="testdeveloper@test.com",
    developer="testdeveloper",
)

TENANT_ADDED = {"organization": "testorg", "environment": "testenv"}
DEVELOPER_ADDED = {
    "api_product": "testproduct",
    "developer_app": "testapp",
    "developer_email": "testdeveloper@test.com",
    "developer": "testdeveloper",
}
EMPTY_DEVELOPER = dict.fromkeys(DEVELOPER_ADDED, "")

GOOD = {"client_received_start_timestamp": NOW_MS - 5, "client_received_end_timestamp": NOW_MS}
"""A record that both profiles accept."""


def good(**members: Any) -> dict[str, Any]:
    return {**GOOD, **members}


def body_of(*records: Any, **members: Any) -> bytes:
    return json.dumps({**members, "records": list(records)}, separators=(",", ":")).encode()


def zipped(text: bytes) -> bytes:
    return zlib.compress(text, 6, 31)


NAMED = {"organization": "testorg", "environment": "testenv"}
GOOD_BODY = body_of(GOOD, **NAMED)
"""A batch for either route."""
OK = (200, "", "")
"""What is told of a batch that was taken."""


class FakeScopes:
    """Two tenants; ``testapikey`` is known to the first. Counts what it is asked."""

    def __init__(self) -> None:
        self.tenants = {"testid": TENANT, "otherid": OTHER_TENANT}
        self.developers: dict[tuple[str, str], Developer] = {("tenantid", "testapikey"): DEVELOPER}
        self.tenants_fail = False
        self.developers_fail = False
        self.asked: list[tuple[str, ...]] = []

    def tenant(self, scope_uuid: str) -> Tenant | None:
        self._ask("tenant", scope_uuid, fails=self.tenants_fail)
        return self.tenants.get(scope_uuid)

    def tenant_of(self, org: str, env: str) -> Tenant | None:
        self._ask("tenant_of", org, env, fails=self.tenants_fail)
        return next((one for one in self.tenants.values() if (one.org, one.env) == (org, env)), None)

    def tails(self, tenant: Tenant) -> "FakeTails":
        return FakeTails(self, tenant.tenant_id)

    def _ask(self, *question: str, fails: bool) -> None:
        self.asked.append(question)
        if fails:
            raise LookupFailedError("database is locked")


class FakeTails(TailTable):
    """Asks each time, and remembers nothing."""

    def __init__(self, scopes: FakeScopes, tenant_id: str) -> None:
        super().__init__({None: WITHOUT_KEY, "": WITHOUT_KEY})
        self._scopes = scopes
        self._tenant_id = tenant_id

    def __missing__(self, api_key: str) -> bytes:
        self._scopes._ask("developer", self._tenant_id, api_key, fails=self._scopes.developers_fail)
        return tail_of(self._scopes.developers.get((self._tenant_id, api_key)))


class FakeSpool:
    """Keeps batches in memory; has ``room`` for so many, and ends each with ``outcome``, or later if that is None.

    It has no places beyond its room, unless ``places_beyond`` says so.
    """

    def __init__(self) -> None:
        self.on_room: Callable[[], None] | None = None
        self.is_writable = True
        self.room = 1_000_000
        self.places_beyond = 0
        self.outcome: Outcome | None = Outcome.COMMITTED
        self.batches: list[Batch] = []
        self.waiting: list[Callable[[Outcome], None]] = []

    def append(self, batch: Batch, done: Callable[[Outcome], None], *, beyond: int = 0) -> bool:
        if self.room + min(beyond, self.places_beyond) <= 0:
            return False
        self.room -= 1
        self.batches.append(batch)
        if self.outcome is None:
            self.waiting.append(done)
        else:
            done(self.outcome)
        return True

    def make_room(self, batches: int) -> None:
        self.room += batches
        assert self.on_room is not None
        self.on_room()

    @property
    def records(self) -> list[Any]:
        return [json.loads(line) for batch in self.batches for line in batch.lines.splitlines()]


class FakeKeys:
    """An index that forgets nothing, and answers at once; or says ``verdict``, or answers later if told ``holds``."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], tuple[bytes, Claim | None]] = {}
        self.verdict: Verdict | None = None
        self.holds = False
        self.held: list[Callable[[], None]] = []
        self.fates: list[Fate] = []
        self.wishes: list[Wish] = []

    def claim(self, wish: Wish, done: Callable[[Verdict, Claim | None], None]) -> None:
        self.wishes.append(wish)
        if self.holds:
            self.held.append(lambda: done(*self._answer(wish)))
        else:
            done(*self._answer(wish))

    def _answer(self, wish: Wish) -> tuple[Verdict, Claim | None]:
        if self.verdict is not None:
            return self.verdict, None
        body, open_claim = self.rows.get((wish.tenant, wish.key), (wish.body, None))
        if (wish.tenant, wish.key) not in self.rows:
            claim = Claim(tenant=wish.tenant, key=wish.key, ticket=wish.ticket)
            self.rows[wish.tenant, wish.key] = wish.body, claim
            return Verdict.GRANTED, claim
        if open_claim is not None:
            return Verdict.IN_USE, None
        return Verdict.REPLAYED if body == wish.body else Verdict.REUSED, None

    def settle(self, claim: Claim, fate: Fate) -> None:
        self.fates.append(fate)
        body, open_claim = self.rows.pop((claim.tenant, claim.key))
        assert open_claim == claim
        if fate is not Fate.RELEASED:
            self.rows[claim.tenant, claim.key] = body, None if fate is Fate.STORED else claim


class FakeTimer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class FakeTimers:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._due: list[tuple[float, int, FakeTimer]] = []

    def time(self) -> float:
        return self._now

    def call_at(self, when: float, callback: Callable[[], None], /) -> FakeTimer:
        timer = FakeTimer(callback)
        heapq.heappush(self._due, (when, len(self._due), timer))
        return timer

    def advance(self, seconds: float) -> None:
        until = self._now + seconds
        while self._due and self._due[0][0] <= until:
            self._now, _, timer = heapq.heappop(self._due)
            if timer.callback is not None:
                timer.callback()
        self._now = until


class FakeChannel:
    def __init__(self) -> None:
        self.is_lost = False
        self.answers: list[Response] = []

    def answer_ready(self, exchange: Exchange) -> None:
        assert exchange.answer is not None
        self.answers.append(exchange.answer)


def request(
    body: bytes = b"",
    *,
    path: str = "/analytics/testid",
    method: str = "POST",
    content_type: str | None = "application/json",
    encoding: str | None = None,
    key: str | bytes | None = None,
    arrived_at: float = NOW,
    channel: FakeChannel | None = None,
) -> Exchange:
    headers = {b"host": b"localhost"}
    if key is not None:
        headers[b"idempotency-key"] = key.encode() if isinstance(key, str) else key
    if content_type is not None:
        headers[b"content-type"] = content_type.encode()
    if encoding is not None:
        headers[b"content-encoding"] = encoding.encode()
    return Exchange(channel or FakeChannel(), method.encode(), path.encode(), headers, body, arrived_at, KEEP)


class FakeClock:
    """A quarter of a second after the requests of ``request``."""

    def now(self) -> float:
        return NOW + 0.25

    def monotonic(self) -> float:
        return 0.25


class Api:
    """An acceptor between a fake spool and fake scopes; with ``tokens``, where those are asked for."""

    def __init__(self, options: AcceptOptions | None = None, *, tokens: Any = (), **payload: Any) -> None:
        self.spool = FakeSpool()
        self.timers = FakeTimers()
        self.clock = FakeClock()
        self.keys = FakeKeys()
        self.scopes = FakeScopes()
        options = options or AcceptOptions(payload=PayloadOptions(**payload))
        self.guard = Guard()
        if tokens:
            self.guard.renew(tokens)
        self.acceptor = Acceptor(
            spool=self.spool,
            keys=self.keys,
            timers=self.timers,
            clock=self.clock,
            options=options,
            guard=None if tokens == () else self.guard,
        )
        self.acceptor.scopes = self.scopes

    def send(self, exchange: Exchange) -> Response | None:
        self.acceptor(exchange)
        return exchange.answer

    def post(self, body: bytes, **how: Any) -> tuple[int, str, str]:
        """Return status, errorCode and reason."""
        return told(self.send(request(body, **how)))


def told(response: Response | None) -> tuple[int, str, str]:
    assert response is not None
    if not response.body:
        return response.status, "", ""
    answer = json.loads(response.body)
    return response.status, answer["errorCode"], answer["reason"]
