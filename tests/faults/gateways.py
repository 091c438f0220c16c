"""Gateways that post batch after batch over kept connections, and write every answer into the oracle's book."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from itertools import count

import aiohttp

from tests.faults.batches import GOOD, Batch, batch_of
from tests.faults.floods import Flood, flood_of
from tests.faults.oracle import Oracle
from tests.posting import UNANSWERED, WITHOUT_SCOPES, Pace, Posting, post_to

NO_LOOKUP = (500, "INTERNAL_SEARCH_ERROR")
"""Where the disk fails under the scope data."""
REUSED = (422, "IDEMPOTENCY_KEY_REUSED")
REPLAYED = (200, "replayed")
PATIENCE_SECONDS = 12.0
INSIST_SECONDS = 40.0
"""So long a batch with a key is sent again until it has its 200."""
KEYED_SHARE = 0.35


class Gateways(Posting):
    """Gateways of several tenants, of whom one floods from time to time."""

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
        super().__init__(connections=connections, records_per_second=records_per_second)
        self._url = url
        self._seed = seed
        self._oracle = oracle
        self._generation = generation
        self._numbers = count()
        self.answers: Counter[tuple[int, str]] = Counter()
        """Batches by what they were told at last."""
        self.acknowledged = 0
        """Batches, so far."""
        self.keyed: Counter[str] = Counter()
        """What became of batches with a key."""
        self.floods: Counter[str] = Counter()
        """Floods that were begun, by what becomes of their batches."""
        self.flooding: Counter[str] = Counter()
        """Batches of floods that were sent, likewise."""
        self.surprises: list[str] = []
        """Answers that the contract does not allow."""

    async def _post_one(self, session: aiohttp.ClientSession) -> None:
        batch = self._take(next(self._numbers))
        await self._turn(len(batch.records))
        await self._post(session, batch)

    async def _post(self, session: aiohttp.ClientSession, batch: Batch) -> None:
        if batch.tenant is not None and random.Random(f"key/{batch.number}").random() < KEYED_SHARE:
            # Not with the scope that wanders: a repeat may be another tenant's, and keys are each tenant's own.
            await self._once(session, batch)
        else:
            self._told(batch, await self._send(session, batch))

    def _take(self, number: int) -> Batch:
        batch = batch_of(self._seed, number)
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

    # -- floods

    def _clients(self, session: aiohttp.ClientSession) -> Iterator[Coroutine[None, None, None]]:
        yield from super()._clients(session)
        yield self._flood_now_and_then(session)

    async def _flood_now_and_then(self, session: aiohttp.ClientSession) -> None:
        for index in count():
            flood = flood_of(self._seed, index)
            await self._sleep(flood.pause_seconds)
            if self.is_stopped:
                return
            self.floods[flood.what] += 1
            await self._flood(session, flood)

    async def _flood(self, session: aiohttp.ClientSession, flood: Flood) -> None:
        until = time.monotonic() + flood.seconds
        numbers, pace = count(flood.first_number), Pace(flood.batches_per_second)

        async def post_on() -> None:
            while not self.is_stopped and time.monotonic() < until:
                await pace.turn()
                self.flooding[flood.what] += 1
                await self._post(session, self._take(next(numbers)))

        async with asyncio.TaskGroup() as clients:
            for _ in range(flood.connections):
                clients.create_task(post_on())

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
            other = self._take(next(self._numbers))
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
        answer, is_replay = await post_to(
            session,
            self._url + (path or batch.path),
            batch.body,
            {**batch.headers, "Idempotency-Key": key} if key else batch.headers,
            timeout_seconds=PATIENCE_SECONDS,
            chunk_bytes=900 if batch.is_chunked else 0,
        )
        return REPLAYED if is_replay else answer


def _is_trouble(answer: tuple[int, str]) -> bool:
    return answer[0] in {0, 503} or answer in {WITHOUT_SCOPES, NO_LOOKUP}


def _is_final(answers: list[tuple[int, str]]) -> bool:
    return not all(map(_is_trouble, answers))


def _final(answers: list[tuple[int, str]]) -> tuple[int, str]:
    """Return what counts of all that a batch with a key was told."""
    if GOOD in answers or REPLAYED in answers:
        return GOOD
    return next((answer for answer in answers if not _is_trouble(answer)), answers[-1])
