"""The embedded collection endpoint, over its socket: whom it gives a URL, and what may be done with that."""

import asyncio
import gzip
import os
from urllib.parse import urlsplit

import aiohttp
import pytest
from blockbuster import BlockBuster, BlockBusterFunction, BlockingError

from apidanalytics.clock import SystemClock
from apidanalytics.collection.embedded import EXPIRY_SECONDS, EmbeddedCollection
from apidanalytics.collection.lake import Lake
from apidanalytics.collection.signature import UrlSigner
from apidanalytics.layout import format_tenant
from apidanalytics.service.deliverable import Deliverable
from apidanalytics.upload.states import State
from tests.integration.upload_world import TOKEN, World, until

FILE = "ab12_20260102030405.20260102030605_node-1_writer_7.txt.gz"
PATH = f"date=2026-01-02/time=03-04/{FILE}"
GOOD = {"tenant": "acme~prod", "relative_file_path": PATH, "file_content_type": "application/x-gzip"}
BODY = gzip.compress(b'{"n":1}\n')
GZIP = {"Content-Type": "application/x-gzip"}
AES = {"x-amz-server-side-encryption": "AES256"}


class Clock(SystemClock):
    ahead = 0.0

    def now(self):
        return super().now() + self.ahead


class Embedded:
    def __init__(self, root):
        self.clock = Clock()
        self.lake = Lake(root / "lake")
        tenants = [("acme", "prod"), ("a/b", "c~d"), ("größe", "ä"), ("x~y", "z"), ("x", "y~z")]
        self.deliverable = Deliverable(lambda: [format_tenant("packed", "later"), format_tenant("packed", "l~ater")])
        self.deliverable.add(format_tenant(*tenant) for tenant in tenants)
        self.server = EmbeddedCollection(
            lake=self.lake,
            known_among=self.deliverable.among,
            token=TOKEN,
            signer=UrlSigner(b"k" * 32),
            clock=self.clock,
        )

    async def open(self):
        self.base = await self.server.start("127.0.0.1", 0)
        self.session = aiohttp.ClientSession()

    async def aclose(self):
        await self.session.close()
        await self.server.stop()
        await self.server.stop()

    async def ask(self, headers=None, **parameters):
        headers = {"Authorization": f"Bearer {TOKEN}"} if headers is None else headers
        asked = {name: value for name, value in (GOOD | parameters).items() if value is not None}
        async with self.session.get(f"{self.base}/analytics", params=asked, headers=headers) as answer:
            return answer.status, await answer.json()

    async def url(self, **parameters):
        status, document = await self.ask(**parameters)
        assert status == 200
        return document["url"]

    async def put(self, url, body=BODY, headers=GZIP, method="PUT", **arguments):
        from yarl import URL

        async with self.session.request(
            method, URL(url, encoded=True), data=body, headers=headers, **arguments
        ) as answer:
            return answer.status

    def objects(self):
        return {str(p.relative_to(self.lake.root)): p.read_bytes() for p in self.lake.root.rglob("*") if p.is_file()}


@pytest.fixture
async def embedded(tmp_path):
    embedded = Embedded(tmp_path)
    await embedded.open()
    yield embedded
    await embedded.aclose()


async def test_what_is_put_lies_in_the_lake_under_its_tenant_and_partition(embedded):
    assert await embedded.put(await embedded.url()) == 200
    assert embedded.objects() == {f"acme~prod/{PATH}": BODY}


async def test_odd_tenants_are_encoded_in_the_lake(embedded):
    for tenant in ("a/b~c~d", "größe~ä"):
        assert await embedded.put(await embedded.url(tenant=tenant)) == 200
    assert set(embedded.objects()) == {f"a%2Fb~c%7Ed/{PATH}", f"gr%C3%B6%C3%9Fe~%C3%A4/{PATH}"}


async def test_two_tenants_that_read_the_same_are_not_mixed(embedded):
    status, document = await embedded.ask(tenant="x~y~z")
    assert (status, "x~y%7Ez" in str(document), "x%7Ey~z" in str(document)) == (400, True, True)


async def test_a_url_that_lies_in_another_form_of_partition_is_fine(embedded):
    path = f"date=2026-01-02/time=03-04-05/{FILE}"
    assert await embedded.put(await embedded.url(relative_file_path=path)) == 200
    assert set(embedded.objects()) == {f"acme~prod/{path}"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer wrong"},
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer \u00e4"},
    ],
)
async def test_without_the_token_there_is_no_url_and_not_even_a_hint(embedded, headers):
    status, document = await embedded.ask(headers=headers, tenant="nobody~x", relative_file_path="..")
    assert (status, document) == (401, {"reason": "bearer token missing or wrong"})


