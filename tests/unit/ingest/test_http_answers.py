"""Answers: their bytes, their order, and how a connection ends after them."""

import email.utils
import json

import pytest
from structlog.testing import capture_logs

from apidanalytics.ingest.http import Exchange, Response
from tests.unit.ingest.http_wire import GET, OK, UNIX_TIME, Server, parse_answers, post

CLOSE = b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

CHUNKED_POST = b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"


def test_an_answer_has_its_status_line_headers_and_body():
    server = Server(answers=False)
    client = server.connect().send(GET)
    server.answer_all(Response(503, b'{"a":1}', ((b"Retry-After", b"1"),)))
    assert client.transport.written.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    (answer,) = client.answers
    assert answer.headers == {
        "Content-Type": "application/json; charset=UTF-8",
        "Content-Length": "7",
        "Retry-After": "1",
        "Date": email.utils.formatdate(int(UNIX_TIME), usegmt=True),
    }
    assert answer.body == b'{"a":1}'


def test_the_date_follows_the_clock():
    server = Server()
    client = server.connect().send(GET)
    server.advance(2)
    client.send(GET)
    first, second = (email.utils.parsedate_to_datetime(answer.headers["Date"]) for answer in client.answers)
    assert (second - first).total_seconds() == 2


def test_a_status_without_a_name_is_fine():
    server = Server(answers=False)
    client = server.connect().send(GET)
    server.answer_all(Response(299))
    assert client.transport.written.startswith(b"HTTP/1.1 299 \r\n")


def test_head_gets_the_length_but_not_the_body():
    server = Server(answers=False)
    client = server.connect().send(b"HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n")
    server.answer_all(Response(200, b"{}"))
    (answer,) = parse_answers(client.transport.written, to_head=True)
    assert answer.headers["Content-Length"] == "2"


def test_an_answer_is_one_write():
    server = Server(answers=False)
    client = server.connect().send(GET)
    server.answer_all(Response(400, b"{}"))
    assert client.transport.writes == 1


def test_only_the_first_answer_counts():
    server = Server(answers=False)
    client = server.connect().send(GET)
    (exchange,) = server.exchanges
    exchange.respond(Response(201))
    exchange.respond(Response(202))
    exchange.abort()
    assert client.statuses == [201]
    assert not client.is_over


def test_an_answer_to_a_client_that_is_gone_is_dropped():
    server = Server(answers=False)
    client = server.connect().send(post(b"abc") * 2)
    first, second = server.exchanges
    assert not first.is_gone
    client.lose()
    assert first.is_gone
    assert server.state.budget.used == 0
    second.respond(OK)
    first.respond(OK)
    assert client.transport.written == b""
    assert server.state.budget.used == 0
    assert server.closed == 1


def test_abort_closes_without_an_answer_but_not_before_earlier_ones():
    server = Server(answers=False)
    client = server.connect().send(GET * 3)
    first, second, third = server.exchanges
    second.abort()
    assert not client.is_over
    first.respond(OK)
    third.respond(OK)
    assert client.statuses == [200]
    assert client.transport.is_closed
    server.run()
    assert not server.state.connections


def test_abort_inside_the_handler_leaves_what_was_pipelined_without_an_answer():
    server = Server()
    server.state.handler = Exchange.abort
    client = server.connect().send(GET * 3)
    assert client.answers == []
    assert client.transport.is_closed
    server.run()
    assert server.state.budget.used == 0


def test_a_handler_that_raises_costs_each_request_a_500_and_a_log_line():
    server = Server()
    server.state.handler = lambda _: 1 / 0  # type: ignore[assignment,return-value]
    with capture_logs() as logs:
        client = server.connect().send(GET, GET)
        assert client.statuses == [500, 500]
    assert json.loads(client.answers[0].body) == {"errorCode": "INTERNAL_SERVER_ERROR", "reason": "Internal error"}
    assert not client.is_over
    assert [entry["event"] for entry in logs] == ["ingest.defect"] * 2
    assert isinstance(logs[0]["exc_info"], ZeroDivisionError)


