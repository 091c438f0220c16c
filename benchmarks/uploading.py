"""``python -m benchmarks.uploading ENDPOINT FOLDER``: the uploader alone, over what is staged, in a process of its own.

ENDPOINT may be ``nowhere``. The token comes on standard input. It prints seconds, CPU seconds and peak memory as JSON.
"""

import asyncio
import gc
import json
import os
import random
import sys
import time
from pathlib import Path

import uvloop

from apidanalytics.clock import SystemClock
from apidanalytics.layout import DataDirectory
from apidanalytics.upload.client import CollectionClient, Delivery
from apidanalytics.upload.exchange import Exchanger
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.outcome import Delivered
from apidanalytics.upload.settings import UploadSettings
from apidanalytics.upload.states import State
from apidanalytics.upload.token import FixedToken
from apidanalytics.upload.uploader import Uploader
from benchmarks.processes import peak_megabytes


class Nowhere:
    """Takes everything at once: what is left is what finding, opening and settling cost."""

    async def deliver(self, _delivery: Delivery) -> Delivered:
        """Say that it is there."""
        return Delivered()


async def main(endpoint: str, token: str, folder: Path, concurrency: int) -> None:
    """Deliver everything, and say what it took."""
    gc.collect()
    gc.freeze()  # as the agent does
    data, clock = DataDirectory(folder), SystemClock()
    with Ledger.open(data.ledger, data.damaged, clock.now()) as ledger:
        exchanger = Exchanger(timeout_seconds=60)
        await exchanger.open()
        uploader = Uploader(
            data=data,
            ledger=ledger,
            collection=Nowhere()
            if endpoint == "nowhere"
            else CollectionClient(endpoint, exchanger=exchanger, token=FixedToken(token), clock=clock),
            settings=UploadSettings(concurrency=concurrency),
            clock=clock,
            random=random.random,
        )
        began, cpu = time.monotonic(), time.process_time()
        task = asyncio.create_task(uploader.run())
        await uploader.drain_pass()
        took = {"seconds": time.monotonic() - began, "cpu_seconds": time.process_time() - cpu}
        await uploader.stop(5.0)
        await task
        await exchanger.aclose()
        uploaded = sum(states[State.UPLOADED].files for states in ledger.totals().values())
    print(json.dumps(took | {"files": uploaded, "peak_megabytes": peak_megabytes(os.getpid())}))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.stdin.read(), Path(sys.argv[2]), int(sys.argv[3])))
