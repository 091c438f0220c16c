"""Pauses that somebody asked for: of one tenant, or of all. They are kept in the ledger, so they outlive a restart.

While a tenant is paused nothing of it is sent. Its files wait in ``staging/``, and what failed stays where it is.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from apidanalytics.clock import Clock

EVERYBODY: Final = ""
"""Stands for all tenants; no tenant has an empty name."""

log = structlog.get_logger()


class Ledger(Protocol):
    """Where pauses are kept."""

    def pauses(self) -> dict[str, float]:
        """Return since when each is in force, by tenant."""

    def pause(self, tenant: str, since: float | None) -> None:
        """Keep a pause (one that is in force stays as it is), or with None forget it."""


class Queue(Protocol):
    """What sends, or does not."""

    def set_paused(self, tenants: frozenset[str], *, everybody: bool) -> None:
        """Send nothing of these tenants, or nothing at all."""


class Pausing:
    """The pauses in force. On the event loop."""

    def __init__(self, ledger: Ledger, queue: Queue, *, clock: Clock, on_change: Callable[[], None]) -> None:
        self._ledger = ledger
        self._queue = queue
        self._clock = clock
        self._on_change = on_change
        self.in_force: dict[str, float] = {}
        """Unix time of the beginning, by tenant; ``EVERYBODY`` for all."""

    def __repr__(self) -> str:
        return f"<Pausing {', '.join(tenant or 'everybody' for tenant in self.in_force) or 'nobody'}>"

    async def load(self) -> None:
        """Take up what was in force when the last agent ended. To be called before anything is sent.

        Raises:
            sqlite3.OperationalError: the disk is failing.

        """
        self._take_up(await asyncio.to_thread(self._ledger.pauses))

    async def pause(self, tenant: str) -> None:
        """Send nothing of this tenant (``EVERYBODY``: nothing at all) until ``resume``; what is on its way goes on.

        Raises:
            sqlite3.OperationalError: the disk is full or failing; then nothing has changed.

        """
        await asyncio.to_thread(self._ledger.pause, tenant, self._clock.now())
        await self.load()
        log.warning("upload.paused_by_hand", tenant=tenant or None, hint="files are kept until somebody resumes it")

    async def resume(self, tenant: str) -> None:
        """End a pause; ending one that is not in force is fine.

        Raises:
            sqlite3.OperationalError: the disk is full or failing; then nothing has changed.

        """
        await asyncio.to_thread(self._ledger.pause, tenant, None)
        await self.load()
        log.info("upload.resumed_by_hand", tenant=tenant or None)

    def _take_up(self, pauses: dict[str, float]) -> None:
        self.in_force = pauses
        tenants = frozenset(pauses) - {EVERYBODY}
        self._queue.set_paused(tenants, everybody=EVERYBODY in pauses)
        self._on_change()
