"""The index of idempotency keys, joined: a desk in every worker, a settler in the agent."""

from collections.abc import Callable
from typing import Any

from apidanalytics.clock import Clock
from apidanalytics.config import Settings
from apidanalytics.idempotency.claimed import known_keys
from apidanalytics.idempotency.current import CurrentIndex
from apidanalytics.idempotency.desk import KeyDesk
from apidanalytics.idempotency.index import IndexLimits
from apidanalytics.idempotency.lost import Lost
from apidanalytics.idempotency.settler import Settler
from apidanalytics.spool.segment import SegmentReader
from apidanalytics.spool.writer import SpoolWriter
from apidanalytics.upload.ledger import Ledger


def key_desk(settings: Settings, owner: int, clock: Clock) -> KeyDesk:
    """Return where a worker claims keys."""
    current = _current(settings, clock, is_synced=settings.durability == "disk")
    return KeyDesk(settings.data, owner, current, clock)


def settler(settings: Settings, ledger: Ledger, clock: Clock) -> Settler:
    """Return what settles the claims of dead workers, and counts an index that is lost."""

    def count(lost: Lost) -> None:
        if not lost.is_gone:
            ledger.set_aside(lost.name, 0, lost.bytes, f"index of keys: {lost.reason}", lost.at)

    # Synced whatever the durability: the spool that it lets go is gone for good, and its keys must be known as surely.
    current = _current(settings, clock, is_synced=True)
    return Settler(settings.data, current, SegmentReader.open, clock, count)


def _current(settings: Settings, clock: Clock, *, is_synced: bool) -> CurrentIndex:
    limits = IndexLimits(
        window_seconds=settings.idempotency_window, max_keys=settings.idempotency_max_keys, is_synced=is_synced
    )
    return CurrentIndex(settings.data, limits, lambda: known_keys(settings.data, SegmentReader.open), clock)


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
