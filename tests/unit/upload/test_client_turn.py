"""A URL is asked for ahead of the file's turn; one that had to wait for too long is not used."""

import pytest

from apidanalytics.upload.answers import Answer
from apidanalytics.upload.client import CollectionClient, Delivery
from apidanalytics.upload.content import Content
from apidanalytics.upload.outcome import Delivered, Party, Unreachable
from apidanalytics.upload.token import FixedToken
from apidanalytics.upload.turns import Turns

EXPIRED = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
GONE = Unreachable(party=Party.ENDPOINT, reason="gone")


class Clock:
    def __init__(self):
        self.time = 1000.0

    def now(self):
        return self.time

    def monotonic(self):
        return self.time


class Exchanger:
    """Hands out URLs with numbers, and notes which are used."""

    def __init__(self):
        self.asked = 0
        self.used = []
        self.is_gone = False
        self.clock = Clock()
        self.valid_seconds = 1e9
        self.asked_at = 0.0

    async def get(self, _party, _url, _headers):
        self.asked += 1
        self.asked_at = self.clock.time
        url = f'{{"url": "http://store/{self.asked}"}}'
        return GONE if self.is_gone else Answer(status=200, body=url.encode())

    async def put(self, _party, url, _headers, content, **_):
        self.used.append(url)
        if self.clock.time - self.asked_at > self.valid_seconds:
            return Answer(status=403, body=EXPIRED), content.size_bytes
        return Answer(status=200), content.size_bytes


@pytest.fixture
def exchanger():
    return Exchanger()


@pytest.fixture
def deliver(exchanger):
    async def deliver(waits, *, meanwhile=lambda: None):
        clock = exchanger.clock

        def comes():
            clock.time += waits
            meanwhile()
            return True

        client = CollectionClient("http://endpoint", exchanger=exchanger, token=FixedToken("t"), clock=clock)
        delivery = Delivery(
            tenant="acme~prod", start_at=0, name="f", content=Content.of(b"x"), md5="00", turn=Turns(1).turn(comes)
        )
        return await client.deliver(delivery)

    return deliver


async def test_a_url_that_waited_for_its_turn_a_little_is_used(deliver, exchanger):
    assert isinstance(await deliver(50.0), Delivered)
    assert exchanger.used == ["http://store/1"]


async def test_one_that_waited_for_longer_is_asked_for_anew(deliver, exchanger):
    assert isinstance(await deliver(61.0), Delivered)
    assert exchanger.used == ["http://store/2"]


async def test_when_that_fails_nothing_is_sent_and_the_outcome_is_the_endpoints(deliver, exchanger):
    def go():
        exchanger.is_gone = True

    assert await deliver(61.0, meanwhile=go) == GONE
    assert exchanger.used == []


async def test_the_one_after_an_expired_one_is_asked_for_in_its_turn_and_need_not_wait(deliver, exchanger):
    exchanger.valid_seconds = 30.0
    assert isinstance(await deliver(40.0), Delivered)
    assert exchanger.used == ["http://store/1", "http://store/2"]
