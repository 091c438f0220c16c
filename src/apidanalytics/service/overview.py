"""What `apidanalytics status` shows, of a running service or of a stopped one's data directory."""

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from apidanalytics import __version__
from apidanalytics.config import Settings
from apidanalytics.control.server import Answer, NotRunningError, ask
from apidanalytics.layout import DataDirectory, SpoolName
from apidanalytics.service.status import Ledger, count_by_tenant, spool_files, total
from apidanalytics.spool.segment import count_records
from apidanalytics.upload.ledger import Ledger as UploadLedger
from apidanalytics.upload.overview import UploadState


def ask_status(settings: Settings) -> Answer:
    """Return the status of the service that runs with these settings.

    Raises:
        NotRunningError: none does.

    """
    answer = ask(settings.data.control, {"command": "status"})
    if "error" in answer:
        raise NotRunningError(answer["error"])
    return answer


def stopped_status(settings: Settings) -> Answer:
    """Return what the data directory of a service that does not run holds. Nothing in it is changed."""
    with _read_only_ledger(settings.data.ledger) as ledger:
        counted = count_all(settings.data, ledger)
    return {
        "state": "stopped",
        "pid": None,
        "version": __version__,
        "ready": False,
        "api": None,
        "data_directory": str(settings.data.root),
        "started_at": None,
        "workers": [],
        "scopes": None,
        "disk": None,
        "problems": [],
        **counted,
    }


def running_status(
    state: str,
    counted: dict[str, Any],
    workers: Sequence[Mapping[str, Any]],
    upload: UploadState,
    *,
    disk: Mapping[str, Any],
    **known: Any,
) -> Answer:
    """Return the status of this very process."""
    return {
        "state": state,
        "pid": os.getpid(),
        "version": __version__,
        "workers": workers,
        "disk": disk,
        "problems": [*problems(workers, counted, upload), *disk["problems"]],
        **known,
        **counted,
    }


def count_all(data: DataDirectory, ledger: Ledger) -> dict[str, Any]:
    """Return the counts by tenant, and their sum. It reads every spool's table, so not on the event loop."""
    # Each once: one that moves on while the directories are listed shows up in two of them.
    tenants = count_by_tenant(ledger, dict(_spools(data)).items(), count_records)
    return {"tenants": tenants, "totals": total(tenants.values())}


def problems(workers: Sequence[Mapping[str, Any]], counted: Mapping[str, Any], upload: UploadState) -> list[str]:
    """Return what is not as it should be, in sentences for the person on call."""
    found: list[str] = []
    down = [str(worker["index"]) for worker in workers if worker["state"] == "down"]
    if down:
        found.append(f"Worker {', '.join(down)} is down; the log says why it keeps ending.")
    if any(worker.get("writable") is False for worker in workers):
        found.append("The disk refuses writes: new batches get 503. Nothing acknowledged is lost; free some space.")
    if upload.paused_since is not None:
        minutes = (time.time() - upload.paused_since) / 60
        found.append(f"Uploads are paused for {minutes:.0f} min, one probe at a time: {upload.paused_reason}.")
    failed = counted["totals"]["failed"]["files"]
    dropped = counted["totals"]["dropped"]["records"]
    if dropped:
        found.append(f"{dropped} records were dropped to make room (apidanalytics_full_policy: drop_oldest).")
    if failed:
        found.append(f"{failed} files in failed/: they are tried again after the next success, or by the clock.")
    aside = counted["totals"]["set_aside"]["files"]
    if aside:
        found.append(f"{aside} files could not be read and are in damaged/, each with the reason beside it.")
    return found


def _spools(data: DataDirectory) -> Iterator[tuple[int, Path]]:
    for path in spool_files(data):
        try:
            yield SpoolName.parse(path.name).number, path
        except ValueError:
            continue  # not ours; packing reports it


def _read_only_ledger(path: Path) -> UploadLedger:
    source = f"{path.absolute().as_uri()}?mode=ro" if path.exists() else ":memory:"
    database = sqlite3.connect(source, uri=True, check_same_thread=False)
    reader = sqlite3.connect(source, uri=True, check_same_thread=False)
    if not path.exists():
        reader.execute("CREATE TABLE totals (tenant, state, records, bytes, files)")
        reader.execute("CREATE TABLE spools (number, packed_at)")
    return UploadLedger(database, reader, is_new=False)
