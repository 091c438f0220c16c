"""The data API's HTTP server on real sockets, in a thread with a uvloop of its own."""

import asyncio
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self

import uvloop

from apidanalytics.clock import SystemClock
from apidanalytics.ingest.http import Exchange, Handler, Response
from apidanalytics.ingest.limits import HttpLimits
from apidanalytics.ingest.listener import Listener

OK = Response(200)
TIMEOUT_SECONDS = 60.0
GET = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"


def post(body: bytes) -> bytes:
    return b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def answer_ok(exchange: Exchange) -> None:
    exchange.respond(OK)


class HttpServer:
    """Serves until the ``with`` block ends; nothing may have reached the loop's exception handler by then."""

    def __init__(
        self,
        handler: Handler = answer_ok,
        *,
        sockets: Sequence[socket.socket] | None = None,
        tls: ssl.SSLContext | None = None,
        accepts_per_turn: int = 64,
        **limits: Any,
    ) -> None:
        self.sockets = sockets or [socket.create_server(("127.0.0.1", 0), backlog=4096)]
        self._handler = handler
        self._tls = tls
        self._accepts_per_turn = accepts_per_turn
        self._limits = HttpLimits(**limits)
        self._started = threading.Event()
        self._stop: asyncio.Event
        self._loop: asyncio.AbstractEventLoop
        self.listener: Listener
        self.troubles: list[Any] = []
        self._thread = threading.Thread(target=self._run)

    @property
    def address(self) -> tuple[str, int]:
        return self.sockets[0].getsockname()  # type: ignore[no-any-return]

    def connect(self) -> socket.socket:
        client = socket.socket(self.sockets[0].family)
        client.settimeout(TIMEOUT_SECONDS)
        client.connect(self.address)
        return client

    def call(self, function: Callable[[], Any]) -> Any:
        """Call something on the server's loop and return what it returns."""

        async def on_loop() -> Any:
            return function()

        return self.run(on_loop())

    def run(self, coroutine: Coroutine[Any, Any, Any], timeout: float = TIMEOUT_SECONDS) -> Any:
        return self.begin(coroutine).result(timeout)

    def begin(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(TIMEOUT_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(TIMEOUT_SECONDS)
        for listening in self.sockets:
            listening.close()
        assert not self._thread.is_alive()
        assert self.troubles == []

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(lambda _, context: self.troubles.append(context))
        self._stop = asyncio.Event()
        self.listener = Listener(
            self.sockets,
            self._handler,
            clock=SystemClock(),
            limits=self._limits,
            tls=self._tls,
            accepts_per_turn=self._accepts_per_turn,
        )
        self.listener.start()
        self._started.set()
        await self._stop.wait()
        await self.listener.drain(0.0)


def read_answer(client: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read one answer, and not a byte more."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = client.recv(1)
        assert byte, f"closed after {head!r}"
        head += byte
    line, *lines = head[:-4].decode().split("\r\n")
    headers = dict(field.split(": ", 1) for field in lines)
    body = b""
    while len(body) < int(headers.get("Content-Length", 0)):
        body += client.recv(int(headers["Content-Length"]) - len(body))
    return int(line.split(" ")[1]), headers, body


def read_to_end(client: socket.socket) -> bytes:
    """Read until the server closes."""
    received = b""
    while piece := client.recv(65536):
        received += piece
    return received


def make_certificate(openssl: str, directory: Path) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1 that signs itself; return it and its key."""
    certificate, key = directory / "cert.pem", directory / "key.pem"
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([openssl, "req", *kind, *subject, *files], check=True, capture_output=True)
    return certificate, key
