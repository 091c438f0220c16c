"""Calls to Apigee Sync through a forward proxy, and over TLS with a certificate of a CA of one's own."""

import asyncio
import base64
import socket
import ssl
import threading
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from apidanalytics import durable
from apidanalytics.apigeesync.errors import SyncError
from apidanalytics.apigeesync.http import Http
from apidanalytics.outgoing.proxy import Proxy
from tests.harness import wait_until
from tests.integration.http_server import make_certificate


@asynccontextmanager
async def serving(handle, tls=None):
    """Serve everything with one handler; yields the port."""
    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def opened(**options):
    http = Http(timeout_seconds=30, **options)
    await http.open()
    try:
        yield http
    finally:
        await http.aclose()


async def test_calls_and_downloads_go_through_the_proxy_with_its_credentials(tmp_path):
    seen = []

    async def proxy(request):
        # A proxy is asked for the whole address; the name in it could not be looked up from here.
        seen.append((request.method, request.raw_path, request.headers.get("Proxy-Authorization")))
        return web.Response(body=b"content")

    target = tmp_path / "snapshot"
    async with serving(proxy) as port:
        account = Proxy(scheme="http", host="127.0.0.1", port=port, user="us@er", password="p@ss/w:ö%rd")
        async with opened(proxy=account) as http:
            answer = await http.fetch("POST", "http://sync.invalid/accesstoken", {}, body=b"grant_type=x")
            saved = await http.save("http://sync.invalid/snapshots?selector=c1", {}, target)
    assert (answer.status, answer.body, saved.status, target.read_bytes()) == (200, b"content", 200, b"content")
    credentials = "Basic " + base64.b64encode("us@er:p@ss/w:ö%rd".encode()).decode()
    assert seen == [
        ("POST", "http://sync.invalid/accesstoken", credentials),
        ("GET", "http://sync.invalid/snapshots?selector=c1", credentials),
    ]


async def test_a_proxy_that_is_away_is_said_to_be_the_trouble_and_its_password_is_not():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # nobody listens there, and nobody else will meanwhile
        port = silent.getsockname()[1]
        account = Proxy(scheme="http", host="127.0.0.1", port=port, user="user", password="p4ssw0rd")
        async with opened(proxy=account) as http:
            with pytest.raises(SyncError) as caught:
                await http.fetch("GET", "http://sync.invalid/changes", {})
    assert str(port) in str(caught.value)
    assert "p4ssw0rd" not in str(caught.value)


async def test_a_download_that_is_given_up_while_its_file_is_opened_leaves_nothing_open(tmp_path, monkeypatch):
    made, go, create = [], threading.Event(), durable.create

    def create_slowly(path):
        made.append(create(path))
        go.wait(60)
        return made[0]

    def is_open():
        links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        return str(tmp_path / "snapshot") in [str(link.resolve()) for link in links]

    async def answer(_request):
        return web.Response(body=b"content")

    monkeypatch.setattr(durable, "create", create_slowly)
    async with serving(answer) as port, opened() as http:
        saving = asyncio.create_task(http.save(f"http://127.0.0.1:{port}/snapshots", {}, tmp_path / "snapshot"))
        await asyncio.to_thread(wait_until, lambda: made, what="the file is opened")
        saving.cancel()
        await asyncio.gather(saving, return_exceptions=True)
        assert is_open()
        go.set()
        await asyncio.to_thread(wait_until, lambda: not is_open(), what="it is closed")


async def test_a_certificate_counts_only_if_the_ca_bundle_vouches_for_it(tmp_path, require_tool):
    certificate, key = make_certificate(require_tool("openssl"), tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)

    async def answer(_request):
        return web.Response(text="sync")

    async with serving(answer, tls) as port:
        url = f"https://127.0.0.1:{port}/changes"
        async with opened() as http:
            with pytest.raises(SyncError, match="certificate"):
                await http.fetch("GET", url, {})
        async with opened(ca_bundle=certificate) as http:
            assert (await http.fetch("GET", url, {})).body == b"sync"
