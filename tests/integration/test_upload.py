"""Delivery on a good day: what is sent, in which order, and what remains."""

import asyncio
import hashlib

import pytest

from apidanalytics.clock import SystemClock
from apidanalytics.upload.states import State
from tests.integration.upload_world import TOKEN, fine, until


async def test_every_file_is_delivered_as_it_is_and_nothing_remains(world):
    world.stage(*["acme~prod", "zeta~test"] * 10, starts=4)
    async with world.uploading():
        await world.delivered()
    assert sorted(world.store.puts) == sorted(world.expected)
    uploaded = world.ledger.files(State.UPLOADED)
    assert {known.etag for known in uploaded} == {
        f'"{hashlib.md5(content).hexdigest()}"' for content in world.expected.values()
    }
    assert {known.attempts for known in uploaded} == {0}


async def test_the_requests_are_those_of_the_contract(world):
    world.stage("a%2Fb~größe".replace("größe", "gr%C3%B6%C3%9Fe"))
    async with world.uploading():
        await world.delivered()
    (query,) = world.endpoint.queries
    name = next(iter(world.expected)).rpartition("/")[2]
    assert query == {
        "tenant": "a/b~größe",
        "relative_file_path": f"date=2026-01-02/time=03-06/{name}",
        "file_content_type": "application/x-gzip",
    }
    (signing,), (put,) = world.endpoint.requests, world.store.requests
    assert signing.headers["Authorization"] == f"Bearer {TOKEN}"
    assert "Authorization" not in put.headers
    content = next(iter(world.expected.values()))
    assert (put.method, put.headers["Content-Type"]) == ("PUT", "application/x-gzip")
    assert put.headers["Content-Length"] == str(len(content))
    assert put.headers["Expect"] == "100-continue"
    assert "Transfer-Encoding" not in put.headers
    assert "x-amz-server-side-encryption" not in put.headers
    assert put.query_string == "signature=secret-1"


async def test_encryption_is_asked_for_and_sent(world):
    world.stage("acme~prod")
    async with world.uploading(encrypt=True):
        await world.delivered()
    assert world.endpoint.queries[0]["encrypt"] == "true"
    assert world.store.requests[0].headers["x-amz-server-side-encryption"] == "AES256"


async def test_a_signed_url_is_used_byte_by_byte(world):
    from aiohttp import web

    world.stage("acme~prod")
    odd = "/%61%2Fb/c%20d/~e=f?X-Sig=a%2Fb%3D%3d&empty=&x=+%2B&tilde=~%7E"

    async def answer(_request):
        return web.json_response({"url": world.store.base + odd, "headers": {"x-ms-blob-type": "BlockBlob"}})

    world.endpoint.behave = answer
    async with world.uploading():
        await until(lambda: world.store.requests, "a PUT")
        await until(lambda: world.total(State.UPLOADED) == 1, "uploaded")
    assert world.store.requests[0].raw_path == odd
    assert world.store.requests[0].headers["x-ms-blob-type"] == "BlockBlob"


async def test_without_a_token_no_authorization_is_sent(world):
    from apidanalytics.upload.token import FixedToken

    world.stage("acme~prod")
    async with world.uploading(token=FixedToken(None)) as uploader:
        await until(lambda: uploader.state().stopped_since, "401")
    assert "Authorization" not in world.endpoint.requests[0].headers


async def test_large_files_are_streamed_and_equal(world):
    world.stage(*["acme~prod", "zeta~test"] * 2, size=3_000_000)
    async with world.uploading():
        await world.delivered()


async def test_new_files_are_taken_up_at_once_when_told(world):
    async with world.uploading(settings=world.settings(interval_seconds=60)) as uploader:
        await uploader.drain_pass()
        world.stage("acme~prod")
        uploader.notify()
        await world.delivered(seconds=30)  # before the next look


async def test_new_files_are_noticed_by_looking_when_nobody_tells(world):
    async with world.uploading() as uploader:
        await uploader.drain_pass()
        world.stage("acme~prod")
        await world.delivered()


