"""How much, how long and how many: the bounds of the HTTP server, and what happens at them."""

import json

import pytest

from tests.unit.ingest.http_wire import GET, OK, Client, Server, post

CHUNKED = b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
HEAD_TOO_LARGE = (431, "HEADERS_TOO_LARGE")
TARGET_TOO_LONG = (414, "URI_TOO_LONG")
BODY_TOO_LARGE = (413, "PAYLOAD_TOO_LARGE")
TIMEOUT = (408, "REQUEST_TIMEOUT")


def refusal(client: Client) -> tuple[int, str]:
    answer = client.answers[-1]
    assert client.is_over
    assert answer.headers["Connection"] == "close"
    return answer.status, json.loads(answer.body)["errorCode"]


def with_header(size: int) -> bytes:
    """A request of this size, all of it header."""
    start = b"GET /a HTTP/1.1\r\nHost: a\r\nX: "
    return start + b"x" * (size - len(start) - 4) + b"\r\n\r\n"


def in_pieces(wire: bytes, size: int) -> list[bytes]:
    return [wire[i : i + size] for i in range(0, len(wire), size)]


@pytest.mark.parametrize("size", [1, 100, 4096, 5000, 100_000])
def test_a_header_may_have_its_limit_and_not_a_byte_more(size):
    fits = Server().connect().send(*in_pieces(with_header(16 * 1024), size))
    assert fits.statuses == [200]
    assert refusal(Server().connect().send(*in_pieces(with_header(16 * 1024 + 1), size))) == HEAD_TOO_LARGE


@pytest.mark.parametrize("size", [1, 10, 4096])
def test_a_small_limit_of_the_header_holds_too(size):
    fits = Server(max_header_bytes=100).connect().send(*in_pieces(with_header(100), size))
    assert fits.statuses == [200]
    assert refusal(Server(max_header_bytes=100).connect().send(*in_pieces(with_header(101), size))) == HEAD_TOO_LARGE


@pytest.mark.parametrize("size", [100, 4096, 200_000])
def test_a_header_without_end_is_refused_long_before_it_ends(size):
    client = Server().connect()
    pieces = in_pieces(with_header(200_000)[:-4], size)
    client.send(*pieces)
    assert refusal(client) == HEAD_TOO_LARGE


def test_a_large_header_is_fine_after_another_request_in_the_same_read():
    client = Server().connect().send((post(b"x" * 3000) + with_header(16 * 1024)) * 3)
    assert client.statuses == [200] * 6
    client.send((GET + with_header(16 * 1024 + 1)) * 3)
    assert client.statuses == [200] * 7 + [431]


def test_a_flood_of_empty_lines_is_refused():
    client = Server().connect().send(*[b"\r\n" * 1000] * 20)
    assert refusal(client) == HEAD_TOO_LARGE


@pytest.mark.parametrize("size", [1, 1000, 100_000])
def test_a_target_may_have_its_limit_and_not_a_byte_more(size):
    request = b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n"
    fits = Server().connect().send(*in_pieces(request % (b"x" * 8191), size))
    assert fits.statuses == [200]
    assert refusal(Server().connect().send(*in_pieces(request % (b"x" * 8192), size))) == TARGET_TOO_LONG


