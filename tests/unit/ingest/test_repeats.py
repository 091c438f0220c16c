"""A header that comes again needs no parser; and it makes no difference to anybody."""

import gc

import pytest

from apidanalytics.ingest import protocol, repeats
from apidanalytics.ingest.http import CLOSE, KEEP, Exchange
from tests.unit.ingest.http_wire import GET, POST, UNIX_TIME, Client, Server, post

HEAD = b"POST /analytics/testid?x HTTP/1.1\r\nHost: a\r\nContent-Length:%b\r\nAccept: b\r\n\r\n"


def with_length(length: bytes, body: bytes) -> bytes:
    return HEAD % length + body


def without_parser(client: Client) -> Client:
    def parse(data: bytes) -> None:
        raise AssertionError(f"parsed again: {data!r}")

    client.connection._reader.parse = parse
    return client


def test_a_header_that_comes_again_needs_no_parser():
    server = Server()
    client = server.connect().send(with_length(b" 3", b"abc"))
    without_parser(client).send(with_length(b" 0", b""), with_length(b" 12", b"abcdefghijkl"))
    first, second, third = server.exchanges
    assert [one.body for one in server.exchanges] == [b"abc", b"", b"abcdefghijkl"]
    for one in (second, third):
        assert (one.method, one.path, one.ending) == (first.method, first.path, KEEP)
        assert one.header(b"accept") == b"b"
        assert one.arrived_at == UNIX_TIME
    assert third.header(b"content-length") is None
    assert client.statuses == [200, 200, 200]


def outcome(pieces: list[bytes]) -> tuple[object, ...]:
    server = Server()
    client = server.connect().send(*pieces)
    asked = [(one.method, one.path, one.body, one.ending, one.header(b"accept")) for one in server.exchanges]
    return asked, client.answers, client.is_over


@pytest.mark.parametrize(
    "piece",
    [
        with_length(b" 2", b"abc"),
        with_length(b" 4", b"abc"),
        with_length(b" 3", b"abc") * 2,
        with_length(b" 3", b"abcPO"),
        with_length(b" 03", b"abc"),
        with_length(b" +3", b"abc"),
        with_length(b" 0_3", b"abc"),
        with_length(b" 3 ", b"abc"),
        with_length(b" ", b"abc"),
        with_length(b" 3" + b"0" * 30, b"abc"),
        with_length(b" 3\r\nContent-Length: 3", b"abc"),
        with_length(b" 3", b"abc").replace(b"testid", b"otherid"),
        with_length(b" 3", b"abc").replace(b": b", b": c"),
        with_length(b" 3", b"abc").replace(b"Accept", b"Expect"),
        with_length(b" 3", b"abc")[1:],
        b"\r\n" + with_length(b" 3", b"abc"),
        GET,
    ],
)
def test_whatever_else_comes_means_what_it_meant_before(piece, monkeypatch):
    again = with_length(b" 3", b"xyz")
    wires = [[again, piece, again], [again, again, piece, b"abc", again, again], [piece, again, again]]
    remembered = [outcome(wire) for wire in wires]
    monkeypatch.setattr(protocol, "TRIES", 0)
    assert remembered == [outcome(wire) for wire in wires]


@pytest.mark.parametrize("cut", [2, 4, 5])
def test_a_request_behind_a_part_of_another_ones_first_line_is_not_remembered(cut):
    server = Server()
    request = post(b"abc")
    client = server.connect().send(post(b"one"), post(b"two") + request[:cut], request[cut:], request[cut:])
    assert [one.body for one in server.exchanges] == [b"one", b"two", b"abc"]
    assert client.statuses == [200, 200, 200, 400]


def test_what_looks_like_a_repeat_within_a_large_body_is_part_of_it():
    server = Server()
    again = post(b"abc")
    large = b"x" * 6000 + again
    client = server.connect().send(again, (POST % (len(large), large))[: -len(again)], again, again)
    assert [one.body for one in server.exchanges] == [b"abc", large, b"abc"]
    assert client.statuses == [200, 200, 200]


def test_what_looks_like_a_repeat_behind_what_came_during_a_pause_is_read_in_its_place():
    server = Server(answers=False, max_unanswered=2)
    again = post(b"abc")
    large = b"x" * 30 + again
    client = server.connect().send(again, again)
    client.connection.data_received((POST % (len(large), large))[: -len(again)])
    server.answer_all()
    client.connection.data_received(again)
    server.run()
    assert [one.body for one in server.exchanges] == [large]


