"""An uploader in a process of its own, so that a test can kill it: ``upload_child.py <data directory> <base URL>``."""

import asyncio
import random
import sys
from pathlib import Path

from apidanalytics.clock import SystemClock
from apidanalytics.layout import DataDirectory
from apidanalytics.upload.client import CollectionClient
from apidanalytics.upload.exchange import Exchanger
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.token import FixedToken
from apidanalytics.upload.uploader import Uploader, UploadSettings
from tests.integration.upload_world import QUICK, TOKEN


async def upload(root: Path, base: str) -> None:
    """Upload until nothing is left to try."""
    data, clock = DataDirectory(root), SystemClock()
    exchanger = Exchanger(timeout_seconds=5)
    await exchanger.open()
    with Ledger.open(data.ledger, data.damaged, clock.now()) as ledger:
        uploader = Uploader(
            data=data,
            ledger=ledger,
            collection=CollectionClient(base, exchanger=exchanger, token=FixedToken(TOKEN), clock=clock),
            settings=UploadSettings(policy=QUICK),
            clock=clock,
            random=random.random,
        )
        task = asyncio.create_task(uploader.run())
        await uploader.drain_pass()
        await uploader.stop(5.0)
        await task
    await exchanger.aclose()


if __name__ == "__main__":
    asyncio.run(upload(Path(sys.argv[1]), sys.argv[2]))
