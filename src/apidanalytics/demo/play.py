"""Gateways that post: many keep-alive connections, each sending the next batch as soon as its turn comes."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import msgspec

from apidanalytics.demo.check import Oracle
from apidanalytics.demo.compare import SentBatch
from apidanalytics.demo.post import Post
from apidanalytics.demo.traffic import Traffic

TIMEOUT_SECONDS: Final = 30.0
VOLLEY_RECORDS: Final = 4
"""Most records of a batch in a volley: small ones leave at once."""
CHUNK_BYTES: Final = 16 * 1024
BUSY: Final = 503
"""An honest "not now": nothing of the batch was kept. Refused, but no surprise."""


@dataclass(slots=True)
class Tally:
    """What one tenant's gateways have seen, in records."""

    sent: int = 0
    acknowledged: int = 0
    refused: int = 0
    unanswered: int = 0


class Play:
    """Sends traffic to one service, and tells the oracle what became of each batch."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        traffic: Traffic,
        oracle: Oracle,
        records_per_second: float,
    ) -> None:
        self._session = session
        self._url = url
        self._traffic = traffic
        self._oracle = oracle
        self._rate = records_per_second
        self._turn_at = 0.0
        self.tallies: dict[str, Tally] = {}
        self.surprises: list[str] = []
        """Answers that the contract does not allow."""
        self.in_flight = 0
        """Requests that wait for their answer."""
        self.posts = 0
        self.zipped = 0
        self.unanswered = 0
        """Posts whose connection ended without an answer."""

    def __repr__(self) -> str:
        return f"<Play: {self.posts} posts, {self.in_flight} in flight>"

    async def run(self, seconds: float, connections: int) -> None:
        """Play for so long over so many connections, and return when the last answer has come."""
        self._turn_at = time.monotonic()
        ends_at = self._turn_at + seconds
        async with asyncio.TaskGroup() as gateways:
            for _ in range(connections):
                gateways.create_task(self._gateway(ends_at))

    async def _gateway(self, ends_at: float) -> None:
        while True:
            post = self._traffic.post(time.time())
            turn_at = min(ends_at, self._take_turn(len(post.records)))
            await asyncio.sleep(turn_at - time.monotonic())
            if time.monotonic() >= ends_at:
                return
            await self.send(post)

    def _take_turn(self, records: int) -> float:
        """Return when to send, so that the rate is kept; what was missed for over half a second is not made up for."""
        turn_at = max(self._turn_at, time.monotonic() - 0.5)
        self._turn_at = turn_at + records / self._rate
        return turn_at

    def volley(self, posts: int) -> list[asyncio.Task[None]]:
        """Send so many small batches at once, beside everything else; they are on their way a moment later."""
        now = time.time()
        return [asyncio.create_task(self.send(self._traffic.post(now, VOLLEY_RECORDS))) for _ in range(posts)]

    async def send(self, post: Post) -> None:
        """Send one batch, and remember what became of it."""
        batch = self._oracle.sent(post.tenant, post.records)
        tally = self.tallies.setdefault(post.tenant, Tally())
        tally.sent += len(post.records)
        self.posts += 1
        self.zipped += post.is_zipped
        self.in_flight += 1
        try:
            status, code = await self._exchange(post)
        except aiohttp.ClientConnectorError:
            self._refused(batch, tally)  # not a byte of it left
        except (aiohttp.ClientError, TimeoutError, ConnectionError):
            self._oracle.unknown(batch)
            self.unanswered += 1
            tally.unanswered += len(post.records)
        else:
            self._answered(post, batch, tally, status, code)
        finally:
            self.in_flight -= 1

    async def _exchange(self, post: Post) -> tuple[int, str]:
        data = _chunks(post.body) if post.chunked else post.body
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        url = self._url + post.path
        async with self._session.post(url, data=data, headers=post.headers, timeout=timeout) as response:
            return response.status, _error_code(await response.read())

    def _answered(self, post: Post, batch: SentBatch, tally: Tally, status: int, code: str) -> None:
        if status == 200:
            self._oracle.acknowledged(batch)
            tally.acknowledged += len(post.records)
        else:
            self._refused(batch, tally)
        expected = post.refusal or (200, "")
        if status != BUSY and (status, code) != expected:
            self.surprises.append(f"{_words(status, code)} instead of {_words(*expected)}")

    def _refused(self, batch: SentBatch, tally: Tally) -> None:
        self._oracle.refused(batch)
        tally.refused += len(batch.ids)


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(body), CHUNK_BYTES):
        yield body[at : at + CHUNK_BYTES]


def _error_code(body: bytes) -> str:
    """Return the ``errorCode`` of an answer, or ``""`` when it is empty (as that of a 200 must be)."""
    if not body:
        return ""
    try:
        answer: Mapping[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError:
        return "a body that is not JSON"
    return str(answer.get("errorCode", "a body without errorCode"))


def _words(status: int, code: str) -> str:
    return f"{status} {code}".rstrip()