async def test_a_token_with_a_byte_that_is_no_utf_8_is_refused_like_any_other(embedded):
    parts = urlsplit(embedded.base)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(b"GET /analytics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 401")
    writer.close()


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"tenant": None}, "tenant"),
        ({"tenant": ""}, "tenant"),
        ({"tenant": "acme"}, "tenant"),
        ({"relative_file_path": None}, "relative_file_path"),
        ({"relative_file_path": f"../{PATH}"}, "relative_file_path"),
        ({"relative_file_path": f"/{PATH}"}, "relative_file_path"),
        ({"relative_file_path": PATH.replace("03-04/", "03-05/")}, "relative_file_path"),
        ({"file_content_type": None}, "file_content_type"),
        ({"file_content_type": "text/plain"}, "file_content_type"),
        ({"encrypt": "yes"}, "encrypt"),
    ],
)
async def test_bad_parameters_are_refused_with_the_reason(embedded, parameters, named):
    status, document = await embedded.ask(**parameters)
    assert status == 400
    assert named in document["reason"]


async def test_a_parameter_that_is_there_twice_is_refused(embedded):
    url = f"{embedded.base}/analytics?tenant=acme~prod&tenant=x~y&relative_file_path={PATH}"
    async with embedded.session.get(url, headers={"Authorization": f"Bearer {TOKEN}"}) as answer:
        assert answer.status == 400


async def test_a_tenant_of_a_scope_that_is_gone_is_one_as_long_as_the_ledger_knows_it(embedded):
    assert (await embedded.ask(tenant="packed~later"))[0] == 200


async def test_a_tenant_that_only_the_ledger_knows_is_not_taken_for_one_that_reads_the_same(embedded):
    embedded.deliverable.add([format_tenant("packed~l", "ater")])
    assert (await embedded.ask(tenant="packed~l~ater"))[0] == 400


async def test_an_unknown_tenant_is_not_found(embedded):
    assert (await embedded.ask(tenant="nobody~prod"))[0] == 404
    assert (await embedded.ask(tenant="acme~prod~x"))[0] == 404


async def test_a_url_that_was_changed_or_is_used_otherwise_is_forbidden(embedded):
    url = await embedded.url()
    other = FILE.replace("writer_7", "writer_8")
    assert await embedded.put(url.replace(FILE, other)) == 403
    assert await embedded.put(url.replace("acme", "zeta")) == 403
    assert await embedded.put(url.replace("expires=", "expires=9")) == 403
    assert await embedded.put(url.replace("expires=", "expires=x")) == 403
    assert await embedded.put(url + "0") == 403
    assert await embedded.put(url + "%C3%A9") == 403
    assert await embedded.put(url + "%ED%A0%80%FF") == 403
    assert await embedded.put(url.partition("?")[0]) == 403
    assert await embedded.put(url + "&encrypt=true", headers=GZIP | AES) == 403
    assert await embedded.put(url, headers=GZIP | AES) == 403
    assert await embedded.put(url, headers={"Content-Type": "text/plain"}) == 403
    assert await embedded.put(url.replace("/acme", "/%2e%2e/acme")) in {403, 404}
    assert await embedded.put(url, body=None, method="GET") == 405
    assert await embedded.put(url, method="POST") == 405
    assert embedded.objects() == {}
    assert await embedded.put(url) == 200


async def test_encryption_is_bound_to_the_url(embedded):
    url = await embedded.url(encrypt="true")
    assert await embedded.put(url) == 403
    assert await embedded.put(url, headers=GZIP | {"x-amz-server-side-encryption": "none"}) == 403
    assert await embedded.put(url, headers=GZIP | AES) == 200


async def test_a_url_expires(embedded):
    url = await embedded.url()
    embedded.clock.ahead = EXPIRY_SECONDS - 60
    assert await embedded.put(url) == 200
    embedded.clock.ahead = EXPIRY_SECONDS + 2
    assert await embedded.put(url) == 403


@pytest.mark.parametrize("body", [b"", b"\x1f", b"plain text", b"x" * 1_000_000])
async def test_what_is_not_gzip_is_refused_and_leaves_nothing(embedded, body):
    assert await embedded.put(await embedded.url(), body=body) == 400
    assert embedded.objects() == {}


async def test_a_body_without_a_length_is_refused(embedded):
    async def pieces():
        yield BODY

    assert await embedded.put(await embedded.url(), body=pieces()) == 411
    assert embedded.objects() == {}


