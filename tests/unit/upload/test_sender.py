"""Uploads on their way: when one of them crawls, and when it is told that there is room for another."""

import asyncio
from types import SimpleNamespace

import pytest

from apidanalytics.clock import SystemClock
from apidanalytics.upload.content import Content
from apidanalytics.upload.decide import Policy, Return
from apidanalytics.upload.dispatch import Dispatcher as RealDispatcher
from apidanalytics.upload.dispatch import Sending
from apidanalytics.upload.outcome import Delivered
from apidanalytics.upload.sender import Sender
from apidanalytics.upload.states import Waiting

CRAWL_SECONDS = 0.2


class Dispatcher:
    """Hands out what it was given, and notes when it is told that something crawls."""

    wants_more = False

    def __init__(self, slots, files):
        self.slots = slots
        self.files = [Waiting(id=number, tenant=f"t{number}", start_at=number) for number in range(files)]
        self.crawled_at = {}
        self.stopped = False
        self.postponed_files = []

    def take(self, _now):
        return Sending(file=self.files.pop(0), is_probe=False) if self.files else None

    def may_go(self, _sending, _now):
        return not self.stopped

    lets_go = may_go

    def postponed(self, sending):
        self.postponed_files.append(sending.file.id)

    def crawls(self, sending):
        self.crawled_at.setdefault(sending.file.id, asyncio.get_running_loop().time())
        return False

    def judge(self, *_, **__):
        return Return(reason="")


class Collection:
    """Enters the turn of a file when ``signed`` says so, and leaves it when ``sent`` does."""

    def __init__(self, files):
        self.signed = [asyncio.Event() for _ in range(files)]
        self.sent = [asyncio.Event() for _ in range(files)]
        self.entered_at = {}

    async def deliver(self, delivery):
        number = delivery.start_at
        await self.signed[number].wait()
        async with delivery.turn:
            self.entered_at[number] = asyncio.get_running_loop().time()
            await self.sent[number].wait()
        return Delivered()


def prepare(numbers):
    return [
        SimpleNamespace(
            content=Content.of(b"x"),
            md5="00",
            known=SimpleNamespace(
                attempts=0,
                doubt=None,
                file=SimpleNamespace(tenant="t~x", name="f", start_at=number, records=1, bytes=1, size_bytes=1),
            ),
        )
        for number in numbers
    ]


@pytest.fixture
def sender_of():
    def sender_of(dispatcher, collection, on_finished=lambda: None):
        return Sender(
            prepare=prepare,
            notes=None,
            collection=collection,
            dispatcher=dispatcher,
            submit=lambda _result: None,
            clock=SystemClock(),
            disk=None,
            crawl_seconds=CRAWL_SECONDS,
            on_finished=on_finished,
            on_skipped=None,
        )

    return sender_of


async def test_an_upload_crawls_from_when_its_turn_came_and_not_from_when_it_was_opened(sender_of):
    dispatcher, collection = Dispatcher(1, 2), Collection(2)
    sender = sender_of(dispatcher, collection)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        sender.send(group)
        collection.signed[0].set()
        while 0 not in collection.entered_at:
            await asyncio.sleep(0.01)
        collection.signed[1].set()
        await asyncio.sleep(1.5 * CRAWL_SECONDS)
        collection.sent[0].set()
        while 1 not in dispatcher.crawled_at:
            await asyncio.sleep(0.01)
        collection.sent[1].set()
    await sender.wait()
    # A timer may come a clock's tick early.
    assert dispatcher.crawled_at[1] - collection.entered_at[1] > 0.95 * CRAWL_SECONDS


async def test_it_tells_that_an_upload_ended_when_a_turn_is_free_though_many_are_being_got_ready(sender_of):
    told = asyncio.Event()
    dispatcher, collection = Dispatcher(1, 2), Collection(2)
    sender = sender_of(dispatcher, collection, told.set)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        sender.send(group)
        collection.signed[0].set()
        collection.sent[0].set()
        try:
            async with asyncio.timeout(30):
                await told.wait()
        finally:
            collection.signed[1].set()
            collection.sent[1].set()
    await sender.wait()


async def test_a_file_that_may_not_go_any_more_is_put_back_before_anyone_is_asked_for_a_url(sender_of):
    dispatcher, collection = Dispatcher(1, 2), Collection(0)
    sender = sender_of(dispatcher, collection)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        sender.send(group)
        dispatcher.stopped = True
    await sender.wait()
    assert sorted(dispatcher.postponed_files) == [0, 1]
    assert sender.uploading == ()


class Signing:
    """Delivers what it is asked to, and counts how often it is asked for the URL of which file.

    A file of the calm tenant is through once four others are.
    """

    def __init__(self):
        self.asked = []
        self.sent = []

    async def deliver(self, delivery):
        self.asked.append(delivery.start_at)
        await asyncio.sleep(0)
        async with delivery.turn:
            others = len(self.sent) + 4 if delivery.start_at >= 1000 else 0
            await asyncio.sleep(0)
            while len(self.sent) < others:
                await asyncio.sleep(0)
            self.sent.append(delivery.start_at)
        return Delivered()


async def test_beside_single_files_of_another_tenant_nothing_of_a_flood_is_got_ready_twice(sender_of):
    told, collection = asyncio.Event(), Signing()
    dispatcher = RealDispatcher(slots=4, ahead=8, policy=Policy(), random=lambda: 0.5)
    sender = sender_of(dispatcher, collection, told.set)
    flood, single = range(100), range(1000, 1010)
    for number in flood:
        dispatcher.add(Waiting(id=number, tenant="flood", start_at=number))
    waiting = list(single)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        while len(collection.sent) < len(flood) + len(single):
            told.clear()
            if waiting and len(collection.sent) >= 8 * (len(single) - len(waiting)):
                number = waiting.pop()
                dispatcher.add(Waiting(id=number, tenant="calm", start_at=number))
            sender.send(group)
            await told.wait()
    await sender.wait()
    assert sorted(collection.asked) == sorted(collection.sent) == [*flood, *single]