def test_requests_that_can_be_read_now_are_all_read_before_the_first_is_handled():
    server = Server()
    clients = [server.connect() for _ in range(3)]
    for client in clients:
        client.transport.arrive(GET)
    assert server.state.requests == 0
    server.run()
    assert server.state.requests == 3
    assert [client.statuses for client in clients] == [[200]] * 3


def test_a_handler_that_raises_for_one_request_answers_the_others():
    server = Server()
    clients = [server.connect() for _ in range(2)]
    answer = server.state.handler
    server.state.handler = lambda exchange: answer(exchange) if exchange.method == b"GET" else 1 / 0  # type: ignore[assignment,return-value]
    clients[0].transport.arrive(GET.replace(b"GET", b"PUT"))
    clients[1].transport.arrive(GET)
    with capture_logs():
        server.run()
    assert [client.statuses for client in clients] == [[500], [200]]


def test_a_handler_that_raises_after_it_answered_changes_nothing():
    def handle(exchange: Exchange) -> None:
        exchange.respond(OK)
        raise ValueError

    server = Server()
    server.state.handler = handle
    with capture_logs():
        client = server.connect().send(GET, GET)
    assert client.statuses == [200, 200]


def test_after_a_request_that_says_close_the_connection_is_closed():
    server = Server(answers=False)
    client = server.connect().send(GET + CLOSE)
    server.answer_all()
    assert client.statuses == [200, 200]
    assert [answer.headers.get("Connection") for answer in client.answers] == [None, "close"]
    assert client.transport.is_closed


def test_after_a_refusal_our_side_is_shut_and_the_rest_thrown_away():
    server = Server()
    client = server.connect().send(b"GARBAGE\r\n\r\n")
    assert client.transport.is_shut
    assert not client.transport.is_closed
    client.send(*[b"x" * 100_000] * 100)
    assert client.statuses == [400]
    client.half_close()
    assert client.transport.is_closed
    assert not server.state.connections


def test_lingering_has_an_end():
    server = Server()
    client = server.connect().send(b"GARBAGE\r\n\r\n")
    for _ in range(3):
        client.send(b"more")
        server.advance(1)
    assert client.transport.was_aborted


def test_lingering_does_not_take_any_amount():
    client = Server().connect().send(b"GARBAGE\r\n\r\n")
    client.send(*[b"x" * 1_000_000] * 100)
    assert not client.transport.is_reading


def test_after_a_flood_the_last_answer_is_still_waited_for():
    server = Server(answers=False)
    client = server.connect().send(GET + b"GARBAGE\r\n\r\n")
    client.send(*[b"x" * 1_000_000] * 68)
    assert not client.transport.is_reading
    server.answer_all()
    assert client.statuses == [200, 400]
    assert client.transport.is_reading  # to see that the client closes


def test_over_tls_the_transport_lingers_by_itself():
    client = Server().connect(is_tls=True).send(b"GARBAGE\r\n\r\n")
    assert client.statuses == [400]
    assert client.transport.is_closed
    assert not client.transport.is_shut


def test_a_client_that_shut_down_its_side_still_gets_its_answers():
    server = Server(answers=False)
    client = server.connect().send(GET * 2)
    client.half_close()
    assert not client.is_over
    server.answer_all()
    assert client.statuses == [200, 200]
    assert client.answers[1].headers["Connection"] == "close"
    assert client.transport.is_closed


@pytest.mark.parametrize("sent", [b"", b"POST", post(b"abc")[:-1]])
def test_a_client_that_shuts_down_before_its_request_is_complete_gets_nothing(sent):
    server = Server()
    client = server.connect().send(*filter(None, [sent]))
    client.half_close()
    assert client.answers == []
    assert client.transport.is_closed
    assert server.state.budget.used == 0


def test_an_incomplete_request_before_the_end_does_not_cost_the_answers_before_it():
    server = Server(answers=False)
    client = server.connect().send(GET + post(b"abc")[:-1])
    client.half_close()
    assert server.state.budget.used == 0
    server.answer_all()
    assert client.statuses == [200]
    assert client.transport.is_closed


