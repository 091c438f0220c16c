"""Bodies that take longer than others should wait for: large ones, and those of tenants that are held back.

A large one (over a megabyte once unzipped) is unzipped in a thread and read in steps, one at a time in a worker and
tenants in turn. One of a tenant that is held back is read in shorter steps, and each of them only when the pace allows
it, or when a large one of somebody else waits for its turn.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple, Protocol

from apidanalytics.errors import ErrorCode, Refusal
from apidanalytics.ingest.held_back import NOBODY
from apidanalytics.ingest.http import Exchange, Work
from apidanalytics.ingest.inflate import inflate
from apidanalytics.ingest.lanes import UNNAMED_LANE, LaneOf
from apidanalytics.ingest.once import Mark
from apidanalytics.ingest.payload import Find, Payload, PayloadReader
from apidanalytics.ingest.sliced import SHORT_SLICE_BYTES, LargePayload, in_turns, read_in_steps, until_it
from apidanalytics.ingest.turns import Turns
from apidanalytics.model import Tenant

SMALL_BYTES: Final = 1 << 20
"""Bodies up to this size are read at once."""
SMALL_ZIPPED_BYTES: Final = 1 << 18
"""Zipped bodies up to this size are tried at once: they inflate to ``SMALL_BYTES`` or are found to be large."""
WEIGHT: Final = 4
"""A large body that is refused counts for so many others when it is asked who is refused very much."""
STEP_BYTES: Final = SHORT_SLICE_BYTES
"""Bodies up to this size are read at once even of tenants that are held back."""


class Post(NamedTuple):
    """A batch that passed the checks for which its body need not be read."""

    exchange: Exchange
    reader: PayloadReader
    tenant: Tenant | None
    find: Find | None
    key: str | None


class Owner(Protocol):
    """The acceptor."""

    def store(self, exchange: Exchange, payload: Payload, mark: Mark | None) -> None:
        """Hand a batch that passed every check to the spool."""

    def fail(self, exchange: Exchange, error: Exception) -> None:
        """Answer with a refusal, or to a defect."""


class LargeBodies:
    """Reads large bodies, and others in steps. All of it is called on the event loop."""

    def __init__(self, owner: Owner, lane_of: LaneOf, *, max_payload_bytes: int, mark_secret: bytes) -> None:
        """``max_payload_bytes``: of an unzipped body; ``mark_secret``: see ``Mark.of``."""
        self._owner = owner
        self._lane_of = lane_of
        self._max_payload_bytes = max_payload_bytes
        self._mark_secret = mark_secret
        self._turns = Turns()
        self._tasks: set[asyncio.Task[None]] = set()
        self._lanes: Counter[str] = Counter()
        """How many of these are whose."""
        self.held_back = NOBODY
        """Whose are held back now."""
        self.pace: Callable[[], bool] = lambda: True
        """Tells whether a step of those may go ahead now."""

    def __len__(self) -> int:
        return len(self._tasks)

    def small_body(self, body: bytes, *, zipped: bool) -> bytes | None:
        """Return a body unzipped, or None if it is large.

        Raises:
            Refusal: it cannot be unzipped.

        """
        if not zipped:
            return body if len(body) <= SMALL_BYTES else None
        if len(body) > SMALL_ZIPPED_BYTES:
            return None
        return inflate(body, min(SMALL_BYTES, self._max_payload_bytes))

    def start(self, post: Post, *, zipped: bool) -> None:
        """Read a large body in the background, then store it or answer."""
        post.exchange.weight = WEIGHT
        lane = self._lane_of(post.exchange.path, post.exchange.body)
        self._lanes[lane] += 1
        task = asyncio.get_running_loop().create_task(self._accept(post, lane, zipped=zipped))
        self._tasks.add(task)
        task.add_done_callback(partial(self._end, lane))

    def _end(self, lane: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._lanes[lane] -= 1
        if not self._lanes[lane]:
            del self._lanes[lane]

    def in_steps(self, post: Post, body: bytes) -> Work:
        """Read a small body in short steps, then store it or answer."""
        exchange = post.exchange
        try:
            large = yield from read_in_steps(
                post.reader, body, post.tenant, exchange.arrived_at, post.find, slice_bytes=SHORT_SLICE_BYTES
            )
            mark = None if post.key is None else Mark.of(post.key, body, self._mark_secret)
            self._owner.store(exchange, large.joined(), mark)
        except Exception as error:  # noqa: BLE001 - as in the acceptor: every request gets its answer
            self._owner.fail(exchange, error)

    async def _accept(self, post: Post, lane: str, *, zipped: bool) -> None:
        exchange = post.exchange
        try:
            async with self._turns.one(lane):
                may_go = partial(self._may_go, lane)
                if not exchange.is_gone:
                    await until_it(may_go)
                if exchange.is_gone:
                    exchange.abort()
                    return
                body = await self._inflate(exchange.body) if zipped else exchange.body
                large = await self._read(post, body, may_go)
                payload = await asyncio.to_thread(large.joined)
                mark = None
                if post.key is not None:
                    mark = await asyncio.to_thread(Mark.of, post.key, body, self._mark_secret)
                del body, large
            self._owner.store(exchange, payload, mark)
        except asyncio.CancelledError:
            exchange.abort()
            raise
        except Exception as error:  # noqa: BLE001 - as above
            self._owner.fail(exchange, error)

    async def _read(self, post: Post, body: bytes, may_go: Callable[[], bool]) -> LargePayload:
        exchange = post.exchange
        slice_bytes = SHORT_SLICE_BYTES if self.held_back else None
        steps = read_in_steps(post.reader, body, post.tenant, exchange.arrived_at, post.find, slice_bytes=slice_bytes)
        return await in_turns(steps, may_go)

    def _is_held_back(self, lane: str) -> bool:
        return bool(self.held_back) and (lane in self.held_back or lane == UNNAMED_LANE)

    def _may_go(self, lane: str) -> bool:
        return not self._is_held_back(lane) or not all(map(self._is_held_back, self._lanes)) or self.pace()

    async def _inflate(self, body: bytes) -> bytes:
        limit = self._max_payload_bytes
        text = await asyncio.to_thread(inflate, body, limit)
        if text is None:
            raise Refusal(413, ErrorCode.PAYLOAD_TOO_LARGE, f"The unzipped body may have at most {limit} bytes")
        return text
