"""Joins what keeps the data directory within its limits."""

import asyncio

from apidanalytics.clock import Clock
from apidanalytics.config import Settings
from apidanalytics.quota.decide import Limits
from apidanalytics.quota.meter import Meter
from apidanalytics.service.crew import Crew
from apidanalytics.service.disk import DiskKeeper
from apidanalytics.service.spool_shares import SpoolShares
from apidanalytics.upload.dropping import Dropped, drop_oldest
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.shelves import Shelves
from apidanalytics.upload.uploader import Uploader


def disk_keeper(settings: Settings, ledger: Ledger, uploader: Uploader, crew: Crew, clock: Clock) -> DiskKeeper:
    """Return what keeps this data directory within its limits."""
    limits, shelves = Limits.of(settings), Shelves(settings.data)
    by_tenant = SpoolShares(settings.data).measure if limits.tenant_max_bytes else dict[str, int]

    async def drop(need_bytes: int, tenant: str | None) -> Dropped:
        async with uploader.files:
            return await asyncio.to_thread(drop_oldest, ledger, shelves, need_bytes, clock.now(), tenant)

    return DiskKeeper(
        limits=limits,
        measure=Meter(settings.data, ledger.disk_usage, by_tenant).measure,
        workers=crew.everyone,
        send=crew.send,
        drop=drop,
    )