def test_over_tls_a_client_that_shuts_down_is_gone():
    client = Server(answers=False).connect(is_tls=True).send(GET)
    client.half_close()
    assert client.transport.is_closed


def test_a_connection_and_an_exchange_show_their_state():
    server = Server(answers=False)
    client = server.connect().send(post(b"1") + post(b"12")[:-1])
    (exchange,) = server.exchanges
    assert repr(exchange) == "<Exchange POST 1 bytes, open>"
    assert repr(client.connection) == "<HttpConnection 1 unanswered, 1 bytes of a body, <Gate open>>"
    client.connection.pause_writing()
    assert "choked" in repr(client.connection)
    exchange.respond(OK)
    assert repr(exchange) == "<Exchange POST 1 bytes, answered 200>"
    client.lose()
    assert repr(client.connection) == "<HttpConnection 0 unanswered, 0 bytes of a body, <Gate choked, closed>>"


# Draining.


def drained(server: Server) -> None:
    server.state.is_draining = True
    for connection in list(server.state.connections):
        connection.drain()


def test_draining_an_idle_connection_gives_it_about_a_second():
    server = Server()
    client = server.connect().send(GET)
    drained(server)
    server.advance(0.75)
    assert not client.is_over
    server.advance(0.75)
    assert client.transport.is_closed


def test_a_request_on_its_way_while_draining_is_served_and_told_to_close():
    server = Server()
    client = server.connect()
    drained(server)
    client.send(post(b"abc")[:10])
    server.advance(5)
    client.send(post(b"abc")[10:] + GET)
    assert client.statuses == [200]
    assert client.answers[0].headers["Connection"] == "close"
    assert client.transport.is_shut


def test_a_request_that_came_in_time_is_served_though_the_worker_found_its_deadline_passed_first():
    server = Server()
    client = server.connect().send(GET)
    drained(server)
    server.clock.time += 5  # without the processor for so long
    assert server.state.sweep()
    client.send(GET)
    server.state.expire_overdue()
    server.run()
    assert client.statuses == [200, 200]
    assert client.transport.is_shut


def test_draining_waits_for_what_is_in_flight():
    server = Server(answers=False)
    client = server.connect().send(GET * 2)
    drained(server)
    server.advance(100)
    client.send(GET)
    assert not client.is_over
    server.answer_all()
    assert [answer.headers.get("Connection") for answer in client.answers] == [None, "close"]
    assert client.transport.is_shut


def test_a_connection_made_while_draining_is_served_once():
    server = Server()
    server.state.is_draining = True
    client = server.connect().send(GET + GET)
    assert client.statuses == [200]
    assert client.transport.is_shut
    silent = server.connect()
    server.advance(1.5)
    assert silent.transport.is_closed


def test_draining_leaves_a_refused_connection_alone():
    server = Server()
    client = server.connect().send(b"GARBAGE\r\n\r\n")
    drained(server)
    client.send(GET)
    assert client.statuses == [400]


@pytest.mark.parametrize("drains", [None, "before", "after"])
@pytest.mark.parametrize("wire", [GET, GET + GET, post(b"x" * 9000), CHUNKED_POST])
def test_a_client_that_is_not_admitted_gets_403_and_reaches_no_handler(wire, drains):
    server = Server()
    server.state.is_draining = drains == "before"
    client = server.connect(is_tls=True, admit=lambda certificate: certificate != {"name": "peercert"})
    if drains == "after":
        client.connection.drain()
    client.send(wire, GET)
    assert client.statuses == [403]
    assert json.loads(client.answers[0].body)["errorCode"] == "CLIENT_NOT_ALLOWED"
    assert client.is_over
    assert server.exchanges == []
    assert server.state.budget.used == 0
    assert server.state.refusals == {403: 1}


def test_a_client_that_is_admitted_is_served():
    client = Server().connect(is_tls=True, admit=lambda certificate: certificate == {"name": "peercert"})
    assert client.send(GET).statuses == [200]
