"""Clients that mean harm, on real sockets: nothing hidden is handled, nothing slow holds up the others."""

import socket
from contextlib import ExitStack

import pytest

from tests.harness import wait_until
from tests.integration.http_server import GET, OK, HttpServer, post, read_answer, read_to_end

HIDDEN = b"POST /hidden HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
HEAD = b"POST /a HTTP/1.1\r\nHost: a\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"

REFUSED = {
    "two lengths": HEAD + b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN),
    "two equal lengths": HEAD + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "a list of lengths": HEAD + b"Content-Length: 0, %d\r\n\r\n" % len(HIDDEN),
    "a length with a sign": HEAD + b"Content-Length: +0\r\n\r\n",
    "a length in hex": HEAD + b"Content-Length: 0x0\r\n\r\n",
    "a length and chunks": HEAD + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "chunks and a length": HEAD + CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n",
    "a coding behind chunked": HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": HEAD + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n",
    "an unknown coding": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a tab in the coding": HEAD + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST /a HTTP/1.0\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "a space before the colon": HEAD + b"Content-Length : 0\r\n\r\n",
    "a folded line": HEAD + b"X: a\r\n Content-Length: 0\r\n\r\n",
    "a folded first line": b"POST /a HTTP/1.1\r\n Host: a\r\n\r\n",
    "a NUL in a value": HEAD + b"X: a\0b\r\n\r\n",
    "a NUL in a name": HEAD + b"X\0Y: a\r\n\r\n",
    "a bare CR": HEAD + b"X: a\rContent-Length: 0\r\n\r\n",
    "a bare LF": HEAD + b"X: a\nContent-Length: 0\r\n\r\n",
    "bare LFs only": b"POST /a HTTP/1.1\nHost: a\nContent-Length: 0\n\n",
    "a chunk size with a sign": HEAD + CHUNKED + b"\r\n-1\r\n\r\n",
    "a chunk size in 0x": HEAD + CHUNKED + b"\r\n0x0\r\n\r\n",
    "a chunk size beyond 64 bits": HEAD + CHUNKED + b"\r\n10000000000000000\r\n",
    "a chunk that is longer than it says": HEAD + CHUNKED + b"\r\n1\r\nab\r\n0\r\n\r\n",
    "a bare LF behind a chunk size": HEAD + CHUNKED + b"\r\n0\n\n",
    "no Host": b"POST /a HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "a huge header": HEAD + b"X: " + b"a" * 20_000 + b"\r\n\r\n",
    "a huge number of headers": HEAD + b"".join(b"X%d: a\r\n" % number for number in range(3000)) + b"\r\n",
    "a header without end": HEAD + b"a" * 20_000,
}
HARMLESS = {
    "a length that covers it": HEAD + b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "a chunk that holds it": HEAD + CHUNKED + b"\r\n%x\r\n" % len(HIDDEN) + HIDDEN + b"\r\n0\r\n\r\n",
    "a trailer that looks like one": HEAD + CHUNKED + b"\r\n0\r\nX: " + HIDDEN.split(b"\r\n")[0] + b"\r\n\r\n",
    "an upgrade in front of it": HEAD
    + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN)
    + HIDDEN,
}


class Paths:
    def __init__(self):
        self.seen = []

    def __call__(self, exchange):
        self.seen.append(exchange.path)
        exchange.respond(OK)


@pytest.fixture(scope="module")
def served():
    paths = Paths()
    with HttpServer(paths) as server:
        yield server, paths


@pytest.mark.parametrize("cut", [0, 1])
@pytest.mark.parametrize("name", REFUSED)
def test_what_could_hide_a_request_is_refused_and_ends_the_connection(served, name, cut):
    server, paths = served
    paths.seen.clear()
    wire = REFUSED[name] + HIDDEN
    middle = len(wire) // 2 * cut
    with server.connect() as client:
        client.sendall(wire[:middle])
        client.sendall(wire[middle:])
        status, headers, _ = read_answer(client)
        assert status in {400, 431, 501}
        assert headers["Connection"] == "close"
        assert read_to_end(client) == b""
    assert paths.seen == []


@pytest.mark.parametrize("name", HARMLESS)
def test_what_looks_like_a_request_within_a_body_is_none(served, name):
    server, paths = served
    paths.seen.clear()
    with server.connect() as client:
        client.sendall(HARMLESS[name] + GET)
        assert [read_answer(client)[0] for _ in range(2)] == [200, 200]
    assert paths.seen == [b"/a", b"/health"]


def test_slow_headers_and_slow_bodies_hold_up_nobody_and_are_ended():
    with HttpServer(request_timeout=1.0) as server, ExitStack() as open_:
        slow = [open_.enter_context(server.connect()) for _ in range(200)]
        wait_until(lambda: server.listener.connections == 200, what="all are connected")
        for number, client in enumerate(slow):
            client.sendall(HEAD if number % 2 else HEAD + b"Content-Length: 1000\r\n\r\n")
        with server.connect() as normal:
            for client in slow:
                with_trickle(client)
                normal.sendall(post(b"x" * 500))
                assert read_answer(normal)[0] == 200
        assert {how_it_ended(client) for client in slow} <= {408, None}
        wait_until(lambda: server.listener.inflight_bytes == 0, what="nothing of them is held")


def with_trickle(client: socket.socket) -> None:
    try:
        client.sendall(b"X")
    except OSError:
        pass  # it was ended already


def how_it_ended(client: socket.socket) -> int | None:
    """Return the status of the last answer; None where it was lost, because more was sent after it."""
    try:
        return read_answer(client)[0]
    except ConnectionError:
        return None
