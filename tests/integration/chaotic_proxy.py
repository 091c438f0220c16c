"""A TCP proxy that does to connections what networks do: slow, cut, silent, lost answers, faults made up on the way."""

import asyncio
import random
from collections import Counter
from enum import Enum

_PIECE = 64 << 10
_FAULT = b"HTTP/1.1 %d Trouble\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Weather(Enum):
    """What becomes of one connection."""

    FINE = "fine"
    LATENT = "every piece takes its time"
    RESET = "reset in the middle of a body"
    FAULT = "answered with 5xx by the proxy itself"
    LOST_ANSWER = "the store takes everything; its answer is lost"
    HALF_OPEN = "everything is swallowed, nothing is answered"


class ChaoticProxy:
    """Forwards to a port of loopback. While ``stormy``, each connection meets its own weather."""

    def __init__(self, target_port: int, dice: random.Random) -> None:
        self.port = 0
        self.stormy = False
        self.met: Counter[Weather] = Counter()
        self._target_port = target_port
        self._dice = dice
        self._deck: list[Weather] = []
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def aclose(self) -> None:
        self._server.close()
        await self.break_all()

    async def break_all(self) -> None:
        """End every connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        weather = self._next_bad() if self.stormy else Weather.FINE
        self.met[weather] += 1
        try:
            await self._meet(weather, reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # one side went away, or the test is over
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    def _next_bad(self) -> Weather:
        """Deal every bad weather once, in any order, before any comes again."""
        if not self._deck:
            self._deck = [weather for weather in Weather if weather is not Weather.FINE]
            self._dice.shuffle(self._deck)
        return self._deck.pop()

    async def _meet(self, weather, reader, writer):
        if weather is Weather.HALF_OPEN:
            while await reader.read(_PIECE):
                pass
        elif weather is Weather.FAULT:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(_FAULT % self._dice.choice([500, 502, 503, 504]))
            await writer.drain()
            await asyncio.sleep(0.05)
        else:
            await self._forward(weather, reader, writer)

    async def _forward(self, weather, reader, writer):
        store_reader, store_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        pause = 0.03 if weather is Weather.LATENT else 0.0
        most = self._dice.randrange(1, 300_000) if weather is Weather.RESET else None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, store_writer, pause, most))
                group.create_task(_pump(store_reader, writer, pause, None, loses=weather is Weather.LOST_ANSWER))
        except* (OSError, _OverError):
            pass
        finally:
            store_writer.transport.abort()


class _OverError(Exception):
    """This connection has come to its end."""


async def _pump(reader, writer, pause, most, *, loses=False):
    passed = 0
    while piece := await reader.read(_PIECE):
        if loses and not piece.startswith(b"HTTP/1.1 100"):
            raise _OverError
        await asyncio.sleep(pause)
        writer.write(piece)
        await writer.drain()
        passed += len(piece)
        if most is not None and passed > most:
            raise _OverError
    raise _OverError
