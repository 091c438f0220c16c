"""The uploader's own HTTP: every form of an answer, connections kept and replaced, and when a body waits."""

import asyncio
import re
from contextlib import asynccontextmanager

import pytest

from apidanalytics.upload import exchange
from apidanalytics.upload.answers import Answer
from apidanalytics.upload.content import Content
from apidanalytics.upload.exchange import EAGER_BYTES, Exchanger
from apidanalytics.upload.outcome import Party, Unreachable

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
MIDDLE = Content.of(b"m" * EAGER_BYTES)
SMALL, LARGE = Content.of(b"s" * 100), Content.of(b"l" * (EAGER_BYTES + 1))


class Scripted:
    """A server that answers each request by what it is told, and notes what it got."""

    def __init__(self):
        self.answers = []
        """For each request: what is sent before its body is read, and after; and whether the connection ends."""
        self.connections = 0
        self.heads = []
        self.bodies = []

    async def serve(self, reader, writer):
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                before, after, ends = self.answers.pop(0) if self.answers else (b"", OK, False)
                writer.write(before)
                length = re.search(rb"Content-Length: (\d+)", head)
                self.bodies.append(await reader.readexactly(int(length[1]) if length else 0))
                writer.write(after)
                await writer.drain()
                if ends:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client went away
        finally:
            writer.close()


@asynccontextmanager
async def exchanging(timeout_seconds=90.0):
    scripted = Scripted()
    server = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
    exchanger = Exchanger(timeout_seconds=timeout_seconds)
    await exchanger.open()
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/key?signature=s%2Fecret"
    try:
        yield scripted, exchanger, url
    finally:
        await exchanger.aclose()
        server.close()


async def get(exchanger, url):
    return await exchanger.get(Party.STORE, url, {})


async def put(exchanger, url, content):
    return await exchanger.put(Party.STORE, url, {"Content-Length": str(content.size_bytes)}, content)


