"""What the server makes of the bytes it gets: one request, many, in pieces, or none."""

import json

import pytest

from apidanalytics.ingest.http import Response
from tests.unit.ingest.http_wire import GET, UNIX_TIME, Server, post

CHUNKED = b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def refused(*pieces: bytes, **limits: float) -> tuple[int, str]:
    """Send what must be refused; return status and errorCode of the one answer, after which the connection closes."""
    server = Server(**limits)
    client = server.connect().send(*pieces)
    (answer,) = client.answers
    assert not server.exchanges
    assert client.is_over
    assert answer.headers["Connection"] == "close"
    assert answer.headers["Content-Type"] == "application/json; charset=UTF-8"
    assert server.state.refusals == {answer.status: 1}
    body = json.loads(answer.body)
    assert set(body) == {"errorCode", "reason"}
    return answer.status, body["errorCode"]


BAD = (400, "BAD_REQUEST")


def test_a_handler_gets_method_path_headers_body_and_time():
    server = Server()
    server.connect().send(
        b"POST /analytics/x%20y?a=1 HTTP/1.1\r\nHost: a\r\n"
        b"Content-TYPE: text/a \t \r\ncontent-length: 3\r\nEmpty:\r\n\r\nabc"
    )
    (exchange,) = server.exchanges
    assert (exchange.method, exchange.path, exchange.body) == (b"POST", b"/analytics/x%20y", b"abc")
    assert exchange.header(b"content-type") == b"text/a"
    assert exchange.header(b"content-length") == b"3"
    assert exchange.header(b"empty") == b""
    assert exchange.header(b"accept") is None
    assert exchange.header(b"") is None
    assert exchange.arrived_at == UNIX_TIME


