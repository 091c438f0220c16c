"""Batches with an Idempotency-Key, as the client sees them: stored once, and no 200 that is not true."""

import pytest

from apidanalytics.ingest.accept import AcceptOptions
from apidanalytics.ingest.busy import Busy
from apidanalytics.ingest.once import ASK_AGAIN_SECONDS, REPLAYED
from apidanalytics.model import Fate, Outcome, Verdict
from tests.unit.ingest.batches import Api, body_of, good, request, told, zipped

BODY = body_of(good(n=1))
OTHER_BODY = body_of(good(n=2))


@pytest.fixture
def api() -> Api:
    return Api(AcceptOptions(overload_wait_seconds=10.0))


def test_the_first_batch_with_a_key_is_stored_and_every_repeat_is_not(api: Api):
    assert api.send(request(BODY, key="k")).headers == ()
    assert [api.send(request(BODY, key="k")) for _ in range(3)] == [REPLAYED] * 3
    assert REPLAYED.status == 200
    assert [batch.claim.key for batch in api.spool.batches] == ["k"]
    assert (api.acceptor.counters.replayed, api.acceptor.counters.records) == (3, 1)


def test_a_batch_without_a_key_has_no_claim_and_asks_nobody(api: Api):
    assert api.post(BODY) == api.post(BODY) == (200, "", "")
    assert [batch.claim for batch in api.spool.batches] == [None, None]
    assert api.keys.wishes == []


def test_the_same_key_with_another_body_is_refused(api: Api):
    api.post(BODY, key="k")
    reason = "This Idempotency-Key was used with another body before"
    assert api.post(OTHER_BODY, key="k") == (422, "IDEMPOTENCY_KEY_REUSED", reason)
    assert len(api.spool.batches) == 1


def test_a_repeat_may_be_zipped_where_the_first_was_not(api: Api):
    api.post(BODY, key="k")
    assert api.send(request(zipped(BODY), encoding="gzip", key="k")) is REPLAYED


def test_every_tenant_has_its_own_keys(api: Api):
    assert api.post(BODY, key="k") == api.post(BODY, key="k", path="/analytics/otherid") == (200, "", "")
    assert len({batch.tenant for batch in api.spool.batches}) == 2


@pytest.mark.parametrize("key", ["k", "!~", "k" * 255, "a:b,c;d"])
def test_a_key_is_up_to_255_visible_ascii_characters(api: Api, key):
    assert api.post(BODY, key=key) == (200, "", "")
    assert api.keys.wishes[0].key == key


@pytest.mark.parametrize("key", ["", " ", "a b", "k" * 256, b"\xc3\xa9", b"\x7f", b"a\tb"])
def test_any_other_key_is_refused_and_nothing_is_stored(api: Api, key):
    reason = "Idempotency-Key has to be 1 to 255 visible ASCII characters"
    assert api.post(BODY, key=key) == (400, "IDEMPOTENCY_KEY_INVALID", reason)
    assert api.spool.batches == []


def test_a_refused_batch_claims_no_key(api: Api):
    assert api.post(b"{", key="k")[0] == 400
    assert api.post(b"x", key="k", encoding="gzip")[0] == 400
    assert api.keys.wishes == []
    assert api.post(BODY, key="k") == (200, "", "")


@pytest.mark.parametrize(
    ("outcome", "fate", "answer"),
    [
        (Outcome.UNAVAILABLE, Fate.RELEASED, 503),
        (Outcome.NO_ROOM, Fate.RELEASED, 503),
        (Outcome.OVER_SHARE, Fate.RELEASED, 503),
        (Outcome.UNKNOWN, Fate.IN_DOUBT, 444),
    ],
)
def test_what_the_disk_refused_frees_the_key_unless_it_is_in_doubt(api: Api, outcome, fate, answer):
    api.spool.outcome = outcome
    assert api.send(request(BODY, key="k")).status == answer
    assert api.keys.fates == [fate]
    api.spool.outcome = Outcome.COMMITTED
    again = api.send(request(BODY, key="k"))
    assert (again is not None and again.status == 200) == (fate is Fate.RELEASED)