def test_a_body_that_says_it_is_too_large_is_refused_before_a_byte_of_it():
    server = Server(max_body_bytes=100)
    client = server.connect().send(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n")
    assert refusal(client) == BODY_TOO_LARGE
    assert Server(max_body_bytes=100).connect().send(post(b"x" * 100)).statuses == [200]


@pytest.mark.parametrize(("limit", "size"), [(100, 101), (4500, 4501), (4500, 100_000), (16 * 2**20, 16 * 2**20 + 1)])
def test_a_body_that_is_too_large_is_refused_although_it_is_all_there(limit, size):
    server = Server(max_body_bytes=limit)
    assert refusal(server.connect().send(post(b"x" * size))) == BODY_TOO_LARGE
    assert refusal(server.connect().send(post(b"x" * size)[:-10])) == BODY_TOO_LARGE
    assert not server.exchanges
    assert server.state.budget.used == 0


def test_a_body_too_large_for_any_number_is_refused():
    client = Server().connect().send(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n\r\n")
    assert refusal(client) == BODY_TOO_LARGE


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_chunked_body_may_have_its_limit_and_not_a_byte_more(size):
    fits = CHUNKED + b"32\r\n" + b"x" * 50 + b"\r\n32\r\n" + b"x" * 50 + b"\r\n0\r\n\r\n"
    over = CHUNKED + b"32\r\n" + b"x" * 50 + b"\r\n33\r\n" + b"x" * 51 + b"\r\n0\r\n\r\n"
    assert Server(max_body_bytes=100).connect().send(*in_pieces(fits, size)).statuses == [200]
    assert refusal(Server(max_body_bytes=100).connect().send(*in_pieces(over, size))) == BODY_TOO_LARGE


def test_a_chunked_body_is_refused_while_it_is_read():
    client = Server(max_body_bytes=1000).connect().send(CHUNKED, b"ffffff\r\n", b"x" * 1001)
    assert refusal(client) == BODY_TOO_LARGE


@pytest.mark.parametrize(
    "endless",
    [
        b"5;extension=" + b"x" * 100_000,
        b"0\r\nTrailer: " + b"x" * 100_000,
        b"0\r\n" + b"T: x\r\n" * 20_000,
        b"0" * 100_000,
    ],
)
@pytest.mark.parametrize("size", [1000, 100_000])
def test_what_stands_around_the_chunks_has_a_limit(endless, size):
    client = Server().connect().send(CHUNKED)
    client.send(*in_pieces(endless, size))
    assert refusal(client) == BODY_TOO_LARGE


def test_a_large_body_earns_no_large_trailers():
    client = Server().connect().send(CHUNKED, b"186a0\r\n", b"x" * 100_000, b"\r\n0\r\nTrailer: ")
    client.send(*[b"x" * 1000] * 50)
    assert refusal(client) == BODY_TOO_LARGE


def test_extensions_of_many_chunks_have_a_limit_together():
    client = Server().connect().send(CHUNKED)
    client.send(*[b"1;" + b"x" * 1000 + b"\r\na\r\n"] * 200)
    assert refusal(client) == BODY_TOO_LARGE


def test_chunks_of_one_byte_are_fine():
    server = Server()
    server.connect().send(CHUNKED, b"1\r\na\r\n" * 20_000, b"0\r\n\r\n")
    assert len(server.exchanges[0].body) == 20_000


@pytest.mark.parametrize(
    "piece",
    [b"P", b"\r\n", b"POST /a HT", b"POST /a HTTP/1.1\r\nHost: a\r\n", post(b"abc")[:-1], CHUNKED + b"1\r\na\r\n"],
)
def test_a_request_must_be_complete_in_time(piece):
    server = Server(request_timeout=30)
    client = server.connect().send(piece)
    server.advance(29)
    assert client.answers == []
    server.advance(2)
    assert refusal(client) == TIMEOUT
    assert server.state.budget.used == 0


def test_a_trickle_does_not_win_time():
    server = Server(request_timeout=30)
    client = server.connect()
    for byte in post(b"x" * 100):
        client.send(bytes([byte]))
        server.advance(1)
    assert refusal(client) == TIMEOUT


def test_the_next_request_has_its_own_time():
    server = Server(request_timeout=30)
    client = server.connect()
    for _ in range(5):
        client.send(post(b"abc")[:-1])
        server.advance(20)
        client.send(b"c")
    assert client.statuses == [200] * 5


def test_a_request_behind_another_that_waits_has_its_time_too():
    server = Server(answers=False, request_timeout=30)
    client = server.connect().send(post(b"1") + post(b"2")[:-1])
    server.advance(31)
    server.answer_all()
    assert client.statuses == [200, 408]


def test_an_idle_connection_is_closed_without_a_word():
    server = Server(keepalive_timeout=300)
    client = server.connect().send(GET)
    server.advance(299)
    assert not client.is_over
    server.advance(2)
    assert client.statuses == [200]
    assert client.transport.is_closed
    assert not server.state.connections


def test_idleness_begins_anew_after_each_answer():
    server = Server(keepalive_timeout=300)
    client = server.connect()
    for _ in range(5):
        server.advance(200)
        client.send(GET)
    assert client.statuses == [200] * 5


def test_a_connection_that_waits_for_its_answer_is_not_idle():
    server = Server(answers=False, keepalive_timeout=5)
    client = server.connect().send(GET)
    server.advance(100)
    assert not client.is_over
    server.answer_all()
    server.advance(4)
    assert not client.is_over
    server.advance(2)
    assert client.is_over


def test_a_connection_with_too_many_unanswered_requests_is_not_read():
    server = Server(answers=False, max_unanswered=4)
    client = server.connect().send(*[GET] * 10)
    assert len(server.exchanges) == 4
    assert not client.transport.is_reading
    server.answer_all()
    assert len(server.exchanges) == 4
    server.answer_all()
    server.answer_all()
    assert client.statuses == [200] * 10
    assert client.transport.is_reading


def test_a_large_read_of_many_requests_is_taken_a_few_at_a_time():
    server = Server(answers=False, max_unanswered=4)
    client = server.connect().send(GET * 1000)
    most = 0
    while server.exchanges:
        most = max(most, len(server.exchanges))
        server.answer_all()
    assert most <= 4
    assert client.statuses == [200] * 1000


def test_the_pause_for_unanswered_requests_does_not_count_as_slowness():
    server = Server(answers=False, max_unanswered=2, request_timeout=30)
    client = server.connect().send(GET + GET + post(b"abc")[:-1])
    server.advance(20)
    assert not client.transport.is_reading
    server.advance(100)
    server.answer_all()
    server.advance(9)
    client.send(b"c")
    server.answer_all()
    assert client.statuses == [200] * 3


def test_after_the_pause_the_rest_of_the_time_is_left():
    server = Server(answers=False, max_unanswered=2, request_timeout=30)
    client = server.connect().send(GET + GET + post(b"abc")[:-1])
    server.advance(100)
    server.answer_all()
    server.advance(29)
    assert client.statuses == [200] * 2
    server.advance(2)
    assert client.statuses == [200] * 2 + [408]


def test_reading_goes_on_when_half_of_the_answers_are_out():
    server = Server(answers=False, max_unanswered=4)
    client = server.connect().send(GET * 4)
    reading = []
    for exchange in server.exchanges:
        exchange.respond(OK)
        server.run()
        reading.append(client.transport.is_reading)
    assert reading == [False, True, True, True]


def test_a_client_that_does_not_read_its_answers_is_paused_then_given_up():
    server = Server(answers=False, request_timeout=30)
    client = server.connect().send(GET)
    client.connection.pause_writing()
    client.send(GET)
    assert len(server.exchanges) == 1
    server.answer_all()
    server.advance(29)
    assert not client.transport.was_aborted
    server.advance(2)
    assert client.transport.was_aborted
    assert not server.state.connections


def test_a_client_that_reads_again_goes_on():
    server = Server(request_timeout=30)
    client = server.connect().send(GET)
    client.connection.pause_writing()
    client.send(GET)
    server.advance(20)
    client.connection.resume_writing()
    server.run()
    server.advance(60)
    assert client.statuses == [200, 200]
    assert client.transport.is_reading
    assert not client.is_over


def test_an_answer_larger_than_any_is_still_one_write():
    server = Server(answers=False)
    client = server.connect().send(GET)
    server.answer_all(OK)
    assert client.transport.writes == 1