def test_the_first_of_several_headers_of_one_name_counts_in_any_spelling():
    server = Server()
    server.connect().send(b"GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nX-A: 2\r\nx-a: 3\r\n\r\n")
    assert server.exchanges[0].header(b"x-a") == b"1"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/a", b"/a"),
        (b"/a?b=/c?d", b"/a"),
        (b"http://host:80/a/b?c", b"/a/b"),
        (b"http://host", b"/"),
        (b"*", b"*"),
    ],
)
def test_the_path_is_the_target_without_query_and_host(target, path):
    server = Server()
    server.connect().send(b"OPTIONS " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert server.exchanges[0].path == path


def test_a_connection_serves_one_request_after_another():
    client = Server().connect().send(post(b"one"), GET, post(b"two"))
    assert client.statuses == [200, 200, 200]
    assert not client.is_over


def test_answers_of_pipelined_requests_come_in_their_order():
    server = Server(answers=False)
    client = server.connect().send(post(b"1") + post(b"2") + post(b"3"))
    first, second, third = server.exchanges
    third.respond(Response(203))
    first.respond(Response(201))
    assert client.statuses == [201]
    second.respond(Response(202))
    assert client.statuses == [201, 202, 203]


def test_a_chunked_body_is_put_together_and_its_trailers_are_ignored():
    server = Server()
    client = server.connect().send(
        CHUNKED + b'5;x="y"\r\nabcde\r\n2\r\nfg\r\n0\r\nHost: evil\r\nX-Trailer: 1\r\n\r\n' + post(b"next")
    )
    chunked, following = server.exchanges
    assert chunked.body == b"abcdefg"
    assert chunked.header(b"host") == b"a"
    assert chunked.header(b"x-trailer") is None
    assert following.body == b"next"
    assert following.header(b"x-trailer") is None
    assert client.statuses == [200, 200]


def test_an_empty_chunked_body_is_a_request():
    server = Server()
    server.connect().send(CHUNKED + b"0\r\n\r\n")
    assert server.exchanges[0].body == b""


def test_every_byte_may_come_alone():
    server = Server()
    wire = post(b"one") + CHUNKED + b"3\r\ntwo\r\n0\r\nA: b\r\n\r\n" + GET
    client = server.connect().send(*(wire[i : i + 1] for i in range(len(wire))))
    assert [exchange.body for exchange in server.exchanges] == [b"one", b"two", b""]
    assert client.statuses == [200, 200, 200]


@pytest.mark.parametrize("cut", range(4))
@pytest.mark.parametrize(
    "framing", [b"Content-Length: 20000\r\n\r\n%s", b"Transfer-Encoding: chunked\r\n\r\n4e20\r\n%s\r\n0\r\n\r\n"]
)
def test_an_empty_line_may_be_cut_anywhere_before_a_large_body_and_half_a_request(framing, cut):
    server = Server()
    request = b"POST /a HTTP/1.1\r\nHost: a\r\n" + framing % (b"x" * 20_000)
    wire = request + GET[:-10]
    place = wire.index(b"\r\n\r\n") + cut
    client = server.connect().send(wire[:place], wire[place:], GET[-10:])
    assert client.statuses == [200, 200]
    place = len(request) - 4 + cut
    client.send(wire[:place], wire[place:], GET[-10:])
    assert client.statuses == [200] * 4


@pytest.mark.parametrize("size", [4000, 4096, 5000, 100_000])
def test_a_large_request_may_come_in_one_read_alone_or_with_others_around_it(size):
    for wire, number in [(post(b"x" * size), 1), (post(b"x" * size) + GET, 2), (GET + post(b"x" * size) * 2, 3)]:
        server = Server()
        client = server.connect().send(wire, wire[:-1], wire[-1:], wire[: size // 2], wire[size // 2 :])
        assert client.statuses == [200] * 3 * number
        assert {len(exchange.body) for exchange in server.exchanges} <= {0, size}


def test_a_body_of_many_tiny_chunks_is_whole_and_kept_in_few_objects():
    server = Server()
    client = server.connect().send(CHUNKED)
    for _ in range(300):
        client.send(b"2\r\nab\r\n" * 20)
    parts = client.connection._reader._body_parts
    assert len(parts) < 600
    assert len(parts[0]) < 12_000 / 2  # what was joined is not joined again: that would take time in the square
    client.send(b"0\r\n\r\n")
    assert server.exchanges[0].body == b"ab" * 6000


def test_http_1_0_closes_unless_it_asks_to_stay():
    client = Server().connect().send(b"GET / HTTP/1.0\r\n\r\n")
    assert client.answers[0].headers["Connection"] == "close"
    assert client.transport.is_closed


def test_http_1_0_is_told_that_the_connection_stays():
    client = Server().connect().send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", GET)
    assert [answer.headers.get("Connection") for answer in client.answers] == ["keep-alive", None]


def test_connection_close_is_honoured_and_what_follows_is_not_looked_at():
    server = Server()
    client = server.connect().send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + GET)
    assert client.statuses == [200]
    assert client.answers[0].headers["Connection"] == "close"
    assert client.transport.is_closed
    assert len(server.exchanges) == 1


def test_connection_keep_alive_changes_nothing_in_http_1_1():
    client = Server().connect().send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n" * 2)
    assert client.statuses == [200, 200]
    assert "Connection" not in client.answers[1].headers


def test_100_continue_is_said_once_before_the_body():
    server = Server()
    head = b"POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n"
    client = server.connect().send(head)
    assert client.transport.written == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"a", b"bc")
    assert client.statuses == [100, 200]
    client.send(head)
    assert client.statuses == [100, 200, 100]


def test_100_continue_is_not_said_when_the_body_is_there_already():
    head = b"POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    assert Server().connect().send(head + b"abc").statuses == [200]
    assert Server().connect().send(head + b"a", b"bc").statuses == [200]


def test_100_continue_waits_for_the_answers_before_it():
    server = Server(answers=False)
    client = server.connect().send(
        GET + b"POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    )
    assert client.statuses == []
    server.answer_all()
    assert client.statuses == [200, 100]


def test_http_1_0_expects_nothing():
    head = b"POST /a HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    assert Server().connect().send(head, b"abc").statuses == [200]


def test_another_expectation_is_refused_with_and_without_its_body():
    head = b"POST /a HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nContent-Length: 3\r\n\r\n"
    assert refused(head) == refused(head + b"abc") == (417, "EXPECTATION_FAILED")


@pytest.mark.parametrize(
    "framing",
    [b"Content-Length: 3\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"],
)
def test_a_request_for_an_upgrade_is_an_ordinary_request(framing):
    server = Server()
    client = server.connect().send(
        b"POST /a?b HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: x\r\n" + framing + GET
    )
    upgrade, following = server.exchanges
    assert (upgrade.method, upgrade.path, upgrade.body) == (b"POST", b"/a", b"abc")
    assert upgrade.header(b"http2-settings") == b"x"
    assert following.path == b"/health"
    assert client.statuses == [200, 200]


def test_a_websocket_gets_an_ordinary_answer():
    request = b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert Server().connect().send(request, GET).statuses == [200, 200]


def test_an_upgrade_with_a_body_in_pieces_is_read_to_its_end():
    server = Server()
    head = b"POST /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 6\r\n\r\n"
    server.connect().send(head[:50], head[50:], b"abc", b"def")
    assert server.exchanges[0].body == b"abcdef"


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 3\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 3",
        b"Content-Length: 3\r\nContent-Length: 3",
        b"Content-Length: 3\r\nContent-Length: 4",
        b"Content-Length: 3, 3",
        b"Content-Length: +3",
        b"Content-Length: -3",
        b"Content-Length: 0x3",
        b"Content-Length: 3 3",
        b"Content-Length:",
        b"Content-Length: 18446744073709551616",
        b"Content-Length : 3",
        b"Transfer-Encoding: chunked, gzip",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding:",
        b"X: a\r\n folded",
        b"X: a\0b",
        b"X\0: a",
        b"X: a\rb",
        b"X: a\nY: b",
        b": a",
        b"X a",
        b"X: \x01",
    ],
)
def test_what_is_malformed_or_could_be_read_in_two_ways_is_refused(lines):
    assert refused(b"POST /a HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n\r\nabc") == BAD


