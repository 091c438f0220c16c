"""A create-only store that kept other bytes than were sent: "it is there already" is no delivery from then on."""

import hashlib
import sqlite3

import pytest
from aiohttp import web

from apidanalytics.upload.decide import Policy
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.states import State
from tests.integration.upload_world import until


class KeepsOther:
    """A create-only store whose first PUT of a name goes wrong, and which never replaces what it has."""

    def __init__(self, *, there=412, md5_of_kept=False, **headers):
        self.kept = {}
        self.there = there
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.md5_of_kept = md5_of_kept

    async def __call__(self, request):
        key = request.match_info["path"]
        body = await request.read()
        if key in self.kept:
            etag = {"ETag": f'"{hashlib.md5(self.kept[key]).hexdigest()}"'} if self.md5_of_kept else {}
            return web.Response(status=self.there, headers=self.headers | etag)
        self.kept[key] = self.first(body)
        return web.Response(headers={"ETag": f'"{hashlib.md5(body[:-1]).hexdigest()}"'})

    def first(self, body):
        return body[:-1]


class SaysOther(KeepsOther):
    """It keeps what was sent, and says otherwise once."""

    def first(self, body):
        return body


@pytest.fixture(autouse=True)
def create_only(world):
    world.endpoint.headers = {"If-None-Match": "*"}


@pytest.mark.parametrize(
    "store",
    [
        KeepsOther(),
        KeepsOther(there=409, x_ms_error_code="BlobAlreadyExists"),
        KeepsOther(there=403, x_ms_error_code="UnauthorizedBlobOverwrite"),
        KeepsOther(md5_of_kept=True),
    ],
    ids=["412", "azure-409", "azure-403", "with-etag"],
)
async def test_what_was_found_wrong_once_is_not_delivered_by_being_there(world, store):
    world.store.behave = store
    world.stage("acme~prod")
    async with world.uploading():
        await until(lambda: world.total(State.FAILED) == 1, "failed")
    (known,) = world.ledger.files(State.FAILED)
    assert known.reason.startswith("it is there already, but not as it was sent: the object store has other bytes")
    assert world.left() != []


async def test_the_doubt_outlives_the_process_and_ends_with_the_wrong_object(world):
    store = world.store.behave = KeepsOther()
    world.stage("acme~prod")
    async with world.uploading(settings=world.settings(policy=Policy())):  # the second attempt comes after seconds
        await until(lambda: store.kept, "sent once")
        await until(lambda: world.ledger.files(State.STAGED)[0].attempts, "noted")
    world.ledger.close()
    world.ledger = Ledger.open(world.data.ledger, world.data.damaged, world.clock.now())
    async with world.uploading():
        await until(lambda: world.total(State.FAILED) == 1, "failed")
    store.kept.clear()
    world.store.behave = take
    async with world.uploading(settings=world.settings(failed_retry_seconds=0.1)):
        await world.delivered()


async def test_a_doubt_that_the_ledger_never_took_outlives_the_process(world, monkeypatch):
    store = world.store.behave = KeepsOther()
    world.stage("acme~prod")
    refused = []

    def refuse(*_):
        refused.append(1)
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as full:
        full.setattr(world.ledger, "doubted", refuse)
        async with world.uploading() as uploader:
            await until(lambda: refused, "refused")
            await uploader.stop(0.1)
    (known,) = world.ledger.files(State.STAGED)
    assert known.doubt is None
    async with world.uploading():
        await until(lambda: world.total(State.FAILED) == 1, "failed")
    assert len(store.kept) == 1
    assert world.left() != []


async def take(_request):
    """Let the store be as ever."""


async def test_a_store_that_answered_too_early_is_noted_before_the_file_is_sent_again(world):
    async def too_early(request):
        known = world.ledger.files(State.STAGED)
        if known and known[0].doubt:
            return web.Response(status=412)
        return web.Response()  # of a body it did not read

    world.store.behave = too_early
    world.store.expect = nothing_said
    world.stage("acme~prod", size=4 << 20)
    async with world.uploading():
        await until(lambda: world.total(State.FAILED) == 1, "failed")
    (known,) = world.ledger.files(State.FAILED)
    assert known.doubt == "the object store answered before it had the whole file"
    assert world.left() != []


async def nothing_said(_request):
    """Do not ask for the body."""


async def test_a_doubt_that_the_store_takes_back_is_none(world):
    world.store.behave = SaysOther(md5_of_kept=True)
    world.stage("acme~prod")
    async with world.uploading():
        await until(lambda: world.total(State.UPLOADED) == 1, "uploaded")
    assert world.left() == []
