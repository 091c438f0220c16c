"""Fetches a snapshot and makes the file of a version of it. One attempt; what is served is not touched."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final, TypeVar

from apidanalytics import failpoints
from apidanalytics.apigeesync.client import DataClient
from apidanalytics.apigeesync.database import VersionFile
from apidanalytics.apigeesync.store import VersionStore
from apidanalytics.clock import Clock

T = TypeVar("T")
SELECTOR_ROUNDS: Final = 3
"""How often one snapshot is asked for again because it names other selectors than it was asked for."""


class SnapshotFetcher:
    """Makes versions. One call at a time."""

    def __init__(self, client: DataClient, store: VersionStore, clock: Clock) -> None:
        self._client = client
        self._store = store
        self._clock = clock

    async def __call__(self, selectors: Sequence[str] | None) -> VersionFile:
        """Return a new version, not current yet: a snapshot that was asked for with all that its own scopes name.

        ``selectors`` are those known so far; None: only the cluster is.

        Raises:
            SyncError: it did not come, or is not what it should be.
            OSError, sqlite3.Error: it cannot be written.

        """
        is_boot = selectors is None
        wanted: Sequence[str] = [self._store.cluster_id] if selectors is None else selectors
        for _ in range(SELECTOR_ROUNDS):
            target = await asyncio.to_thread(self._store.clear_part)
            downloaded = await self._client.snapshot(wanted, target)
            taken_at = self._clock.now()
            failpoints.hit("sync.after_download")
            snapshot = await asyncio.to_thread(self._store.check, downloaded)
            # The very first one, asked for with the cluster's own id, has the scopes only: it is never served.
            if not is_boot and set(snapshot.selectors) <= set(wanted):
                break
            wanted, is_boot = snapshot.selectors, False
        return await asyncio.to_thread(self._store.adopt, downloaded, snapshot, taken_at)


async def unless(other: "asyncio.Task[VersionFile]", asking: Coroutine[Any, Any, T]) -> T | None:
    """Return the answer; None: the other task ended sooner, and nobody waits for the answer any more."""
    task = asyncio.ensure_future(asking)
    try:
        await asyncio.wait({task, other}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