@pytest.mark.parametrize(
    "header", [b"Connection: keep-alive", b"Connection: close", b"Expect: 100-continue", b"Upgrade: h2c"]
)
def test_a_header_that_says_more_than_usual_is_always_parsed(header):
    server = Server()
    client = server.connect().send(with_length(b" 3\r\n" + header, b"abc"))
    assert client.connection._repeat is None


def test_where_headers_differ_each_time_it_is_not_tried_for_ever():
    server = Server()
    client = server.connect()
    for number in range(repeats.TRIES):
        client.send(post(b"abc").replace(b"testid", b"id%d" % number))
        assert client.connection._repeat is not None
    client.send(post(b"abc"), post(b"abc"))
    assert client.connection._repeat is None
    assert len(server.exchanges) == repeats.TRIES + 2


def test_one_that_did_come_again_makes_up_for_those_that_did_not():
    server = Server()
    client = server.connect()
    for number in range(3 * repeats.TRIES):
        request = post(b"abc").replace(b"testid", b"id%d" % number)
        client.send(request, request)
    assert without_parser(client).send(request).statuses == [200] * (6 * repeats.TRIES + 1)


def test_a_repeat_while_draining_is_the_last_request():
    server = Server()
    client = server.connect().send(post(b"one"))
    client.connection.drain()
    without_parser(client).send(post(b"two"), post(b"three"))
    assert [one.body for one in server.exchanges] == [b"one", b"two"]
    assert [one.ending for one in server.exchanges] == [KEEP, CLOSE]
    assert client.is_over


def test_repeats_count_against_the_limits_of_what_is_unanswered():
    server = Server(answers=False, max_unanswered=2)
    client = server.connect().send(post(b"one"), post(b"two"), post(b"three"))
    assert len(server.exchanges) == 2
    assert not client.transport.is_reading
    server.answer_all()
    assert [one.body for one in server.exchanges] == [b"three"]


def test_repeats_count_against_the_bytes_in_flight():
    server = Server(answers=False, max_inflight_bytes=10)
    client = server.connect().send(post(b"one"), post(b"two and three"))
    assert server.state.budget.used == 16
    assert not client.transport.is_reading
    server.answer_all()
    assert client.transport.is_reading


def test_only_a_request_that_is_all_of_the_data_can_come_again():
    server = Server()
    server.connect().send(post(b"abc"))
    (exchange,) = server.exchanges
    assert repeats.Repeat.of(post(b"abc"), exchange) is not None
    for data in (post(b"abc") + b"x", post(b"ab"), b"x" + post(b"abc"), GET, post(b"abc")[:20]):
        assert repeats.Repeat.of(data, exchange) is None
    assert repeats.Repeat.of(post(b"abc"), _closing(exchange)) is None


def _closing(exchange: Exchange) -> Exchange:
    exchange.ending = CLOSE
    return exchange


HIDDEN = b"POST /analytics/testid HTTP/1.1\r\nHost: b\r\nContent-Length: 3\r\n\r\nabc"


@pytest.mark.parametrize(
    "before",
    [
        pytest.param([b""], id="at the beginning"),
        pytest.param([with_length(b" 3", b"abc")], id="after a request"),
        pytest.param([with_length(b" 3", b"abc") + b"PO", b"ST"], id="after a request, in pieces"),
    ],
)
def test_a_piece_that_looks_like_a_request_within_a_header_is_not_taken_for_its_beginning(before):
    begun = b"POST /analytics/testid HTTP/1.1\r\nAccept: lent\r\nX: "
    *pieces, last = before
    begun = begun.removeprefix(b"POST") if last == b"ST" else begun
    server = Server()
    server.connect().send(*pieces, last + begun, HIDDEN, HIDDEN)
    *_, hidden, alone = server.exchanges
    assert hidden.header(b"accept") == b"lent"
    assert alone.header(b"accept") is None
    assert alone.header(b"host") == b"b"


def test_a_connection_that_is_gone_is_forgotten():
    def connections() -> int:
        gc.collect()
        return sum(type(one) is protocol.HttpConnection for one in gc.get_objects())

    before = connections()
    server = Server()
    for _ in range(5):
        client = server.connect().send(with_length(b" 3", b"abc"))
        client.lose()
    del client
    server.exchanges.clear()
    assert connections() == before