async def test_the_same_key_again_replaces_the_object_at_once(embedded):
    url = await embedded.url()
    assert await embedded.put(url) == 200
    assert await embedded.put(url, body=BODY + BODY) == 200
    assert embedded.objects() == {f"acme~prod/{PATH}": BODY + BODY}


async def test_many_puts_of_one_key_at_a_time_end_in_one_whole_object(embedded):
    url = await embedded.url()
    bodies = [gzip.compress(b"%d" % n * 200_000, n % 2) for n in range(10)]
    assert set(await asyncio.gather(*(embedded.put(url, body=body) for body in bodies))) == {200}
    (content,) = embedded.objects().values()
    assert content in bodies


@pytest.mark.parametrize("size", [0, 1000, 600_000])
async def test_a_client_that_goes_away_leaves_nothing(embedded, size, caplog):
    parts = urlsplit(await embedded.url())
    _, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-gzip\r\n"
    writer.write(f"{head}Content-Length: 1000000\r\n\r\n".encode() + b"\x1f\x8b"[:size] + b"x" * max(size - 2, 0))
    await writer.drain()
    await asyncio.sleep(0.1)
    writer.close()
    await writer.wait_closed()
    await until(lambda: embedded.objects() == {}, "the part is gone")
    assert await embedded.put(await embedded.url()) == 200
    assert caplog.records == []


async def test_the_body_is_not_asked_for_when_it_would_be_refused(embedded):
    parts = urlsplit(await embedded.url())
    for query, expected in [(parts.query, b"HTTP/1.1 100 Continue"), ("expires=1&signature=x", b"HTTP/1.1 403")]:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        head = f"PUT {parts.path}?{query} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-gzip\r\n"
        writer.write(f"{head}Content-Length: {len(BODY)}\r\nExpect: 100-continue\r\n\r\n".encode())
        line = await asyncio.wait_for(reader.readline(), 60)
        assert line.startswith(expected)
        writer.close()
        await writer.wait_closed()


async def test_a_full_disk_is_said_and_the_object_is_as_it_was(embedded, monkeypatch):
    import errno

    from apidanalytics.collection.lake import Writing

    url = await embedded.url()
    assert await embedded.put(url) == 200

    def refuse(_self):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Writing, "publish", refuse)
    assert await embedded.put(url, body=BODY + BODY) == 500
    assert embedded.objects() == {f"acme~prod/{PATH}": BODY}


async def test_a_lake_that_somebody_put_a_file_in_the_place_of_is_said_and_works_again(embedded, caplog):
    url = await embedded.url()
    away = embedded.lake.root.with_name("away")
    embedded.lake.root.rename(away)
    embedded.lake.root.write_bytes(b"")
    assert await embedded.put(url) == 500
    assert not caplog.records, "that is no defect of ours"
    embedded.lake.root.unlink()
    away.rename(embedded.lake.root)
    assert await embedded.put(url) == 200


async def test_anything_else_is_not_found(embedded):
    for path in ("/", "/lake", "/lake/", "/analytics/", "/status"):
        async with embedded.session.get(embedded.base + path) as answer:
            assert answer.status in {404, 405}


async def test_neither_uploader_nor_embedded_endpoint_block_the_event_loop(tmp_path, embedded):
    world = World(tmp_path)
    world.stage(*["acme~prod"] * 3, size=2_000_000)
    rooms = ["apidanalytics.upload", "apidanalytics.collection"]
    watch = BlockBuster(scanned_modules=rooms)
    watch.functions["os.fsync"] = BlockBusterFunction(os, "fsync", scanned_modules=rooms)
    watch.activate()
    try:
        with pytest.raises(BlockingError):
            embedded.lake.create()  # it would be noticed
        async with world.uploading(base=embedded.base) as uploader:
            await uploader.drain_pass()
            assert await uploader.retry_failed() == 0
    finally:
        watch.deactivate()
    assert world.is_delivered()
    world.ledger.close()


async def test_uploader_and_embedded_endpoint_understand_each_other(tmp_path, embedded):
    world = World(tmp_path)
    world.stage(*["acme~prod", "a%2Fb~c%7Ed"] * 5, size=300_000)
    async with world.uploading(base=embedded.base, encrypt=True):
        await until(world.is_delivered, "delivered")
    by_name = {name.rpartition("/")[2]: content for name, content in embedded.objects().items()}
    assert by_name == {name.rpartition("/")[2]: content for name, content in world.expected.items()}
    assert {known.attempts for known in world.ledger.files(State.UPLOADED)} == {0}
    world.ledger.close()
