"""The listener that both yardsticks share: httptools on uvloop, one process per core, SO_REUSEPORT.

It reads a request's body and answers 200, and nothing else: no limits, no time-outs, no checks. At its end each
process leaves the number of requests it has answered in a file, since the client stops counting before it stops.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import httptools
import uvloop

Receive = Callable[[bytes, bool], None]
"""Called with each body, and whether it is gzip, when the answer is on its way."""

_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: 0\r\n\r\n"  # as the service's
)


class Connection(asyncio.Protocol):
    """One connection of a client that keeps it alive."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._parser = httptools.HttpRequestParser(self)
        self._body: list[bytes] = []
        self._is_gzip = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"content-encoding":
            self._is_gzip = value == b"gzip"

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        global _answered  # noqa: PLW0603 - one process, one counter, and nothing cheaper
        body = b"".join(self._body)
        self._body.clear()
        self._transport.write(_ANSWER)  # type: ignore[attr-defined]
        _answered += 1
        self._receive(body, self._is_gzip)


_answered = 0


def serve(port: int, processes: int, folder: Path, make_receive: Callable[[Path], Receive]) -> None:
    """Serve in this many child processes until SIGTERM; each gets a file name of its own in the folder."""
    children = [_spawn(port, folder / str(number), make_receive) for number in range(processes)]

    def stop(*_: object) -> None:
        for pid in children:
            os.kill(pid, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    for pid in children:
        os.waitpid(pid, 0)


def answered(folder: Path) -> int:
    """Return how many requests a yardstick that has ended had answered."""
    return sum(int(path.read_text()) for path in folder.glob("*.answered"))


def _spawn(port: int, path: Path, make_receive: Callable[[Path], Receive]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            uvloop.run(_serve_one(port, make_receive(path)))
            path.with_suffix(".answered").write_text(str(_answered))
        finally:
            os._exit(0)
    return pid


async def _serve_one(port: int, receive: Receive) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    await loop.create_server(lambda: Connection(receive), sock=listener, backlog=1024)
    await stop.wait()
