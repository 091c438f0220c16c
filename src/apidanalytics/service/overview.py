"""What `apidanalytics status` shows, of a running service or of a stopped one's data directory."""

import sqlite3
from pathlib import Path
from typing import Any

from apidanalytics import __version__
from apidanalytics.config import Settings
from apidanalytics.control.server import Answer, ask
from apidanalytics.errors import NotRunningError
from apidanalytics.layout import DataDirectory
from apidanalytics.service.counts import Ledger, count_by_tenant, total
from apidanalytics.spool.counting import count_records
from apidanalytics.upload import schema
from apidanalytics.upload.ledger import Ledger as UploadLedger
from apidanalytics.upload.pausing import EVERYBODY


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
    with read_only_ledger(settings.data.ledger) as ledger:
        counted = count_all(settings.data, ledger)
        pauses = ledger.pauses()
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
        "uploads": {"paused_since": pauses.get(EVERYBODY), "paused_tenants": sorted(pauses.keys() - {EVERYBODY})},
        "problems": [],
        **counted,
    }


def count_all(data: DataDirectory, ledger: Ledger) -> dict[str, Any]:
    """Return the counts by tenant, and their sum. It reads every spool's table, so not on the event loop."""
    # Each once: one that moves on while the directories are listed shows up in two of them.
    tenants = count_by_tenant(ledger, dict(data.spools()).items(), count_records)
    return {"tenants": tenants, "totals": total(tenants.values())}


def read_only_ledger(path: Path) -> UploadLedger:
    """Open the ledger of a service that does not run; where there is none, one that knows nothing."""
    if not path.exists():
        return UploadLedger(schema.empty(), schema.empty(), is_new=False)
    source = f"{path.absolute().as_uri()}?mode=ro"
    database = sqlite3.connect(source, uri=True, check_same_thread=False)
    reader = sqlite3.connect(source, uri=True, check_same_thread=False)
    return UploadLedger(database, reader, is_new=False)
