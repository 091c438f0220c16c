"""Clients that post from a thread of their own: paced, over kept connections, until they are stopped."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping

import aiohttp

from apidanalytics.ingest.accept import NOT_INITIALIZED

UNANSWERED = (0, "")
NEVER_LEFT = (0, "nobody listens")
WITHOUT_SCOPES = (500, "no scope data yet")
"""What a worker answers whose agent has not published anything yet, or died before it could."""


class Pace:
    """Lets so many things happen in a second."""

    def __init__(self, per_second: float) -> None:
        self._rate = per_second
        self._turn_at = 0.0

    async def turn(self, amount: int = 1) -> None:
        """Wait until so much more may happen."""
        self._turn_at = max(self._turn_at, time.monotonic() - 0.1) + amount / self._rate
        await asyncio.sleep(self._turn_at - time.monotonic())


class Posting:
    """Posts one after the other over so many connections at a time, from ``with`` to ``stop``."""

    def __init__(self, *, connections: int, records_per_second: float) -> None:
        self._connections = connections
        self._pace = Pace(records_per_second)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="posting")
        self._error: BaseException | None = None
        self.longest_stall_seconds = 0.0
        """How long these clients did not get the processor, at worst."""

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._stop.set()
        self._thread.join()

    def stop(self) -> None:
        """Send nothing more, and wait for the last answers."""
        self._stop.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    async def _run(self) -> None:
        try:
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as clients:
                clients.create_task(self._note_stalls())
                for client in self._clients(session):
                    clients.create_task(client)
        except BaseException as error:
            self._error = error

    @property
    def is_stopped(self) -> bool:
        return self._stop.is_set()

    def _clients(self, session: aiohttp.ClientSession) -> Iterator[Coroutine[None, None, None]]:
        for _ in range(self._connections):
            yield self._post_on(session)

    async def _post_on(self, session: aiohttp.ClientSession) -> None:
        while not self._stop.is_set():
            await self._post_one(session)

    async def _post_one(self, session: aiohttp.ClientSession) -> None:
        raise NotImplementedError

    async def _note_stalls(self) -> None:
        while not self._stop.is_set():
            due = time.monotonic() + 0.05
            await asyncio.sleep(0.05)
            self.longest_stall_seconds = max(self.longest_stall_seconds, time.monotonic() - due)

    async def _turn(self, records: int) -> None:
        """Wait until so many records may be sent."""
        await self._pace.turn(records)

    async def _sleep(self, seconds: float) -> None:
        """Wait for so long, or until no more is to be sent."""
        until = time.monotonic() + seconds
        while not self.is_stopped and time.monotonic() < until:
            await asyncio.sleep(0.05)


async def post_to(
    session: aiohttp.ClientSession,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    timeout_seconds: float,
    chunk_bytes: int = 0,
) -> tuple[tuple[int, str], bool]:
    """Return ((status, errorCode), whether the answer was a replay); chunked, if a chunk has a size."""
    data = _pieces(body, chunk_bytes) if chunk_bytes else body
    timeout = aiohttp.ClientTimeout(total=timeout_seconds)
    try:
        async with session.post(url, data=data, headers=headers, timeout=timeout) as response:
            content = await response.read()
            is_replay = response.headers.get("Idempotency-Replayed") == "true"
            return _meaning(response.status, content), is_replay
    except aiohttp.ClientConnectorError:
        return NEVER_LEFT, False
    except (aiohttp.ClientError, TimeoutError, ConnectionError):
        return UNANSWERED, False


def _meaning(status: int, content: bytes) -> tuple[int, str]:
    if not content:
        return status, ""
    answer = json.loads(content)
    return WITHOUT_SCOPES if answer["reason"] == NOT_INITIALIZED else (status, answer["errorCode"])


async def _pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(body), size):
        yield body[at : at + size]