async def test_the_oldest_start_goes_first_and_tenants_take_turns(world):
    world.stage(*["big~x"] * 20, "small~y", "small~y")
    async with world.uploading(settings=world.settings(concurrency=1)):
        await world.delivered()
    big = [key for key in world.store.puts if key.startswith("big")]
    # A file may pass those that were got ready together with it: URLs are answered in any order.
    ahead = world.settings(concurrency=1).ahead
    assert max(sorted(big).index(key) - place for place, key in enumerate(big)) <= ahead
    assert [key.partition("/")[0] for key in world.store.puts[:4]].count("small~y") == 2


@pytest.mark.parametrize("tenants", [20, 1])
async def test_as_many_uploads_run_at_a_time_as_allowed_and_no_more(world, tenants):
    running = most = 0

    async def watch(request):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await until(lambda: most >= 3, "as many as may run")
        await asyncio.sleep(0.01)
        running -= 1

    world.store.behave = watch
    world.stage(*[f"t{n % tenants}~x" for n in range(20)])
    async with world.uploading(settings=world.settings(concurrency=3)):
        await world.delivered()
    assert most == 3


async def test_what_was_got_ready_is_not_sent_once_its_tenant_is_paused_and_goes_later(world):
    begun: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    go = asyncio.Event()

    async def linger(request):
        if not begun.done():
            begun.set_result(tenant_of(request.match_info["path"]))
        await go.wait()

    world.store.behave = linger
    world.stage(*["zeta~test", "acme~prod"] * 3)
    async with world.uploading(settings=world.settings(concurrency=1)) as uploader:
        goes = await begun  # several are got ready at once, so either may be the first
        waits = "acme~prod" if goes == "zeta~test" else "zeta~test"
        await until(lambda: world.endpoint.signed >= 2, "one is got ready")
        await uploader.pausing.pause(waits)
        go.set()
        await until(lambda: world.total(State.UPLOADED) >= 3, "all of the other tenant")
        await until(lambda: not uploader.state().uploading, "nothing is on its way")
        assert [tenant_of(key) for key in world.store.puts] == [goes] * 3
        await uploader.pausing.resume(waits)
        await world.delivered()
    assert [tenant_of(key) for key in world.store.puts] == [goes] * 3 + [waits] * 3


def tenant_of(key: str) -> str:
    return key.partition("/")[0]


async def test_a_restart_goes_on_where_it_was(world):
    world.stage(*["acme~prod", "zeta~test"] * 20)

    async def linger(_request):
        await asyncio.sleep(0.01)

    world.store.behave = linger
    async with world.uploading():
        await until(lambda: len(world.store.puts) >= 10, "10 puts")
    assert world.left()
    async with world.uploading():
        await world.delivered()
    assert sorted(world.store.puts) == sorted(world.expected), "nothing was sent twice"


async def test_stopping_lets_what_is_on_its_way_finish(world):
    begun = asyncio.Event()

    async def linger(_request):
        begun.set()
        await asyncio.sleep(0.3)

    world.store.behave = linger
    world.stage("acme~prod", "acme~prod", "acme~prod", "acme~prod")
    async with world.uploading(settings=world.settings(concurrency=1)) as uploader:
        await begun.wait()
        await until(lambda: world.endpoint.signed >= 2, "another one is got ready")
        await uploader.stop(60.0)
        await uploader.stop(60.0)
        assert world.total(State.UPLOADED) == 1
        assert len(world.left()) == 3


async def test_stopping_has_a_deadline(world):
    begun = asyncio.Event()

    async def hang(_request):
        begun.set()
        await asyncio.sleep(30)

    world.store.behave = hang
    world.stage("acme~prod")
    async with world.uploading(timeout_seconds=60) as uploader:
        await begun.wait()
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        await uploader.stop(0.1)
        assert loop.time() - asked_at < 20  # and not the half a minute that the store takes
    assert len(world.left()) == 1
    assert world.ledger.files(State.STAGED)[0].attempts == 0