@pytest.mark.parametrize(
    ("answer", "ends"),
    [
        (OK, False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\n\r\nok", True),
        (b"HTTP/1.0 200 OK\r\n\r\nok", True),
        (b"HTTP/1.1 102 Processing\r\n\r\n" + OK, False),
    ],
)
async def test_every_form_of_an_answer_is_read_whole(answer, ends):
    async with exchanging() as (scripted, exchanger, url):
        scripted.answers = [(b"", answer, ends)]
        found = await get(exchanger, url)
        assert (found.status, found.body) == (200, b"ok")
        assert (await get(exchanger, url)).body == b"ok"
        assert scripted.connections == 1 + ends


async def test_a_kept_connection_that_was_closed_meanwhile_is_replaced_and_the_whole_request_sent_again():
    async with exchanging() as (scripted, exchanger, url):
        scripted.answers = [(b"", OK, False), (b"", b"", True)]
        await get(exchanger, url)
        answer, sent_all = await put(exchanger, url, SMALL)
        assert (answer.status, sent_all, scripted.connections) == (200, True, 2)
        assert scripted.bodies[-1] == b"s" * 100


async def test_a_new_connection_that_breaks_is_trouble_and_no_url_is_told():
    async with exchanging() as (scripted, exchanger, url):
        scripted.answers = [(b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", True)]
        found = await get(exchanger, url)
        assert isinstance(found, Unreachable)
        assert found.reason == "object store: the connection ended before the answer was complete"


@pytest.mark.parametrize(
    "answer", [OK + OK, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", OK + b"garbage"]
)
async def test_a_connection_with_more_to_say_is_not_used_again(answer):
    async with exchanging() as (scripted, exchanger, url):
        scripted.answers = [(b"", answer, False)]
        assert (await get(exchanger, url)).body == b"ok"
        assert (await get(exchanger, url)).body == b"ok"
        assert scripted.connections == 2


@pytest.mark.parametrize("answer", [b"garbage\r\n\r\n", b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n"])
async def test_what_is_not_http_is_trouble(answer):
    async with exchanging(timeout_seconds=0.5) as (scripted, exchanger, url):
        scripted.answers = [(b"", answer, False)]
        assert isinstance(await get(exchanger, url), Unreachable)


async def test_an_endless_answer_is_cut_and_an_endless_head_refused():
    async with exchanging() as (scripted, exchanger, url):
        scripted.answers = [
            (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 2_000_000, False),
            (b"", b"HTTP/1.1 200 OK\r\n" + b"X-Long: y\r\n" * 20_000 + b"\r\n", False),
        ]
        assert 1 << 20 < len((await get(exchanger, url)).body) <= (1 << 20) + (1 << 18)
        assert isinstance(await get(exchanger, url), Unreachable)


async def test_a_small_body_follows_at_once_and_a_middle_one_where_expect_is_known(monkeypatch):
    monkeypatch.setattr(exchange, "CONTINUE_SECONDS", 60.0)
    loop = asyncio.get_running_loop()
    async with exchanging() as (scripted, exchanger, url):
        begun = loop.time()
        scripted.answers = [(b"", OK, False), (CONTINUE, OK, False), (b"", OK, False)]
        for content in (SMALL, MIDDLE, MIDDLE):
            answer, sent_all = await put(exchanger, url, content)
            assert (answer.status, sent_all) == (200, True)
        assert loop.time() - begun < 30
        assert all(b"Expect: 100-continue" in head for head in scripted.heads)


async def test_who_answers_ok_to_the_head_of_a_middle_body_alone_is_not_believed(monkeypatch):
    monkeypatch.setattr(exchange, "CONTINUE_SECONDS", 60.0)
    async with exchanging() as (scripted, exchanger, url):
        scripted.answers = [(OK, b"", True)] * 2
        for _ in range(2):
            answer, sent_all = await put(exchanger, url, MIDDLE)
            assert (answer.status, sent_all) == (200, False)


async def test_a_kept_connection_that_was_merely_closed_makes_no_body_wait(monkeypatch):
    monkeypatch.setattr(exchange, "CONTINUE_SECONDS", 60.0)
    loop = asyncio.get_running_loop()
    async with exchanging() as (scripted, exchanger, url):
        scripted.answers = [(b"", OK, False), (b"", b"", True)]
        await get(exchanger, url)
        begun = loop.time()
        for _ in range(2):
            await put(exchanger, url, SMALL)
        assert loop.time() - begun < 30


async def test_a_large_body_waits_for_100_and_is_not_sent_when_it_is_refused():
    refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    async with exchanging() as (scripted, exchanger, url):
        scripted.answers = [(refusal, b"", False), (CONTINUE, OK, False)]
        answer, sent_all = await put(exchanger, url, LARGE)
        assert (answer.status, sent_all, scripted.bodies) == (403, False, [])
        answer, sent_all = await put(exchanger, url, LARGE)
        assert (answer.status, sent_all, scripted.connections) == (200, True, 2)


@pytest.mark.parametrize(("status", "is_taken"), [(b"201 Created", True), (b"503 Slow", False), (b"307 There", False)])
async def test_only_an_answer_that_says_so_tells_at_once_that_the_store_has_it(status, is_taken):
    async with exchanging() as (scripted, exchanger, url):
        scripted.answers = [(CONTINUE, b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n", False)]
        told = []
        length = {"Content-Length": str(SMALL.size_bytes)}
        await exchanger.put(Party.STORE, url, length, SMALL, on_taken=lambda: told.append(status))
        assert bool(told) is is_taken


async def test_a_server_that_does_not_know_expect_is_waited_for_once(monkeypatch):
    loop = asyncio.get_running_loop()
    async with exchanging() as (_, exchanger, url):
        waited = []
        for patience in (0.3, 60.0):
            monkeypatch.setattr(exchange, "CONTINUE_SECONDS", patience)
            begun = loop.time()
            answer, sent_all = await put(exchanger, url, LARGE)
            assert (answer.status, sent_all) == (200, True)
            waited.append(loop.time() - begun)
        assert waited[0] >= 0.3
        assert waited[1] < 30


async def test_a_line_break_in_a_header_is_never_sent():
    async with exchanging() as (scripted, exchanger, url):
        found = await exchanger.get(Party.STORE, url, {"Authorization": "Bearer a\r\nX-Evil: 1"})
        assert found == Unreachable(party=Party.STORE, reason="object store: ValueError")
        assert scripted.heads == []


async def test_the_target_is_sent_as_it_was_signed():
    async with exchanging() as (scripted, exchanger, url):
        base = url.partition("/key")[0]
        for target in ("/%61%2Fb//c%20d/../~e=f?a=%2f&b=", "", "?x=1"):
            assert isinstance(await get(exchanger, base + target + "#fragment"), Answer)
        sent = [head.split(b" ")[1].decode() for head in scripted.heads]
        assert sent == ["/%61%2Fb//c%20d/../~e=f?a=%2f&b=", "/", "/?x=1"]
