"""What the uploader does once an hour: the ledger forgets what it need not know any more."""

import asyncio
from typing import Final

from apidanalytics.clock import Clock
from apidanalytics.upload.disk import DISK_TROUBLE, DiskWatch
from apidanalytics.upload.ledger import Ledger

_EVERY_SECONDS: Final = 3600.0


async def keep_house(ledger: Ledger, *, retention_seconds: float, clock: Clock, disk: DiskWatch) -> None:
    """Forget, every hour, what was uploaded longer ago than this; until cancelled."""
    while True:
        await asyncio.sleep(_EVERY_SECONDS)
        try:
            await asyncio.to_thread(ledger.forget, clock.now() - retention_seconds)
        except DISK_TROUBLE as error:
            disk.refused(error)
