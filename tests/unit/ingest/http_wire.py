"""A connection of the HTTP server on a transport that is only pretended, with a clock that a test moves."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from apidanalytics.ingest.http import Exchange, Response
from apidanalytics.ingest.limits import HttpLimits
from apidanalytics.ingest.peers import Admit
from apidanalytics.ingest.protocol import HttpConnection
from apidanalytics.ingest.server_state import ServerState

OK = Response(200)
UNIX_TIME = 1_795_310_045.5
POST = b"POST /analytics/testid HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s"
GET = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"


def post(body: bytes) -> bytes:
    return POST % (len(body), body)


class FakeClock:
    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return UNIX_TIME + self.time - 1000.0

    def monotonic(self) -> float:
        return self.time


class FakeTransport:
    """Delivers only while reading is not paused, and reports its end later, as a real one does."""

    def __init__(self, connection: HttpConnection, call_soon: Callable[[Callable[[], None]], object]) -> None:
        self._connection = connection
        self._call_soon = call_soon
        self._arrived: deque[bytes] = deque()
        self._half_closed = False
        self.is_reading = True
        self.is_closed = False
        self.is_shut = False
        self.was_aborted = False
        self.written = b""
        self.writes = 0

    # What the connection calls.

    def get_extra_info(self, name: str) -> dict[str, str]:
        return {"name": name}

    def write(self, data: bytes) -> None:
        assert not self.is_shut, "written after write_eof"
        if not self.is_closed:
            self.written += data
            self.writes += 1

    def write_eof(self) -> None:
        self.is_shut = True

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True
        self._call_soon(self._deliver)

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self._call_soon(lambda: self._connection.connection_lost(None))

    def abort(self) -> None:
        self.was_aborted = True
        self.close()

    # What the client does.

    def arrive(self, data: bytes) -> None:
        self._arrived.append(data)
        self._deliver()

    def half_close(self) -> None:
        self._half_closed = True
        self._deliver()

    def _deliver(self) -> None:
        while self._arrived and self.is_reading and not self.is_closed:
            self._connection.data_received(self._arrived.popleft())
        if self._half_closed and not self._arrived and self.is_reading and not self.is_closed:
            self._half_closed = False
            if not self._connection.eof_received():
                self.close()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class Server:
    """The shared state of a worker; ``handler`` answers 200 at once, or, if told so, keeps what it is given."""

    def __init__(self, *, answers: bool = True, **limits: float) -> None:
        self.clock = FakeClock()
        self.exchanges: list[Exchange] = []
        self.answers = answers
        self.closed = 0
        self._soon: deque[Callable[[], None]] = deque()
        self.state = ServerState(
            self._handle,
            HttpLimits(**limits),  # type: ignore[arg-type]
            self.clock,
            call_soon=self._soon.append,
            call_later=lambda _, call: self._soon.append(call),
            on_close=self._count_close,
        )

    def connect(self, *, is_tls: bool = False, admit: Admit | None = None) -> "Client":
        connection = HttpConnection(self.state, is_tls=is_tls, admit=admit)
        transport = FakeTransport(connection, self._soon.append)
        connection.connection_made(transport)  # type: ignore[arg-type]
        return Client(self, connection, transport)

    def run(self) -> None:
        """Do what was to be done soon."""
        while self._soon:
            self._soon.popleft()()

    def advance(self, seconds: float) -> None:
        """Let time pass, with the sweeps that go with it."""
        until = self.clock.time + seconds
        while self.clock.time < until:
            self.clock.time += min(0.25, until - self.clock.time)
            if self.state.sweep():
                self.state.expire_overdue()
            self.run()

    def answer_all(self, response: Response = OK) -> None:
        exchanges, self.exchanges = self.exchanges, []
        for exchange in exchanges:
            exchange.respond(response)
        self.run()

    def _handle(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        if self.answers:
            exchange.respond(OK)

    def _count_close(self) -> None:
        self.closed += 1


class Client:
    """One connection, from the other end."""

    def __init__(self, server: Server, connection: HttpConnection, transport: FakeTransport) -> None:
        self._server = server
        self.connection = connection
        self.transport = transport

    def send(self, *pieces: bytes) -> "Client":
        for piece in pieces:
            self.transport.arrive(piece)
            self._server.run()
        return self

    def half_close(self) -> None:
        self.transport.half_close()
        self._server.run()

    def lose(self) -> None:
        self.transport.is_closed = True
        self.connection.connection_lost(ConnectionResetError())

    @property
    def answers(self) -> list[Answer]:
        return parse_answers(self.transport.written)

    @property
    def statuses(self) -> list[int]:
        return [answer.status for answer in self.answers]

    @property
    def is_over(self) -> bool:
        """Whether the client sees the end of our side."""
        return self.transport.is_closed or self.transport.is_shut


def parse_answers(wire: bytes, *, to_head: bool = False) -> list[Answer]:
    """Split what a server wrote into its answers; every byte must belong to one."""
    answers = []
    while wire:
        head, separator, wire = wire.partition(b"\r\n\r\n")
        assert separator, head
        line, *lines = head.decode().split("\r\n")
        headers = dict(field.split(": ", 1) for field in lines)
        length = 0 if to_head else int(headers.get("Content-Length", 0))
        assert len(wire) >= length
        answers.append(Answer(int(line.split(" ")[1]), headers, wire[:length]))
        wire = wire[length:]
    return answers
