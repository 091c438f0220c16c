"""Delivery on bad days: whatever endpoint and store do, nothing is lost, nothing doubled, nobody waits for another."""

import asyncio
import itertools
from dataclasses import replace

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from apidanalytics.upload.states import Chosen, State
from apidanalytics.upload.token import TokenFile
from tests.integration.upload_faults import (
    answer,
    attempts,
    cut_off_the_put,
    expired,
    garbage,
    hang,
    number_for_url,
    only,
    other_bytes,
)
from tests.integration.upload_world import QUICK, TOKEN, broken_off, until

TENANTS = ["acme~prod", "zeta~test"] * 6


# Everybody's trouble: no attempts are counted, one probe at a time goes out, the order is kept.


@pytest.mark.parametrize("part", ["endpoint", "store"])
async def test_while_nobody_listens_nothing_is_burnt_and_then_all_goes_in_order(world, part):
    server = getattr(world, part)
    await server.aclose()
    world.stage(*TENANTS)
    async with world.uploading(settings=world.settings(concurrency=1)) as uploader:
        await until(lambda: uploader.state().stopped_since, "the breaker opens")
        assert "Connect" in uploader.state().stopped_reason or "refused" in uploader.state().stopped_reason
        await asyncio.sleep(0.5)
        assert len(world.left()) == len(TENANTS)
        await server.open()
        await world.delivered()
        assert uploader.state().stopped_since is None
    assert set(attempts(world)) == {0}
    for tenant in set(TENANTS):
        mine = [key for key in world.store.puts if key.startswith(tenant)]
        assert mine[1:] == sorted(mine[1:]), "all but the probe in order"


@pytest.mark.parametrize(
    ("part", "behave"),
    [
        ("endpoint", hang),
        ("endpoint", broken_off),
        ("endpoint", answer(302, Location="http://127.0.0.1:9/login")),
        ("endpoint", answer(500)),
        ("endpoint", answer(401)),
        ("store", hang),
        ("store", broken_off),
        ("store", cut_off_the_put),
        ("store", answer(500)),
        ("store", answer(503)),
    ],
)
async def test_trouble_of_all_burns_no_more_than_the_attempts_that_revealed_it(world, part, behave):
    server = getattr(world, part)
    server.behave = behave
    world.stage(*TENANTS)
    with capture_logs() as logs:
        async with world.uploading(timeout_seconds=3.0 if behave is hang else 30.0) as uploader:
            await until(lambda: uploader.state().stopped_since, "the breaker opens")
            await asyncio.sleep(0.6)
            assert world.total(State.FAILED) == 0
            # Those that were on their way before a second tenant showed that it is everybody's.
            assert sum(attempts(world)) <= 3
            assert max(attempts(world)) <= 1
            server.behave = answer(200, times=0)
            await world.delivered()
    events = [entry["event"] for entry in logs]
    assert (events.count("upload.breaker_opened"), events.count("upload.breaker_closed")) == (1, 1)


async def test_an_open_breaker_sends_one_probe_at_a_time_at_growing_distances(world):
    running, most, times = 0, 0, []
    loop = asyncio.get_running_loop()

    async def watch(_request):
        nonlocal running, most
        times.append(loop.time())
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.03)
        running -= 1
        return web.Response(status=401)

    world.stage(*TENANTS)
    async with world.uploading(settings=world.settings(concurrency=1)) as uploader:
        world.endpoint.behave = watch
        await until(lambda: uploader.state().stopped_since and not running, "it is open")
        most = 0
        times.clear()
        await until(lambda: len(times) > 8, "9 probes")
    assert most == 1
    # From the fifth on they are at the longest pause, of which at least half passes; a slow machine only adds to it.
    assert times[8] - times[5] >= 3 * QUICK.breaker_pauses.longest_seconds / 2


async def test_a_refused_token_is_read_again_from_its_file(world, tmp_path):
    path = tmp_path / "token"
    path.write_text("old")
    world.stage(*TENANTS)
    async with world.uploading(token=TokenFile(path)) as uploader:
        await until(lambda: uploader.state().stopped_since, "the breaker opens")
        (tmp_path / "new").write_text(TOKEN)
        (tmp_path / "new").rename(path)
        await world.delivered()
    assert set(attempts(world)) == {0}


async def test_a_token_that_is_replaced_in_time_is_not_even_noticed(world, tmp_path):
    path = tmp_path / "token"
    path.write_text("old")
    world.stage("acme~prod")

    async def replace(_request):
        path.write_text(TOKEN)

    world.endpoint.behave = replace
    with capture_logs() as logs:
        async with world.uploading(token=TokenFile(path)):
            await world.delivered()
    assert [entry for entry in logs if entry["event"] == "upload.breaker_opened"] == []


# One tenant's trouble: it delays no other, and ends in failed/ with the reason.


