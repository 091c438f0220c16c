"""The index of idempotency keys, joined: a desk in every worker, a settler in the agent."""

from collections.abc import Callable
from typing import Any

from apidanalytics.clock import Clock
from apidanalytics.config import Settings
from apidanalytics.idempotency.desk import KeyDesk
from apidanalytics.idempotency.index import IndexLimits
from apidanalytics.idempotency.settler import Settler
from apidanalytics.spool.segment import SegmentReader
from apidanalytics.spool.writer import SpoolWriter


def key_desk(settings: Settings, owner: int, clock: Clock) -> KeyDesk:
    """Return where a worker claims keys."""
    return KeyDesk(settings.data.keys, owner, _limits(settings), clock)


def settler(settings: Settings) -> Settler:
    """Return what settles the claims of dead workers."""
    return Settler(settings.data, _limits(settings), SegmentReader.open)


def sweep_and_settle(sweep: Callable[[], Any], settler: Settler) -> Callable[[], None]:
    """Return what takes over the spools of dead workers, and then settles their claims."""

    def run() -> None:
        sweep()
        settler.settle_the_dead()

    return run


class WriterAndDesk:
    """What a worker stops last: what was committed is settled."""

    def __init__(self, writer: SpoolWriter, desk: KeyDesk) -> None:
        self._writer = writer
        self._desk = desk

    def start(self) -> None:
        """Begin to commit; the desk begins with the first key."""
        self._writer.start()

    async def stop(self) -> None:
        """Commit what waits and seal, then settle its claims."""
        await self._writer.stop()
        await self._desk.stop()


def _limits(settings: Settings) -> IndexLimits:
    return IndexLimits(
        window_seconds=settings.idempotency_window,
        max_keys=settings.idempotency_max_keys,
        is_synced=settings.durability == "disk",
    )
