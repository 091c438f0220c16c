"""Files that come back from failed/ when something is in their way."""

import asyncio

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from apidanalytics.clock import SystemClock
from apidanalytics.service.failed import answer
from apidanalytics.upload.states import State
from tests.integration.upload_world import fine, until


async def refuse(_request):
    return web.Response(status=404)


async def test_what_is_back_is_sent_when_the_disk_refuses_the_next(world):
    world.endpoint.behave = refuse
    world.stage("acme~prod", "zeta~test")
    async with world.uploading(settings=world.settings(interval_seconds=60)) as uploader:
        await until(lambda: world.total(State.FAILED) == 2, "both failed")
        world.endpoint.behave = fine
        first, second = world.ledger.failed_directories(-1, now=world.clock.now())
        (in_the_way,) = (world.data.failed / second).iterdir()
        (world.data.staging / second / in_the_way.name).mkdir(parents=True)
        assert await uploader.retry_failed() == 1
        await until(lambda: world.total(State.UPLOADED) == 1, "the first one is delivered")
        assert not (world.data.failed / first).exists()
        with pytest.raises(IsADirectoryError):
            await uploader.retry_failed()
        (world.data.staging / second / in_the_way.name).rmdir()
        assert await uploader.retry_failed() == 1
        await world.delivered()


async def test_a_directory_out_of_which_nothing_can_be_moved_keeps_no_other_in_failed(world):
    world.endpoint.behave = refuse
    world.stage("acme~prod", "zeta~test")
    async with world.uploading():
        await until(lambda: world.total(State.FAILED) == 2, "both failed")
    world.endpoint.behave = fine
    first, _ = world.ledger.failed_directories(-1, now=world.clock.now())
    (world.data.staging / first).write_bytes(b"no directory")
    async with world.uploading(settings=world.settings(failed_retry_seconds=0.1)):
        await until(lambda: world.total(State.UPLOADED) == 1, "the other one is delivered")
        assert (world.data.failed / first).exists()
        (world.data.staging / first).unlink()
        await world.delivered()


async def test_however_many_directories_are_stuck_in_front_who_asks_by_hand_gets_all_others_back(world, monkeypatch):
    monkeypatch.setattr("apidanalytics.service.failed.DIRECTORIES_A_PASS", 2)
    world.endpoint.behave = refuse
    world.stage("a~x", "b~x", "c~x", "d~x", "e~x", "f~x")
    async with world.uploading(settings=world.settings(interval_seconds=60)) as uploader:
        await until(lambda: world.total(State.FAILED) == 6, "all failed")
        world.endpoint.behave = fine
        directories = world.ledger.failed_directories(-1, now=world.clock.now())
        for name in directories[:3]:
            (world.data.staging / name).write_bytes(b"no directory")
        request = {"command": "failed.retry", "before": world.clock.now() + 1}
        with capture_logs() as logs:
            answers = [await answer(request, world.ledger, uploader)]
            while answers[-1]["files"]:
                answers.append(await answer(request | {"again": True}, world.ledger, uploader))
        assert [found["files"] for found in answers] == [1, 2, 0]
        assert directories[0] in answers[-1]["stuck"]
        assert [log["event"] for log in logs].count("upload.directory_stuck") == 3  # each was tried once
        await until(lambda: world.total(State.UPLOADED) == 3, "the others are delivered")


class CountingClock(SystemClock):
    """Counts how often it is asked."""

    asked = 0

    def monotonic(self):
        self.asked += 1
        return SystemClock.monotonic()


async def test_nobody_asks_again_and_again_while_one_that_came_back_is_on_its_way(world):
    world.clock = CountingClock()
    world.endpoint.behave = refuse
    world.stage("acme~prod")
    async with world.uploading(settings=world.settings(interval_seconds=0.1)):
        await until(lambda: world.total(State.FAILED) == 1, "failed")
        hangs, go = asyncio.Event(), asyncio.Event()

        async def hang(request):
            if request.query["tenant"] == "acme~prod":
                hangs.set()
                await go.wait()

        world.endpoint.behave = hang
        world.stage("zeta~test")
        await hangs.wait()
        world.stage("zeta~test")
        await until(lambda: world.total(State.UPLOADED) == 2, "another tenant's are delivered")
        before = world.clock.asked
        await asyncio.sleep(0.5)
        assert world.clock.asked - before < 200
        go.set()
        await world.delivered()
