"""An uploader in a process of its own, so that a test can kill it or weigh it.

``upload_child.py <data directory> <base URL> [until-empty]``: one pass, or until everything is delivered.
"""

import asyncio
import json
import os
import random
import sys
from pathlib import Path

from apidanalytics.clock import SystemClock
from apidanalytics.layout import DataDirectory
from apidanalytics.upload.client import CollectionClient
from apidanalytics.upload.exchange import Exchanger
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.settings import UploadSettings
from apidanalytics.upload.token import FixedToken
from apidanalytics.upload.uploader import Uploader
from benchmarks.processes import peak_megabytes
from tests.integration.upload_world import QUICK, TOKEN


async def upload(root: Path, base: str, *, until_empty: bool) -> None:
    """Upload until nothing is left to try; say at the end how much memory it took."""
    data, clock = DataDirectory(root), SystemClock()
    exchanger = Exchanger(timeout_seconds=1 if until_empty else 30)
    await exchanger.open()
    with Ledger.open(data.ledger, data.damaged, clock.now()) as ledger:
        uploader = Uploader(
            data=data,
            ledger=ledger,
            collection=CollectionClient(base, exchanger=exchanger, token=FixedToken(TOKEN), clock=clock),
            settings=UploadSettings(interval_seconds=0.2, policy=QUICK),
            clock=clock,
            random=random.random,
        )
        task = asyncio.create_task(uploader.run())
        if until_empty:
            while any(any(place.iterdir()) for place in (data.staging, data.failed)):
                await asyncio.sleep(0.05)
        else:
            await uploader.drain_pass()
        await uploader.stop(5.0)
        await task
    await exchanger.aclose()
    print(json.dumps({"peak_megabytes": peak_megabytes(os.getpid())}))


if __name__ == "__main__":
    asyncio.run(upload(Path(sys.argv[1]), sys.argv[2], until_empty="until-empty" in sys.argv[3:]))