@pytest.mark.parametrize(
    ("part", "behave", "reason"),
    [
        ("endpoint", answer(403), "collection endpoint answered 403"),
        ("endpoint", answer(404), "collection endpoint answered 404"),
        ("endpoint", garbage, "is not JSON but a page, as of a login or a proxy"),
        ("endpoint", number_for_url, 'has no string "url"'),
        ("store", answer(403), "object store answered 403"),
        ("store", answer(404), "object store answered 404"),
        ("store", other_bytes, "the object store has other bytes"),
        ("store", expired, "do the clocks here and there agree?"),
        ("store", answer(307, Location="http://127.0.0.1:9/"), "object store answered 307"),
    ],
)
async def test_what_is_refused_three_times_moves_to_failed_and_others_are_not_delayed(world, part, behave, reason):
    getattr(world, part).behave = only("acme~prod", behave)
    world.stage(*TENANTS)
    bad, good = TENANTS.count("acme~prod"), TENANTS.count("zeta~test")
    async with world.uploading(settings=world.settings(interval_seconds=60)) as uploader:
        await until(lambda: world.total(State.UPLOADED) == good, "the others are uploaded")
        await until(lambda: world.total(State.FAILED) == bad, "all of one tenant failed")
        failed = world.ledger.files(State.FAILED)
        assert {known.attempts for known in failed} == {3}
        assert all(reason in known.reason for known in failed)
        assert len(list(world.data.failed.glob("*/*"))) == bad
        assert not any(world.data.staging.iterdir())
        assert uploader.state().stopped_since is None
        getattr(world, part).behave = answer(200, times=0)
        assert await uploader.retry_failed(Chosen(tenant="zeta~test")) == 0
        assert await uploader.retry_failed() == bad
        await world.delivered()


@pytest.mark.parametrize("part", ["endpoint", "store"])
async def test_what_would_be_refused_again_and_again_fails_at_once(world, part):
    getattr(world, part).behave = only("acme~prod", answer(400))
    world.stage("acme~prod", "zeta~test")
    async with world.uploading(settings=world.settings(interval_seconds=60)):
        await until(lambda: world.total(State.FAILED) == 1, "failed")
        assert [known.attempts for known in world.ledger.files(State.FAILED)] == [1]


async def test_an_expired_url_is_simply_asked_for_again(world):
    times = itertools.count()

    async def expired_at_first(request):
        return await expired(request) if next(times) == 0 else None

    world.store.behave = expired_at_first
    world.stage("acme~prod")
    async with world.uploading():
        await world.delivered()
    assert set(attempts(world)) == {0}
    assert (world.endpoint.signed, len(world.store.requests)) == (2, 2)


async def test_a_store_that_throttles_everybody_is_left_alone_and_then_everything_arrives(world):
    early, began = [], world.clock.now()

    async def slow_down(_request):
        now = asyncio.get_running_loop().time()
        if not early or now < early[0] + 2.0:
            early.append(now)
            body = b"<Error><Code>SlowDown</Code></Error>"
            return web.Response(status=503, body=body, headers={"Retry-After": "2"})
        return None

    world.store.behave = slow_down
    world.stage(*[f"t{n}~x" for n in range(40)])
    async with world.uploading() as uploader:
        await until(lambda: len(early) >= 2, "throttled")
        await until(lambda: uploader.state().throttled_until, "everybody waits")
        state = uploader.state()
        assert state.stopped_since is None, "that is no outage"
        assert began < state.throttled_until < world.clock.now() + 2.2
        assert state.throttled_reason == "the object store answered 503 SlowDown"
        await world.delivered()
        assert uploader.state().throttled_until is None
    assert len(early) <= 5, "one throttled alone, and those on their way when the second one was, and no others"
    assert set(attempts(world)) == {0}


async def test_a_tenant_that_crawls_in_all_slots_delays_no_other(world):
    """Without giving up their slots, the crawling uploads would leave the others one, or none."""

    async def crawl(_request):
        await asyncio.sleep(600)

    world.store.behave = only("acme~prod", crawl)
    world.stage(*["acme~prod"] * 10)
    policy = replace(QUICK, crawl_seconds=0.2)
    async with world.uploading(timeout_seconds=600, settings=world.settings(concurrency=2, policy=policy)) as uploader:
        await until(lambda: len(world.store.requests) == 2, "it crawls in all slots")
        world.stage(*["zeta~test", "beta~test"] * 10)
        uploader.notify()
        await until(lambda: world.total(State.UPLOADED) == 20, "the others")
        crawling = [upload for upload in uploader.state().uploading if upload.tenant == "acme~prod"]
        assert len(crawling) == 2
        assert len(world.store.requests) == 22, "and no more of it goes"
        await uploader.stop(0.0)


@pytest.mark.parametrize(
    ("part", "behave"),
    [
        ("endpoint", answer(500)),
        ("endpoint", answer(429, Retry_After="3600")),
        ("store", hang),
        ("store", cut_off_the_put),
        ("store", answer(500)),
        ("store", answer(503, Retry_After="3600")),
    ],
)
async def test_a_tenant_that_hangs_fails_or_is_throttled_delays_no_other(world, part, behave):
    getattr(world, part).behave = only("acme~prod", behave)
    world.stage(*["acme~prod"] * 10)
    async with world.uploading(timeout_seconds=1.0):
        await asyncio.sleep(0.1)
        for _ in range(5):
            world.stage("zeta~test", "zeta~test")
            done = world.total(State.UPLOADED) + 2
            await until(lambda done=done: world.total(State.UPLOADED) == done, "uploaded all the same", 20.0)
        assert not any(key.startswith("acme") for key in world.store.puts)


async def test_a_throttled_tenant_waits_as_long_as_it_was_told(world):
    world.endpoint.behave = only("acme~prod", answer(429, times=1, Retry_After="4"))
    world.stage("acme~prod", "zeta~test")
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with world.uploading():
        await until(lambda: world.total(State.UPLOADED) == 1, "the other")
        assert not any(key.startswith("acme") for key in world.store.puts)
        await world.delivered()
    assert loop.time() - begun >= 4.0
    assert set(attempts(world)) == {0}
