"""Large bodies: unzipped in a thread, read in steps, one at a time, and refused as soon as a limit is passed.

Others are read in steps, too, when they were held back.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from apidanalytics.ingest import large as reading
from apidanalytics.ingest.accept import AcceptOptions
from apidanalytics.ingest.http import Exchange
from apidanalytics.ingest.inflate import inflate
from apidanalytics.ingest.payload import PayloadOptions
from tests.unit.ingest.batches import GOOD, TENANT_ADDED, Api, FakeChannel, body_of, good, request, told, zipped

LARGE = body_of(*[good(n=number, pad="x" * 400) for number in range(3000)])


async def answered(api: Api, exchange: Exchange) -> tuple[int, str, str]:
    api.send(exchange)
    await answer_to(exchange)
    return told(exchange.answer)


async def answer_to(exchange: Exchange) -> None:
    async with asyncio.timeout(60):
        while exchange.answer is None:
            await asyncio.sleep(0.001)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    api = Api()
    yield api
    await asyncio.sleep(0)
    assert repr(api.acceptor).endswith("0 large>")


@pytest.mark.parametrize("encoding", [None, "gzip"])
async def test_a_large_batch_is_accepted_like_a_small_one(api: Api, encoding: str | None):
    assert len(LARGE) > reading.SMALL_BYTES
    body = zipped(LARGE) if encoding else LARGE
    assert await answered(api, request(body, encoding=encoding)) == (200, "", "")
    assert len(api.spool.batches) == 1
    assert api.spool.records[1999] == good(n=1999, pad="x" * 400) | TENANT_ADDED


@pytest.mark.parametrize("encoding", [None, "gzip"])
async def test_a_small_batch_is_answered_at_once(api: Api, encoding: str | None):
    body = zipped(body_of(GOOD)) if encoding else body_of(GOOD)
    exchange = request(body, encoding=encoding)
    api.send(exchange)
    assert told(exchange.answer) == (200, "", "")


async def test_others_are_served_while_a_large_batch_is_read(api: Api):
    large = request(LARGE)
    api.send(large)
    assert repr(api.acceptor).endswith("1 large>")
    assert api.post(body_of(GOOD)) == (200, "", "")
    assert large.answer is None
    await answer_to(large)
    assert [batch.records for batch in api.spool.batches] == [1, 3000]


async def test_large_batches_are_read_one_at_a_time_in_order(api: Api):
    exchanges = [request(zipped(LARGE), encoding="gzip"), request(LARGE), request(LARGE[:-1]), request(LARGE)]
    for exchange in exchanges:
        api.send(exchange)
    order: list[int] = []
    async with asyncio.timeout(60):
        while len(order) < len(exchanges):
            await asyncio.sleep(0)
            order += [index for index, one in enumerate(exchanges) if one.answer is not None and index not in order]
    assert order == [0, 1, 2, 3]
    assert [told(one.answer)[0] for one in exchanges] == [200, 200, 400, 200]


async def test_a_client_that_is_gone_costs_no_more_work(api: Api):
    channel = FakeChannel()
    first, gone = request(LARGE), request(LARGE, channel=channel)
    channel.is_lost = True
    await answered(api, first)
    api.send(gone)
    await answer_to(gone)
    assert len(api.spool.batches) == 1


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (LARGE[:-1], 400, "BAD_DATA"),
        (LARGE.replace(b'"n":2999', b'"client_id":5'), 400, "BAD_DATA"),
        (LARGE + b"x", 400, "BAD_DATA"),
        (b" " * (2 << 20), 400, "BAD_DATA"),
        (b'{"records":[' + b"{}," * 400_000 + b"{}]}", 413, "PAYLOAD_TOO_LARGE"),
    ],
    ids=["cut", "one bad record", "bytes behind", "white space", "bomb of records"],
)
@pytest.mark.parametrize("encoding", [None, "gzip"])
async def test_a_large_body_is_refused_like_a_small_one(api: Api, body: bytes, status: int, code: str, encoding: Any):
    exchange = request(zipped(body) if encoding else body, encoding=encoding)
    assert (await answered(api, exchange))[:2] == (status, code)
    assert api.spool.batches == []


async def test_damaged_gzip_is_noticed_in_a_large_body_too(api: Api):
    body = zipped(LARGE)
    answer = await answered(api, request(body[:-1], encoding="gzip"))
    assert answer == (400, "BAD_DATA", "Gzip Encoded data cannot be read")


@pytest.mark.parametrize("limit", [5000, 2 << 20])
async def test_the_unzipped_size_is_limited_to_the_byte(limit: int):
    filler = limit - len(body_of(good(pad="")))
    for more, status in ((0, 200), (1, 413)):
        api = Api(AcceptOptions(max_payload_bytes=limit))
        body = body_of(good(pad="x" * (filler + more)))
        assert len(body) == limit + more
        answer = await answered(api, request(zipped(body), encoding="gzip"))
        assert answer[0] == status
        if status == 413:
            assert answer[1:] == ("PAYLOAD_TOO_LARGE", f"The unzipped body may have at most {limit} bytes")


async def test_a_bomb_within_the_limit_of_bytes_is_refused_for_its_records():
    api = Api(AcceptOptions(payload=PayloadOptions(max_records=10)))
    bomb = zipped(b'{"records":[' + b"{}," * 20_000_000 + b"{}]}")
    assert len(bomb) < 100_000
    assert (await answered(api, request(bomb, encoding="gzip")))[:2] == (413, "PAYLOAD_TOO_LARGE")


async def test_a_defect_while_a_large_body_is_read_is_a_500(api: Api, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(reading, "read_in_steps", fail)
    assert (await answered(api, request(LARGE)))[:2] == (500, "INTERNAL_SERVER_ERROR")


async def test_a_large_body_that_is_cut_off_by_the_end_of_the_process_gets_no_answer(api: Api):
    exchange = request(LARGE)
    api.send(exchange)
    await asyncio.sleep(0)
    (task,) = api.acceptor.large._tasks
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert exchange.answer is not None
    assert exchange.answer.status == 444
    assert api.spool.batches == []


async def test_a_record_of_a_million_members_holds_up_nobody():
    api = Api()
    members = b",".join(b'"%07d":1' % number for number in range(1_000_000))
    record = b'{"client_received_start_timestamp":1,"organization":null,"organization":null,' + members + b"}"
    exchange = request(b'{"records":[' + record + b"]}")
    api.send(exchange)
    while exchange.answer is None:
        await asyncio.sleep(0)
    assert told(exchange.answer)[:2] == (413, "PAYLOAD_TOO_LARGE")


HELD = body_of(*[good(n=number, pad="x" * 400) for number in range(900)])
"""Several slices, and not large."""
HELD_LANES = frozenset({"testorg~testenv"})
HELD_BODIES = [
    pytest.param(HELD, id="good"),
    pytest.param(body_of(*json.loads(HELD)["records"], {}), id="a bad record"),
    pytest.param(HELD[:-1], id="cut short"),
    pytest.param(b'{"organization":"testorg","environment":"testenv",' + HELD[1:], id="named"),
]


def held(body: bytes, **how: Any) -> Exchange:
    exchange = request(body, **how)
    exchange.is_held_back = True
    return exchange


@pytest.mark.parametrize("key", [None, "key"])
@pytest.mark.parametrize("encoding", [None, "gzip"])
@pytest.mark.parametrize("body", HELD_BODIES)
async def test_a_body_that_was_held_back_is_read_in_steps_and_answered_like_any_other(
    api: Api, body: bytes, encoding: str | None, key: str | None
):
    how: Any = {"encoding": encoding, "key": key, "path": "/analytics" if b"testorg" in body else "/analytics/testid"}
    sent = zipped(body) if encoding else body
    assert len(body) > reading.STEP_BYTES
    at_once = Api()
    expected = at_once.post(sent, **how)
    exchange = held(sent, **how)
    work = api.acceptor(exchange)
    assert work is not None
    assert exchange.answer is None
    steps = sum(1 for _ in work)
    assert steps >= 2
    assert told(exchange.answer) == expected
    assert api.spool.records == at_once.spool.records
    assert api.keys.rows.keys() == at_once.keys.rows.keys()


async def test_a_small_body_that_was_held_back_is_read_at_once(api: Api):
    exchange = held(body_of(GOOD))
    assert api.acceptor(exchange) is None
    assert told(exchange.answer) == (200, "", "")


async def test_a_large_body_that_was_held_back_is_unzipped_and_goes_on_only_when_it_may(
    api: Api, monkeypatch: pytest.MonkeyPatch
):
    exchange = request(zipped(LARGE), encoding="gzip")
    may_go, asked = False, 0

    def ask() -> bool:
        nonlocal asked
        asked += 1
        return may_go

    api.send(exchange)
    api.acceptor.large.held_back, api.acceptor.large.pace = HELD_LANES, ask  # it was handed on before anybody was held
    unzipped: list[bytes] = []
    monkeypatch.setattr(reading, "inflate", lambda *what: unzipped.append(b"") or inflate(*what))
    async with asyncio.timeout(60):
        while asked < 5:
            await asyncio.sleep(0.001)
    assert exchange.answer is None
    assert not unzipped
    may_go = True
    await answer_to(exchange)
    assert told(exchange.answer) == (200, "", "")
    assert len(unzipped) == 1
    assert exchange.weight > 1
    assert asked - 5 > len(LARGE) // reading.STEP_BYTES / 2
    assert len(api.spool.records) == 3000


async def test_a_large_body_that_was_held_back_does_not_keep_that_of_another_waiting(api: Api):
    api.acceptor.large.held_back, api.acceptor.large.pace = HELD_LANES, lambda: False
    first = request(LARGE)
    api.send(first)
    await asyncio.sleep(0.01)
    assert first.answer is None
    other = request(LARGE, path="/analytics/otherid")
    api.send(other)
    await answer_to(other)
    assert told(first.answer) == told(other.answer) == (200, "", "")