def test_no_repeat_gets_a_200_before_the_first_is_durable(api: Api):
    api.spool.outcome = None
    first, second = request(BODY, key="k"), request(BODY, key="k")
    assert (api.send(first), api.send(second)) == (None, None)
    api.timers.advance(3 * ASK_AGAIN_SECONDS)
    assert second.answer is None
    api.spool.waiting[0](Outcome.COMMITTED)
    assert first.answer.status == 200
    assert first.answer is not REPLAYED
    api.timers.advance(ASK_AGAIN_SECONDS)
    assert second.answer is REPLAYED
    assert len(api.spool.batches) == 1


def test_a_waiting_repeat_is_stored_when_the_first_was_refused(api: Api):
    api.spool.outcome = None
    first, second = request(BODY, key="k"), request(BODY, key="k")
    api.send(first)
    api.send(second)
    api.spool.outcome = Outcome.COMMITTED
    api.spool.waiting[0](Outcome.UNAVAILABLE)
    api.timers.advance(ASK_AGAIN_SECONDS)
    assert first.answer.status == 503
    assert second.answer.status == 200
    assert second.answer is not REPLAYED


@pytest.mark.parametrize(
    ("verdict", "busy", "after"),
    [
        (Verdict.IN_USE, Busy.KEY_IN_USE, 10.0),
        (Verdict.FULL, Busy.KEYS_FULL, 0.0),
        (Verdict.FAILED, Busy.KEYS_FAILED, 0.0),
    ],
)
def test_without_a_claim_the_answer_is_try_later_and_nothing_is_stored(api: Api, verdict, busy, after):
    api.keys.verdict = verdict
    exchange = request(BODY, key="k")
    api.send(exchange)
    api.timers.advance(max(after - 0.1, 0))
    assert (exchange.answer is None) == (after > 0)
    api.timers.advance(0.2)
    assert told(exchange.answer) == (503, busy.code, busy.reason)
    assert exchange.answer.headers[0][0] == b"Retry-After"
    assert api.spool.batches == []


def test_a_client_that_went_away_is_not_asked_for_again(api: Api):
    api.keys.verdict = Verdict.IN_USE
    exchange = request(BODY, key="k")
    api.send(exchange)
    exchange.channel.is_lost = True
    api.timers.advance(10)
    assert len(api.keys.wishes) == 2


def test_a_batch_that_waits_too_long_for_room_frees_its_key(api: Api):
    api.spool.room = 0
    exchange = request(BODY, key="k")
    api.send(exchange)
    api.timers.advance(10)
    assert told(exchange.answer)[1] == "OVERLOADED"
    assert api.keys.fates == [Fate.RELEASED]


def test_a_defect_on_the_way_to_the_spool_frees_the_key_and_answers_500(api: Api, monkeypatch):
    def broken(*_):
        raise RuntimeError("broken")

    monkeypatch.setattr(api.spool, "append", broken)
    api.keys.holds = True
    exchange = request(BODY, key="k")
    api.send(exchange)
    api.keys.held[0]()
    assert exchange.answer.status == 500
    assert api.keys.fates == [Fate.RELEASED]


async def test_a_large_batch_with_a_key_is_stored_once(api: Api):
    large = body_of(*(good(n=n, text="x" * 1000) for n in range(1500)))
    for expected in (None, REPLAYED):
        exchange = request(zipped(large), encoding="gzip", key="k")
        api.send(exchange)
        while exchange.answer is None:
            await _turn()
        assert exchange.answer.status == 200
        assert expected is None or exchange.answer is expected
    assert len(api.spool.batches) == 1


async def _turn():
    import asyncio

    await asyncio.sleep(0.002)
