"""HTTP as it is in the wild, and a disk that refuses to note what was delivered."""

import asyncio
import socket
import subprocess

from aiohttp import web
from structlog.testing import capture_logs

from apidanalytics.upload.states import State
from tests.integration.upload_faults import attempts
from tests.integration.upload_world import Server, until

TENANTS = ["acme~prod", "zeta~test"] * 6


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
        await until(lambda: uploader.state().stopped_since, "the breaker opens")
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
            await asyncio.sleep(len(piece) / 3_000_000)
        return web.Response(status=200 if size == request.content_length else 400)

    world.store.expect = narrow
    await world.store.aclose()
    await world.store.open()
    world.store.behave = read_slowly
    world.stage("acme~prod", size=6_000_000)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with world.uploading(timeout_seconds=1.5):
        await until(lambda: world.total(State.UPLOADED) == 1, "uploaded")
    assert loop.time() - begun > 1.9
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
        await until(lambda: uploader.state().stopped_since, "the breaker opens")
        assert "certificate" in uploader.state().stopped_reason
    async with world.uploading(base=base, ca_bundle=certificate):
        await world.delivered()


async def test_a_disk_that_refuses_to_note_a_delivery_keeps_the_file_until_it_does(world, monkeypatch):
    import sqlite3

    from apidanalytics.upload import settler

    real, full = settler.settle, [True]

    def refuse(*args):
        if full[0]:
            raise sqlite3.OperationalError("database or disk is full")
        return real(*args)

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
