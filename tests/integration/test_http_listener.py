"""The HTTP server over real sockets: TCP, unix and TLS, its limits, and clients that behave badly."""

import http.client
import json
import random
import resource
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from apidanalytics.ingest.http import Exchange, Response
from tests.harness import wait_until
from tests.integration.http_server import (
    GET,
    OK,
    HttpServer,
    make_certificate,
    post,
    read_answer,
    read_to_end,
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]) -> tuple[Path, Path]:
    return make_certificate(require_tool("openssl"), tmp_path_factory.mktemp("tls"))


@pytest.fixture
def server_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


@pytest.fixture
def client_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate[0]))


class Kept:
    """A handler that answers when told to."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []

    def __call__(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)

    def answer(self, response: Response = OK) -> None:
        exchanges, self.exchanges = self.exchanges, []
        for exchange in exchanges:
            exchange.respond(response)

    def wait_for(self, number: int) -> None:
        wait_until(lambda: len(self.exchanges) >= number, what=f"{number} requests")


@pytest.fixture
def kept() -> Kept:
    return Kept()


def echo(exchange: Exchange) -> None:
    exchange.respond(Response(200, exchange.body))


def test_a_client_of_the_standard_library_is_served_on_one_connection():
    with HttpServer(echo) as server, closing(http.client.HTTPConnection(*server.address, timeout=60)) as client:
        for size in (0, 1, 1000, 100_000, 5_000_000):
            client.request("POST", "/a", b"x" * size)
            answer = client.getresponse()
            assert (answer.status, answer.read()) == (200, b"x" * size)
        client.request("POST", "/a", iter([b"chunk", b"ed"]), encode_chunked=True)
        assert client.getresponse().read() == b"chunked"
        assert server.listener.connections == 1
        assert server.listener.requests == 6


def test_a_unix_socket_serves_too(data_directory):
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(data_directory / "api"))
    listening.listen()
    with HttpServer(echo, sockets=[listening]) as server, server.connect() as client:
        client.sendall(post(b"abc") + post(b"def"))
        assert [read_answer(client)[2] for _ in range(2)] == [b"abc", b"def"]


def test_tls_serves_too(server_tls, client_tls):
    with HttpServer(echo, tls=server_tls) as server:
        client = http.client.HTTPSConnection(*server.address, timeout=60, context=client_tls)
        with closing(client):
            for body in (b"abc", b"x" * 1_000_000):
                client.request("POST", "/a", body)
                assert client.getresponse().read() == body
            client.request("POST", "/a", b"bye", headers={"Connection": "close"})
            assert client.getresponse().read() == b"bye"
        wait_until(lambda: server.listener.connections == 0, what="the connection is closed")


def test_a_refusal_over_tls_is_read_and_the_connection_ends(server_tls, client_tls):
    with HttpServer(tls=server_tls) as server, server.connect() as plain:
        with client_tls.wrap_socket(plain, server_hostname="127.0.0.1") as client:
            client.sendall(b"GARBAGE\r\n\r\n")
            assert read_answer(client)[0] == 400
            assert client.recv(1) == b""
        wait_until(lambda: server.listener.connections == 0, what="the connection is closed")


def test_clients_that_do_not_speak_tls_are_dropped_and_others_served(server_tls, client_tls):
    with HttpServer(tls=server_tls, handshake_timeout=5.0) as server, ExitStack() as open_:
        silent, plain, gone = (open_.enter_context(server.connect()) for _ in range(3))
        plain.sendall(GET * 100)
        gone.close()
        client = open_.enter_context(client_tls.wrap_socket(server.connect(), server_hostname="127.0.0.1"))
        client.sendall(GET)
        assert read_answer(client)[0] == 200
        assert silent.recv(1) == b""
        wait_until(lambda: server.listener.connections == 1, what="only the client that speaks TLS is left")


def test_connections_have_no_delay_set():
    with HttpServer() as server:
        assert server.sockets[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_client_reads_the_413_although_it_goes_on_sending():
    with HttpServer(max_body_bytes=1000) as server, server.connect() as client:
        client.sendall(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 20000000\r\n\r\n")
        for _ in range(200):
            client.sendall(b"x" * 100_000)
        status, headers, body = read_answer(client)
        assert (status, headers["Connection"]) == (413, "close")
        assert json.loads(body)["errorCode"] == "PAYLOAD_TOO_LARGE"
        assert client.recv(1) == b""
    assert server.listener.inflight_bytes == 0


def test_a_slow_sender_gets_408_and_the_time_of_others_is_their_own():
    with HttpServer(request_timeout=0.5) as server, server.connect() as slow, server.connect() as other:
        slow.sendall(post(b"abc")[:-1])
        for _ in range(10):
            other.sendall(GET)
            assert read_answer(other)[0] == 200
        assert read_answer(slow)[0] == 408
        assert slow.recv(1) == b""


def test_an_idle_connection_is_closed():
    with HttpServer(keepalive_timeout=3.0) as server, server.connect() as client:
        client.sendall(GET)
        assert read_answer(client)[0] == 200
        assert client.recv(1) == b""
    assert server.listener.connections == 0


def test_a_client_that_shut_down_its_side_gets_its_answers():
    kept = Kept()
    with HttpServer(kept) as server, server.connect() as client:
        client.sendall(post(b"1") + post(b"2"))
        client.shutdown(socket.SHUT_WR)
        kept.wait_for(2)
        time.sleep(0.1)
        server.call(kept.answer)
        assert [read_answer(client)[0] for _ in range(2)] == [200, 200]
        assert client.recv(1) == b""


def test_a_connection_lost_in_a_body_or_while_it_waits_frees_everything():
    kept = Kept()
    with HttpServer(kept) as server:
        with server.connect() as waiting, server.connect() as sending:
            waiting.sendall(post(b"x" * 1000))
            sending.sendall(post(b"x" * 100_000)[:-1])
            wait_until(lambda: server.listener.inflight_bytes > 100_000, what="both bodies are counted")
            for client in (waiting, sending):  # the kernel resets instead of closing
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        wait_until(lambda: server.listener.connections == 0, what="both are gone")
        assert server.listener.inflight_bytes == 0
        assert kept.exchanges[0].is_gone
        server.call(kept.answer)


def test_random_bytes_hurt_nobody():
    chance = random.Random(7)
    with capture_logs() as logs, HttpServer() as server, server.connect() as other:
        for _ in range(200):
            with server.connect() as client:
                client.sendall(chance.choice([b"", b"POST / HTTP/1.1\r\n", b"GET /"]) + chance.randbytes(2000))
                client.shutdown(socket.SHUT_WR)
                answer = read_to_end(client)
                assert answer == b"" or 400 <= int(answer.split(b" ")[1]) < 506
            other.sendall(GET)
            assert read_answer(other)[0] == 200
    assert logs == []


def test_a_client_that_does_not_read_its_answers_costs_little_and_is_closed():
    large = Response(200, b"x" * 1_000_000)

    def ask_for_ever(client: socket.socket) -> None:
        while True:
            client.send(GET)

    with (
        HttpServer(lambda exchange: exchange.respond(large), request_timeout=3.0) as server,
        server.connect() as client,
        server.connect() as other,
    ):
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            ask_for_ever(client)
        wait_until(lambda: server.listener.connections == 1, what="it is cut off")
        assert server.listener.requests < 40
        other.sendall(GET)
        assert len(read_answer(other)[2]) == 1_000_000


def test_above_the_limit_connections_wait_until_there_is_room():
    with capture_logs() as logs, HttpServer(max_connections=2) as server:
        first, second, third = (server.connect() for _ in range(3))
        with first, second, third:
            for client in (first, second, third):
                client.sendall(GET)
            assert [read_answer(client)[0] for client in (first, second)] == [200, 200]
            third.settimeout(0.3)
            with pytest.raises(TimeoutError):
                third.recv(1)
            third.settimeout(60)
            first.close()
            assert read_answer(third)[0] == 200
            assert server.listener.connections == 2
    assert [entry["event"] for entry in logs] == ["ingest.connections_full"]


def test_when_all_are_taken_quiet_connections_give_way_to_those_that_wait(kept: Kept):
    with capture_logs() as logs, HttpServer(kept, max_connections=3, reclaim_after=1.0) as server, ExitStack() as open_:
        waits, silent, slow = (open_.enter_context(server.connect()) for _ in range(3))
        waits.sendall(GET)
        slow.sendall(GET[:-2])
        kept.wait_for(1)
        newcomer, last = (open_.enter_context(server.connect()) for _ in range(2))
        assert silent.recv(1) == b""
        newcomer.sendall(GET)
        kept.wait_for(2)  # it came in, and now waits for us, as the first one does
        assert slow.recv(1) == b""
        last.sendall(GET)
        kept.wait_for(3)
        server.call(kept.answer)
        assert [read_answer(client)[0] for client in (waits, newcomer, last)] == [200] * 3
    assert "ingest.connections_reclaimed" in [entry["event"] for entry in logs]


def test_quiet_connections_stay_while_nobody_waits():
    with (
        HttpServer(max_connections=2, reclaim_after=0.1) as server,
        server.connect() as first,
        server.connect() as other,
    ):
        wait_until(lambda: server.listener.connections == 2, what="both are in")
        time.sleep(0.7)  # two looks at least
        for client in (first, other):
            client.sendall(GET)
            assert read_answer(client)[0] == 200


@contextmanager
def no_descriptors_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as probe:
        highest = probe.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_descriptors_nothing_is_accepted_for_a_while_and_one_line_says_so():
    with capture_logs() as logs, HttpServer() as server, socket.socket() as late, server.connect() as early:
        early.sendall(GET)
        assert read_answer(early)[0] == 200
        late.settimeout(60)
        with no_descriptors_left():
            late.connect(server.address)
            late.sendall(GET)
            wait_until(lambda: logs, what="the trouble is logged")
            before = time.process_time()
            time.sleep(1.5)
            assert time.process_time() - before < 0.5  # no busy loop
            early.sendall(GET)
            assert read_answer(early)[0] == 200
        assert read_answer(late)[0] == 200
    assert [(entry["event"], entry["error"]) for entry in logs] == [("ingest.accept_failed", "EMFILE")]


@contextmanager
def as_many_descriptors_as_may_be() -> Iterator[int]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_ten_thousand_idle_connections_do_not_hurt_others():
    with as_many_descriptors_as_may_be() as most, ExitStack() as open_:
        number = min(10_000, (most - 500) // 2)  # both ends are in this process
        server = open_.enter_context(HttpServer(max_connections=number + 10))
        for _ in range(number):
            open_.enter_context(server.connect())
        wait_until(lambda: server.listener.connections == number, what="all are accepted")
        with server.connect() as client:
            started = time.monotonic()
            for _ in range(200):
                client.sendall(post(b"x" * 850))
                assert read_answer(client)[0] == 200
            assert time.monotonic() - started < 20
            assert (server.listener.connections, server.listener.requests) == (number + 1, 200)


# Draining.


def test_draining_serves_what_is_in_flight_and_on_its_way_and_closes_the_rest():
    kept = Kept()
    with HttpServer(kept) as server, ExitStack() as open_:
        idle, flying, half, slow_to_ask = (open_.enter_context(server.connect()) for _ in range(4))
        flying.sendall(post(b"1"))
        half.sendall(post(b"2")[:-1])
        kept.wait_for(1)
        wait_until(lambda: server.listener.connections == 4, what="all are accepted")
        started = time.monotonic()
        draining = server.begin(server.listener.drain(60.0))
        wait_until(lambda: "stopped" in repr(server.listener), what="draining has begun")
        half.sendall(b"2")
        slow_to_ask.sendall(GET)
        kept.wait_for(3)
        server.call(kept.answer)
        for client in (flying, half, slow_to_ask):
            status, headers, _ = read_answer(client)
            assert (status, headers["Connection"]) == (200, "close")
            assert client.recv(1) == b""
            client.close()
        assert idle.recv(1) == b""
        assert draining.result(60) is None
        assert time.monotonic() - started < 30
        assert server.listener.connections == 0


def test_draining_serves_what_waits_in_the_accept_queue():
    with HttpServer() as server, ExitStack() as open_:

        async def connect_then_drain() -> list[socket.socket]:
            clients = [open_.enter_context(server.connect()) for _ in range(100)]
            for client in clients:
                client.sendall(GET)
            await server.listener.drain(5.0)  # nothing was accepted before: the loop had no turn
            return clients

        for client in server.run(connect_then_drain()):
            status, headers, _ = read_answer(client)
            assert (status, headers["Connection"]) == (200, "close")
        with server.connect() as late:  # the socket is still there, but nobody accepts from it
            late.settimeout(0.2)
            late.sendall(GET)
            with pytest.raises(TimeoutError):
                late.recv(1)


def test_draining_cuts_off_what_is_left_after_its_time():
    kept = Kept()
    with capture_logs() as logs, HttpServer(kept) as server, server.connect() as client:
        client.sendall(GET)
        kept.wait_for(1)
        started = time.monotonic()
        server.run(server.listener.drain(0.5))
        assert 0.4 < time.monotonic() - started < 10
        assert read_to_end(client) == b""
        assert server.listener.connections == 0
    assert [entry["event"] for entry in logs] == ["ingest.drain_cut_short"]


def test_two_listeners_share_one_socket():
    with HttpServer(accepts_per_turn=8) as one, HttpServer(sockets=[one.sockets[0].dup()], accepts_per_turn=8) as other:
        with ExitStack() as open_:
            clients = [open_.enter_context(one.connect()) for _ in range(100)]
            for client in clients:
                client.sendall(GET)
            assert [read_answer(client)[0] for client in clients] == [200] * 100
            assert one.listener.connections + other.listener.connections == 100
        one.run(one.listener.drain(5.0))
        with other.connect() as client:
            client.sendall(GET)
            assert read_answer(client)[0] == 200
