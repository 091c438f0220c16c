"""The players over real connections, against a stand-in for the service: every kind of answer becomes a verdict."""

import asyncio
import gzip
import json
import socket
from dataclasses import replace

import aiohttp
import pytest
from aiohttp import web

from apidanalytics.demo.check import Oracle
from apidanalytics.demo.play import Play, Tally
from apidanalytics.demo.post import Post
from apidanalytics.demo.traffic import Traffic
from tests.unit.demo.cast import ACCOUNTS, record

POST = Post(
    tenant="acme~prod",
    records=(record(1), record(2)),
    path="/analytics/scope-a",
    named=False,
    body=b'{"records":[%s,%s]}' % (record(1), record(2)),
    headers={"Content-Type": "application/json"},
)
WRONG = replace(POST, refusal=(400, "BAD_DATA"))


class StandIn:
    """Answers every POST as it is told, and keeps what it got."""

    def __init__(self):
        self.answer = (200, b"")
        self.requests = []

    async def handle(self, request):
        body = await request.read()
        self.requests.append((request, body))
        if self.answer is None:
            request.transport.abort()
        status, text = self.answer or (200, b"")
        return web.Response(status=status, body=text)


@pytest.fixture
async def stand_in():
    stand_in = StandIn()
    application = web.Application(client_max_size=2**26)
    application.router.add_post("/{path:.*}", stand_in.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    stand_in.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield stand_in
    await runner.cleanup()


@pytest.fixture
async def play(stand_in):
    oracle = Oracle(ACCOUNTS)
    traffic = Traffic(ACCOUNTS, seed=1)
    async with aiohttp.ClientSession() as session:
        play = Play(session, stand_in.url, traffic, oracle, records_per_second=1e9)
        play.oracle = oracle
        yield play


def counts(play):
    total = play.oracle.compare([]).total()
    return (total.accepted, total.refused, total.unanswered)


def error(code):
    return json.dumps({"errorCode": code, "reason": "r"}).encode()


@pytest.mark.parametrize(
    ("post", "answer", "verdict", "surprise"),
    [
        (POST, (200, b""), (2, 0, 0), None),
        (POST, (503, error("OVERLOADED")), (0, 2, 0), None),
        (POST, (400, error("BAD_DATA")), (0, 2, 0), "400 BAD_DATA instead of 200"),
        (POST, (200, b"{}"), (2, 0, 0), "200 a body without errorCode instead of 200"),
        (POST, (500, b"oops"), (0, 2, 0), "500 a body that is not JSON instead of 200"),
        (POST, None, (0, 0, 2), None),
        (WRONG, (400, error("BAD_DATA")), (0, 2, 0), None),
        (WRONG, (400, error("NO_RECORDS")), (0, 2, 0), "400 NO_RECORDS instead of 400 BAD_DATA"),
        (WRONG, (200, b""), (2, 0, 0), "200 instead of 400 BAD_DATA"),
    ],
    ids=["200", "503", "refused", "200 with body", "no JSON", "no answer", "bad", "other code", "bad but accepted"],
)
async def test_every_answer_becomes_a_verdict(play, stand_in, post, answer, verdict, surprise):
    stand_in.answer = answer
    await play.send(post)
    assert counts(play) == verdict
    assert play.surprises == ([surprise] if surprise else [])
    assert play.tallies["acme~prod"] == Tally(2, *verdict)
    assert play.in_flight == 0


async def test_what_could_not_leave_is_refused(play, stand_in):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # nobody listens there
        play._url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        await play.send(POST)
    assert counts(play) == (0, 2, 0)


async def test_a_request_arrives_as_it_was_drawn_up(play, stand_in):
    zipped = replace(
        POST, body=gzip.compress(POST.body * 1000), headers={**POST.headers, "Content-Encoding": "gzip"}, chunked=True
    )
    await play.send(zipped)
    ((request, body),) = stand_in.requests
    assert request.headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in request.headers
    assert (request.path, request.content_type) == ("/analytics/scope-a", "application/json")
    assert body == POST.body * 1000  # aiohttp's server has unzipped it: it was zipped once, not twice
    assert play.zipped == 1


async def test_playing_keeps_connections_and_sends_what_the_traffic_makes(play, stand_in):
    await play.run(seconds=0.5, connections=4)
    assert len(stand_in.requests) == play.posts > 4
    assert len({request.transport for request, _ in stand_in.requests}) <= 4
    assert sum(tally.sent for tally in play.tallies.values()) == play.oracle.records


async def test_the_rate_is_kept(play, stand_in):
    play._rate = 0.001
    await play.run(seconds=0.3, connections=4)
    assert len(stand_in.requests) == 1  # the next one's turn would be far beyond the end


async def test_a_volley_is_in_flight_at_once(play, stand_in):
    volley = play.volley(20)
    await asyncio.sleep(0)
    assert play.in_flight == 20
    await asyncio.gather(*volley)
    assert len(stand_in.requests) == 20
    assert play.in_flight == 0