@pytest.mark.parametrize(
    "chunks",
    [
        b"xyz\r\n",
        b"3\nabc\r\n",
        b"3\r\nabcX0\r\n",
        b"0x3\r\nabc\r\n",
        b"3 \r\nabc\r\n",
        b"\r\nabc",
        b"-1\r\n",
        b"3;\0\r\n",
    ],
)
def test_a_malformed_chunk_is_refused(chunks):
    assert refused(CHUNKED + chunks) == refused(CHUNKED, chunks) == BAD


@pytest.mark.parametrize(
    "wire",
    [
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"get / HTTP/1.1\r\n\r\n",
        b"GET\t/ HTTP/1.1\r\n\r\n",
        b"GET /\0 HTTP/1.1\r\n\r\n",
        b"GET / XTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused(wire):
    assert refused(wire) == BAD


@pytest.mark.parametrize(
    "wire",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
        b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        b"GET / HTTP/0.9\r\n\r\n",
        b"GET /\r\n\r\n",
    ],
)
def test_other_versions_are_refused(wire):
    assert refused(wire) == (505, "HTTP_VERSION_NOT_SUPPORTED")


@pytest.mark.parametrize(
    "lines",
    [
        b"Transfer-Encoding: gzip",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: gzip\r\ntransfer-encoding: chunked",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding: xchunked",
    ],
)
@pytest.mark.parametrize("body", [b"", b"0\r\n\r\n"])
def test_other_transfer_encodings_are_refused(lines, body):
    wire = b"POST /a HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n\r\n"
    assert refused(wire + body) == (501, "UNSUPPORTED_TRANSFER_ENCODING")


def test_a_refusal_comes_after_the_answers_to_what_was_in_order():
    server = Server(answers=False)
    client = server.connect().send(post(b"1") + post(b"2") + b"GARBAGE\r\n\r\n")
    assert client.statuses == []
    assert not client.is_over
    server.answer_all()
    assert client.statuses == [200, 200, 400]
    assert client.transport.is_shut


def test_a_refused_head_request_gets_no_body():
    client = Server().connect().send(b"HEAD /a HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n")
    assert client.transport.written.startswith(b"HTTP/1.1 417 ")
    assert client.transport.written.endswith(b"\r\n\r\n")
