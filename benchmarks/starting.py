"""How soon a service takes batches when it starts over what dead workers have left."""

import http.client
import os
import time
from dataclasses import dataclass
from pathlib import Path

from apidanalytics.layout import DataDirectory
from benchmarks import scopes, spools, traffic
from benchmarks.service import directory, prepared
from tests.harness import ServiceProcess


@dataclass(frozen=True, kw_only=True)
class Starting:
    """What a start took."""

    megabytes: float
    """Length of the spools on disk."""
    accepts_after_seconds: float
    """From the start of the process to the first 200 for a batch."""
    delivered_after_seconds: float
    """From there to the last of the old records in the lake."""
    records: int


def measure(below: Path, megabytes: int) -> Starting:
    """Start a service over open spools of this length."""
    with directory(below) as folder:
        data = DataDirectory(folder / "data/ax")
        data.create()
        records = spools.write_left_behind(data, megabytes)
        os.sync()  # what was acknowledged is on the disk long before its worker dies
        scopes.write(folder / "scopes.yaml", spools.TENANTS)
        with prepared(folder) as service:
            return _measure(service, megabytes, records)


def _measure(service: ServiceProcess, megabytes: int, records: int) -> Starting:
    began = time.monotonic()
    service.start(ready=False)
    body = traffic.bodies(1)[0]
    while not _is_accepted(service, body):
        time.sleep(0.01)
    accepted = time.monotonic()
    service.wait_delivered(records + 1, timeout_seconds=max(600, megabytes / 5))
    uploaded = service.status()["totals"]["uploaded"]["records"]
    if uploaded != records + 1:
        raise AssertionError(f"{records + 1} records should be in the lake, {uploaded} are")
    return Starting(
        megabytes=megabytes,
        accepts_after_seconds=accepted - began,
        delivered_after_seconds=time.monotonic() - accepted,
        records=records,
    )


def _is_accepted(service: ServiceProcess, body: bytes) -> bool:
    path = f"/analytics/{scopes.names(1)[0]}"
    try:
        return service.request("POST", path, body, {"Content-Type": "application/json"})[0] == 200
    except (OSError, http.client.HTTPException):
        return False
