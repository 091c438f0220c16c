"""Delivery on bad days: whatever endpoint and store do, nothing is lost, nothing doubled, nobody waits for another."""

import asyncio
import itertools
import socket
import subprocess
from dataclasses import replace

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from apidanalytics.upload.states import Chosen, State
from apidanalytics.upload.token import TokenFile
from tests.integration.upload_world import QUICK, TOKEN, Server, World, broken_off, until

TENANTS = ["acme~prod", "zeta~test"] * 6


@pytest.fixture
async def world(tmp_path):
    world = World(tmp_path)
    await world.open()
    yield world
    await world.aclose()


def attempts(world):
    states = (State.STAGED, State.FAILED, State.UPLOADED)
    return [known.attempts for state in states for known in world.ledger.files(state)]


def answer(status, *, times=None, **headers):
    """Misbehave with this status, so many times or always."""
    left = [times]

    async def behave(_request):
        if left[0] is not None:
            left[0] -= 1
            if left[0] < 0:
                return None
        return web.Response(status=status, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return behave


def only(tenant, behave):
    """Misbehave for one tenant, at the endpoint or at the store."""

    async def behave_for_one(request):
        if tenant in (request.query.get("tenant"), request.match_info["path"].partition("/")[0]):
            return await behave(request)
        return None

    return behave_for_one


async def hang(_request):
    await asyncio.sleep(30)


async def garbage(_request):
    return web.Response(text="<html>Welcome to the hotel's network</html>")


async def number_for_url(_request):
    return web.json_response({"url": 42})


async def cut_off_the_put(request):
    await request.content.read(10)
    request.transport.abort()
    return web.Response()


async def other_bytes(request):
    await request.read()
    return web.Response(headers={"ETag": f'"{"0" * 32}"'})


async def expired(_request):
    return web.Response(
        status=403, text="<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
    )


# Everybody's trouble: no attempts are counted, one probe at a time goes out, the order is kept.


@pytest.mark.parametrize("part", ["endpoint", "store"])
async def test_while_nobody_listens_nothing_is_burnt_and_then_all_goes_in_order(world, part):
    server = getattr(world, part)
    await server.aclose()
    world.stage(*TENANTS)
    async with world.uploading(settings=world.settings(concurrency=1)) as uploader:
        await until(lambda: uploader.state().paused_since, "the breaker opens")
        assert "Connect" in uploader.state().paused_reason or "refused" in uploader.state().paused_reason
        await asyncio.sleep(0.5)
        assert len(world.left()) == len(TENANTS)
        await server.open()
        await world.delivered()
        assert uploader.state().paused_since is None
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
        async with world.uploading(timeout_seconds=0.2 if behave is hang else 5.0) as uploader:
            await until(lambda: uploader.state().paused_since, "the breaker opens")
            await asyncio.sleep(0.6)
            assert world.total(State.FAILED) == 0
            # Those that were on their way before a second tenant showed that it is everybody's.
            assert sum(attempts(world)) <= 3
            assert max(attempts(world)) <= 1
            server.behave = answer(200, times=0)
            await world.delivered()
    events = [entry["event"] for entry in logs]
    assert (events.count("upload.paused"), events.count("upload.resumed")) == (1, 1)


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
        await until(lambda: uploader.state().paused_since and not running, "it is open")
        most = 0
        times.clear()
        await until(lambda: len(times) > 8, "9 probes")
    assert most == 1
    assert times[8] - times[7] > times[2] - times[1]


async def test_a_refused_token_is_read_again_from_its_file(world, tmp_path):
    path = tmp_path / "token"
    path.write_text("old")
    world.stage(*TENANTS)
    async with world.uploading(token=TokenFile(path)) as uploader:
        await until(lambda: uploader.state().paused_since, "the breaker opens")
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
    assert [entry for entry in logs if entry["event"] == "upload.paused"] == []


# One tenant's trouble: it delays no other, and ends in failed/ with the reason.


@pytest.mark.parametrize(
    ("part", "behave", "reason"),
    [
        ("endpoint", answer(403), "collection endpoint answered 403"),
        ("endpoint", answer(404), "collection endpoint answered 404"),
        ("endpoint", garbage, "is not JSON"),
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
        assert uploader.state().paused_since is None
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
    until_then = asyncio.get_running_loop().time() + 1.0
    early = []

    async def slow_down(_request):
        if asyncio.get_running_loop().time() < until_then:
            early.append(1)
            body = b"<Error><Code>SlowDown</Code></Error>"
            return web.Response(status=503, body=body, headers={"Retry-After": "1"})
        return None

    world.store.behave = slow_down
    world.stage(*[f"t{n}~x" for n in range(40)])
    async with world.uploading() as uploader:
        await until(lambda: len(early) >= 2, "throttled")
        await until(lambda: uploader.state().throttled_until, "everybody waits")
        state = uploader.state()
        assert state.paused_since is None, "that is no outage"
        assert 0 < state.throttled_until - world.clock.now() < 1.2
        assert state.throttled_reason == "the object store answered 503 SlowDown"
        await world.delivered()
        assert uploader.state().throttled_until is None
    assert len(early) <= 4, "those on their way at that moment, and no others"
    assert set(attempts(world)) == {0}


async def test_a_tenant_that_crawls_in_all_slots_delays_no_other(world):
    """Without giving up their slots, the crawling uploads would leave the others one, or none."""

    async def crawl(_request):
        await asyncio.sleep(20)

    world.store.behave = only("acme~prod", crawl)
    world.stage(*["acme~prod"] * 10)
    policy = replace(QUICK, crawl_seconds=0.2)
    async with world.uploading(timeout_seconds=30, settings=world.settings(concurrency=2, policy=policy)) as uploader:
        await until(lambda: len(uploader.state().uploading) == 1, "it crawls, with all slots but one")
        world.stage(*["zeta~test", "beta~test"] * 10)
        uploader.notify()
        await until(lambda: world.total(State.UPLOADED) == 20, "the others", 5.0)
        crawling = [upload for upload in uploader.state().uploading if upload.tenant == "acme~prod"]
        assert 1 <= len(crawling) <= 2
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
            await until(lambda done=done: world.total(State.UPLOADED) == done, "uploaded all the same", 5.0)
        assert not any(key.startswith("acme") for key in world.store.puts)


async def test_a_throttled_tenant_waits_as_long_as_it_was_told(world):
    world.endpoint.behave = only("acme~prod", answer(429, times=1, Retry_After="1"))
    world.stage("acme~prod", "zeta~test")
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with world.uploading():
        await until(lambda: world.total(State.UPLOADED) == 1, "the other")
        assert loop.time() - begun < 0.9
        await world.delivered()
    assert loop.time() - begun >= 1.0
    assert set(attempts(world)) == {0}


async def test_a_put_that_is_forbidden_asks_for_a_new_url_within_the_same_attempt(world):
    world.store.behave = answer(403, times=1)
    world.stage("acme~prod")
    async with world.uploading():
        await world.delivered()
    assert world.endpoint.signed == 2
    assert attempts(world) == [0]
    first, second = (request.query["signature"] for request in world.store.requests)
    assert first != second


async def test_a_create_only_put_of_what_is_there_is_a_delivery(world):
    world.store.after = answer(412)
    world.stage("acme~prod")
    async with world.uploading():
        await world.delivered()
    assert len(world.store.puts) == 1


@pytest.mark.parametrize("status", [201, 202, 204])
async def test_every_2xx_is_a_success(world, status):
    world.store.after = answer(status)
    world.stage("acme~prod")
    async with world.uploading():
        await world.delivered()


async def test_an_answer_that_is_lost_after_the_store_has_the_object_changes_nothing(world):
    lose = iter([True, False, True, True, False] * 100)

    async def lose_some(request):
        if next(lose):
            request.transport.abort()

    world.store.after = lose_some
    world.stage(*TENANTS)
    async with world.uploading():
        await world.delivered()
    assert len(world.store.puts) > len(world.expected)
    assert set(attempts(world)) == {0}


async def test_failed_files_come_back_after_a_later_success(world):
    world.endpoint.behave = answer(404)
    world.stage(*TENANTS)
    async with world.uploading(settings=world.settings(interval_seconds=0.05)):
        await until(lambda: world.total(State.FAILED) == len(TENANTS), "all failed")
        world.endpoint.behave = answer(200, times=0)
        await asyncio.sleep(0.3)
        assert world.total(State.FAILED) == len(TENANTS), "nothing succeeded since"
        world.stage("acme~prod")
        await world.delivered()


async def test_failed_files_come_back_by_the_slow_clock_too(world):
    world.endpoint.behave = answer(404)
    world.stage(*TENANTS)
    async with world.uploading(settings=world.settings(failed_retry_seconds=0.5)):
        await until(lambda: world.total(State.FAILED) == len(TENANTS), "all failed")
        world.endpoint.behave = answer(200, times=0)
        await world.delivered()


async def test_a_file_from_failed_has_one_attempt_so_that_a_hopeless_one_costs_little(world):
    world.endpoint.behave = only("acme~prod", answer(404))
    world.stage("acme~prod")
    async with world.uploading(settings=world.settings(interval_seconds=0.1)):
        await until(lambda: world.total(State.FAILED) == 1, "failed")
        asked = len(world.endpoint.requests)
        world.stage("zeta~test")
        await until(lambda: len(world.endpoint.requests) == asked + 2, "one for each")
        await asyncio.sleep(0.5)
        assert len(world.endpoint.requests) == asked + 2


async def test_attempts_survive_a_restart(world):
    world.endpoint.behave = answer(404)
    world.stage("acme~prod")
    asked = []
    for _ in range(3):
        async with world.uploading():
            await until(lambda: sum(attempts(world)) > sum(asked), "one more attempt")
        asked.append(sum(attempts(world)) - sum(asked))
    assert world.total(State.FAILED) == 1
    assert len(world.endpoint.requests) == 3


# Secrets.


async def test_the_token_goes_to_no_other_host_along_a_redirect(world):
    seen = []

    class Other(Server):
        async def handle(self, request):
            seen.append(request)
            return web.json_response({"url": "http://127.0.0.1:1/"})

    other = Other()
    await other.open()
    world.endpoint.behave = answer(307, Location=f"{other.base}/base/analytics")
    world.stage(*TENANTS)
    async with world.uploading() as uploader:
        await until(lambda: uploader.state().paused_since, "the breaker opens")
        assert "redirect" in uploader.state().paused_reason
        world.endpoint.behave = answer(200, times=0)
        await world.delivered()
    await other.aclose()
    assert seen == []


async def test_a_redirect_within_the_endpoint_is_followed_with_the_token(world):
    async def move(request):
        if request.path == "/old/analytics":
            return web.Response(status=307, headers={"Location": f"/base/analytics?{request.query_string}"})
        return None

    world.endpoint.behave = move
    world.stage("acme~prod")
    async with world.uploading(base=f"{world.endpoint.base}/old"):
        await world.delivered()


async def test_a_put_is_not_redirected_and_its_url_not_passed_on(world):
    seen = []

    class Other(Server):
        async def handle(self, request):
            seen.append(request)
            return web.Response()

    other = Other()
    await other.open()
    world.store.behave = answer(307, Location=f"{other.base}/elsewhere")
    world.stage("acme~prod")
    async with world.uploading():
        await until(lambda: world.total(State.FAILED) == 1, "failed")
    await other.aclose()
    assert seen == []


async def test_no_token_and_no_signed_url_is_in_a_log_or_in_the_ledger(world):
    behaviours = [
        answer(403),
        answer(500),
        broken_off,
        cut_off_the_put,
        answer(302, Location="http://127.0.0.1:9/secret-0"),
    ]
    with capture_logs() as logs:
        for behave in behaviours:
            world.store.behave = behave
            world.stage("acme~prod")
            async with world.uploading(timeout_seconds=0.3, settings=world.settings(interval_seconds=60)):
                await until(lambda: world.total(State.FAILED) or logs, "something is said")
                await asyncio.sleep(0.2)
    text = repr(logs) + repr([known for state in State for known in world.ledger.files(state)])
    assert "upload.tenant_trouble" in text
    assert "secret" not in text


# HTTP as it is in the wild.


async def test_a_store_that_does_not_know_100_continue_gets_the_file_after_a_second(world):
    async def say_nothing(_request):
        return None

    world.store.expect = say_nothing
    await world.store.aclose()
    await world.store.open()
    world.stage("acme~prod")
    async with world.uploading():
        await world.delivered()


async def test_a_store_that_refuses_before_the_body_is_not_sent_the_body(world):
    received = []

    async def refuse(_request):
        return web.Response(status=403)

    world.store.expect = refuse
    await world.store.aclose()
    await world.store.open()
    original = world.store.handle

    async def watch(request):
        received.append(await request.read())
        return await original(request)

    world.store.handle = watch
    world.stage("acme~prod", size=1_000_000)
    async with world.uploading():
        await until(lambda: world.total(State.FAILED) == 1, "failed")
    assert received == []


async def test_a_success_before_the_whole_file_was_sent_is_none(world):
    async def too_early(_request):
        return web.Response(status=200)

    world.store.expect = too_early
    await world.store.aclose()
    await world.store.open()
    world.stage("acme~prod", size=5_000_000)
    async with world.uploading() as uploader:
        await until(lambda: uploader.state().paused_since, "the breaker opens")
    assert world.total(State.UPLOADED) == 0


async def test_a_slow_but_steady_upload_is_no_timeout(world):
    async def narrow(request):
        # The line's own buffers must be small against the file for progress to show.
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        return await Server.expect(world.store, request)

    async def read_slowly(request):
        size = 0
        async for piece in request.content.iter_any():
            size += len(piece)
            await asyncio.sleep(len(piece) / 6_000_000)
        return web.Response(status=200 if size == request.content_length else 400)

    world.store.expect = narrow
    await world.store.aclose()
    await world.store.open()
    world.store.behave = read_slowly
    world.stage("acme~prod", size=6_000_000)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with world.uploading(timeout_seconds=0.6):
        await until(lambda: world.total(State.UPLOADED) == 1, "uploaded")
    assert loop.time() - begun > 0.9
    assert world.endpoint.signed == 1


async def test_a_connection_that_the_store_closed_meanwhile_is_opened_again(world):
    async with world.uploading() as uploader:
        for _ in range(3):
            world.stage("acme~prod")
            uploader.notify()
            await until(world.is_delivered, "delivered")
            for server in (world.endpoint, world.store):
                await server.aclose()
                await server.open()
    assert set(attempts(world)) == {0}


async def test_everything_goes_through_the_proxy_with_credentials_of_any_characters(world):
    from apidanalytics.outgoing.proxy import Proxy

    seen = []

    class ForwardProxy(Server):
        async def handle(self, request):
            seen.append((request.method, request.raw_path, request.headers.get("Proxy-Authorization")))
            target = world.endpoint if str(world.endpoint.port) in request.raw_path.split("/")[2] else world.store
            return await target.handle(request.clone(rel_url="/" + request.raw_path.split("/", 3)[3]))

        async def expect(self, request):
            return await Server.expect(self, request)

    proxy = ForwardProxy()
    await proxy.open()

    async def match(request):
        request.match_info["path"] = request.path.lstrip("/")

    world.store.behave = match
    world.stage("acme~prod")
    account = Proxy(scheme="http", host="127.0.0.1", port=proxy.port, user="us@er", password="p@ss/w:ö%rd")
    async with world.uploading(proxy=account):
        await until(lambda: len(seen) >= 2, "both calls")
    await proxy.aclose()
    assert "p@ss" not in repr(account)
    assert [(method, path.startswith("http://127.0.0.1:")) for method, path, _ in seen[:2]] == [
        ("GET", True),
        ("PUT", True),
    ]
    import base64

    assert {credentials for _, _, credentials in seen} == {
        "Basic " + base64.b64encode("us@er:p@ss/w:ö%rd".encode()).decode()
    }


async def test_a_certificate_counts_only_if_the_ca_bundle_vouches_for_it(world, tmp_path, require_tool):
    import ssl

    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make = [require_tool("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    await asyncio.to_thread(
        subprocess.run, [*make, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    runner = world.endpoint._runner
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    base = f"https://127.0.0.1:{runner.addresses[-1][1]}/base"
    world.stage("acme~prod")
    async with world.uploading(base=base) as uploader:
        await until(lambda: uploader.state().paused_since, "the breaker opens")
        assert "certificate" in uploader.state().paused_reason
    async with world.uploading(base=base, ca_bundle=certificate):
        await world.delivered()


async def test_a_disk_that_refuses_to_note_a_delivery_keeps_the_file_until_it_does(world, monkeypatch):
    import sqlite3

    from apidanalytics.upload import settler

    real, full = settler.settle, [True]

    def refuse(*args):
        if full[0]:
            raise sqlite3.OperationalError("database or disk is full")
        real(*args)

    monkeypatch.setattr(settler, "settle", refuse)
    monkeypatch.setattr(settler, "_PAUSE_SECONDS", 0.02)
    world.stage(*TENANTS)
    with capture_logs() as logs:
        async with world.uploading():
            await until(lambda: len(world.store.puts) == len(TENANTS), "all are sent")
            await asyncio.sleep(0.2)
            assert len(world.left()) == len(TENANTS)
            full[0] = False
            await world.delivered()
    assert len(world.store.puts) == len(TENANTS), "and none of them twice"
    assert [entry["event"] for entry in logs] == ["upload.disk_trouble", "upload.disk_trouble_over"]
