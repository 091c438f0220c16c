"""Gateways that post batch after batch over kept connections, and write every answer into the oracle's book."""

import asyncio
import json
import random
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable

import aiohttp

from tests.faults.batches import GOOD, Batch, batch_of
from tests.faults.oracle import Oracle

UNANSWERED = (0, "")
NEVER_LEFT = (0, "nobody listens")
NOT_READY = (500, "INTERNAL_SERVER_ERROR")
"""Before a service that has just started has its scope data."""
NO_LOOKUP = (500, "INTERNAL_SEARCH_ERROR")
"""Where the disk fails under the scope data."""
REUSED = (422, "IDEMPOTENCY_KEY_REUSED")
REPLAYED = (200, "replayed")
PATIENCE_SECONDS = 12.0
INSIST_SECONDS = 40.0
"""So long a batch with a key is sent again until it has its 200."""
KEYED_SHARE = 0.35


class Gateways:
    """Posts from a thread of its own, from ``with`` to ``stop``."""

    def __init__(
        self,
        url: str,
        seed: int,
        oracle: Oracle,
        generation: Callable[[], int],
        *,
        connections: int = 8,
        records_per_second: float = 300.0,
    ) -> None:
        """``generation`` tells the newest generation of the scope data."""
        self._url = url
        self._seed = seed
        self._oracle = oracle
        self._generation = generation
        self._connections = connections
        self._rate = records_per_second
        self._next = 0
        self._turn_at = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="gateways")
        self._error: BaseException | None = None
        self.answers: Counter[tuple[int, str]] = Counter()
        """Batches by what they were told at last."""
        self.acknowledged = 0
        """Batches, so far."""
        self.keyed: Counter[str] = Counter()
        """What became of batches with a key."""
        self.surprises: list[str] = []
        """Answers that the contract does not allow."""

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
            async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as gateways:
                for _ in range(self._connections):
                    gateways.create_task(self._gateway(session))
        except BaseException as error:
            self._error = error

    async def _gateway(self, session: aiohttp.ClientSession) -> None:
        while not self._stop.is_set():
            batch = self._take()
            self._turn_at = max(self._turn_at, time.monotonic() - 0.1) + len(batch.records) / self._rate
            await asyncio.sleep(self._turn_at - time.monotonic())
            if batch.tenant is not None and random.Random(f"key/{batch.number}").random() < KEYED_SHARE:
                # Not with the scope that wanders: a repeat may be another tenant's, and keys are each tenant's own.
                await self._once(session, batch)
            else:
                self._told(batch, await self._send(session, batch))

    def _take(self) -> Batch:
        batch = batch_of(self._seed, self._next)
        self._next += 1
        self._oracle.sent(batch.number, time.time())
        return batch

    def _told(self, batch: Batch, answer: tuple[int, str], others: frozenset[tuple[int, str]] = frozenset()) -> None:
        """Write down what became of a batch. ``others``: what its earlier tries were told."""
        self.answers[answer] += 1
        is_open = answer == UNANSWERED or (answer != GOOD and UNANSWERED in others)
        fate = "open" if is_open else "acknowledged" if answer == GOOD else "refused"
        self.acknowledged += fate == "acknowledged"
        self._oracle.answered(batch.number, fate, time.time(), self._generation())
        if answer not in batch.answers and not _is_trouble(answer):
            self.surprises.append(f"{answer} for batch {batch.number} instead of {set(batch.answers)}")

    # -- with a key

    async def _once(self, session: aiohttp.ClientSession, batch: Batch) -> None:
        """Send a batch with a key until it is clear what became of it, and then once or twice more."""
        draw = random.Random(f"repeats/{self._seed}/{batch.number}")
        key = f"{self._seed}-{batch.number}-{draw.getrandbits(64):x}"
        answers = [await self._send(session, batch, key)]
        if draw.random() < 0.2:
            answers = list(await asyncio.gather(*(self._send(session, batch, key) for _ in range(2)))) + answers
        deadline = time.monotonic() + INSIST_SECONDS
        while not _is_final(answers) and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
            answers.append(await self._send(session, batch, key))
        final = _final(answers)
        self._told(batch, final, frozenset(answers))
        self._count_keyed(batch, answers)
        if final == GOOD:
            await self._repeat(session, batch, key, draw)

    def _count_keyed(self, batch: Batch, answers: list[tuple[int, str]]) -> None:
        firsts = answers.count(GOOD)
        self.keyed["stored" if _final(answers) == GOOD else "not stored"] += 1
        self.keyed["replayed"] += answers.count(REPLAYED)
        if firsts > 1:
            self.surprises.append(f"batch {batch.number} was taken for a new one {firsts} times")

    async def _repeat(self, session: aiohttp.ClientSession, batch: Batch, key: str, draw: random.Random) -> None:
        """Nothing but a repeat is expected now, or trouble."""
        if draw.random() < 0.3 and batch.path != "/analytics":
            other = self._take()
            answer = await self._send(session, other, key, path=batch.path)
            self._oracle.answered(other.number, "refused", time.time(), self._generation())
            self.keyed["refused as reused"] += answer == REUSED
            if answer[0] == 200:
                self.surprises.append(f"{answer} for another body under the key of batch {batch.number}")
        if draw.random() < 0.5:
            answer = await self._send(session, batch, key)
            self.keyed["replayed"] += answer == REPLAYED
            if answer == GOOD:
                self.surprises.append(f"the repeat of batch {batch.number} was taken for a new one")

    # -- on the wire

    async def _send(
        self, session: aiohttp.ClientSession, batch: Batch, key: str = "", path: str = ""
    ) -> tuple[int, str]:
        data = _pieces(batch.body) if batch.is_chunked else batch.body
        headers = {**batch.headers, "Idempotency-Key": key} if key else batch.headers
        timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
        url = self._url + (path or batch.path)
        try:
            async with session.post(url, data=data, headers=headers, timeout=timeout) as response:
                body = await response.read()
                if response.headers.get("Idempotency-Replayed") == "true":
                    return REPLAYED
                return response.status, json.loads(body)["errorCode"] if body else ""
        except aiohttp.ClientConnectorError:
            return NEVER_LEFT
        except (aiohttp.ClientError, TimeoutError, ConnectionError):
            return UNANSWERED


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(body), 900):
        yield body[at : at + 900]


def _is_trouble(answer: tuple[int, str]) -> bool:
    return answer[0] in {0, 503} or answer in {NOT_READY, NO_LOOKUP}


def _is_final(answers: list[tuple[int, str]]) -> bool:
    return not all(map(_is_trouble, answers))


def _final(answers: list[tuple[int, str]]) -> tuple[int, str]:
    """Return what counts of all that a batch with a key was told."""
    if GOOD in answers or REPLAYED in answers:
        return GOOD
    return next((answer for answer in answers if not _is_trouble(answer)), answers[-1])