async def test_a_drain_pass_tries_everything_once(world):
    world.stage(*["acme~prod", "zeta~test"] * 5)
    async with world.uploading(settings=world.settings(interval_seconds=60)) as uploader:
        await uploader.drain_pass()
        assert world.is_delivered()


async def test_a_drain_pass_with_a_dead_endpoint_ends_after_one_probe(world):
    world.stage(*["acme~prod"] * 5)
    await world.endpoint.aclose()
    async with world.uploading() as uploader:
        await asyncio.wait_for(uploader.drain_pass(), 60)
        await until(lambda: uploader.state().stopped_since, "open")
        await asyncio.wait_for(uploader.drain_pass(), 60)
    assert len(world.left()) == 5


async def test_a_drain_pass_does_not_wait_for_files_that_wait_for_their_time(world):
    from aiohttp import web

    from apidanalytics.backoff import Backoff
    from apidanalytics.upload.decide import Policy

    world.stage("bad~x", "good~x")

    async def refuse(request):
        return web.Response(status=404) if request.query["tenant"] == "bad~x" else None

    world.endpoint.behave = refuse
    patient = Policy(file_pauses=Backoff(first_seconds=600, factor=1, longest_seconds=600))
    async with world.uploading(settings=world.settings(policy=patient)) as uploader:
        await asyncio.wait_for(uploader.drain_pass(), 60)
    assert world.total(State.UPLOADED) == 1


class Ahead(SystemClock):
    """The machine's clocks, the time of day so many seconds ahead."""

    def __init__(self, seconds):
        self.now = lambda: SystemClock.now() + seconds


async def test_a_file_put_off_by_a_clock_that_was_a_day_ahead_waits_for_no_longer_than_a_pause(world):
    from aiohttp import web

    from apidanalytics.backoff import Backoff
    from apidanalytics.upload.decide import Policy

    async def refuse(_request):
        return web.Response(status=403)

    patient = Policy(file_pauses=Backoff(first_seconds=0.5, factor=2, longest_seconds=600))
    right = world.clock
    world.clock = Ahead(86_400)
    world.store.behave = refuse
    world.stage("acme~prod")
    async with world.uploading(settings=world.settings(policy=patient)):
        await until(lambda: [file for file in world.ledger.waiting(0) if file.next_attempt_at], "put off")
    world.clock = right
    world.store.behave = fine
    async with world.uploading(settings=world.settings(policy=patient)):
        await world.delivered()


async def test_the_state_shows_what_is_on_its_way(world):
    begun, go = asyncio.Event(), asyncio.Event()

    async def linger(_request):
        begun.set()
        await go.wait()

    world.store.behave = linger
    world.stage(*["acme~prod"] * 4)
    async with world.uploading(settings=world.settings(concurrency=1)) as uploader:
        await begun.wait()
        await until(lambda: len(uploader.state().uploading) == 3, "others are got ready")
        state = uploader.state()
        uploading = state.uploading[0]
        assert (uploading.tenant, uploading.size_bytes) == ("acme~prod", len(next(iter(world.expected.values()))))
        assert (state.waiting, state.stopped_since) == (1, None)
        assert "3 running" in repr(uploader)
        go.set()
        await world.delivered()


async def test_a_file_that_was_removed_is_reported_and_the_others_go_on(world):
    world.stage("acme~prod", "acme~prod", "acme~prod")
    gone = next(world.data.staging.glob("*/*"))
    async with world.uploading(settings=world.settings(interval_seconds=60)) as uploader:
        await uploader.drain_pass()
        world.stage("acme~prod")
        next(world.data.staging.glob("*/*")).unlink()
        world.stage("acme~prod")
        uploader.notify()
        await until(lambda: world.total(State.UPLOADED) == 4, "4 uploaded")
        await until(lambda: world.total(State.SET_ASIDE) == 1, "1 set aside")
    assert gone.name in {key.rpartition("/")[2] for key in world.store.puts}
    assert world.left() == []
