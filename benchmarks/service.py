"""The service under load: its cost from the first byte to the object in the lake."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import processes, scopes, wrk
from benchmarks.results import Cost
from benchmarks.yardsticks import ROOT, free_port
from tests.harness import ServiceProcess, wait_until

INTERVAL_SECONDS = 5
"""Collection interval of a measurement: short, so that packing and uploading go on under load as well."""
DELIVERY_TIMEOUT_SECONDS = 180.0


@contextmanager
def directory(below: Path) -> Iterator[Path]:
    """Make a directory on the disk to be measured; it is removed at the end."""
    below.mkdir(parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(prefix="b-", dir=below.resolve()))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def prepared(folder: Path, **settings: Any) -> Iterator[ServiceProcess]:
    """Prepare a service whose tenants stand in ``scopes.yaml`` of this folder; the durability is the default, disk."""
    settings = {
        "local_storage_path": folder / "data",
        "api_listen": f"127.0.0.1:{free_port()}",
        "log_level": "warn",
        "apidanalytics_scopes_file": folder / "scopes.yaml",
        "apidanalytics_collection_interval": INTERVAL_SECONDS,
        **settings,
    }
    with ServiceProcess(settings, environment=_with_bytecode(folder.parent)) as service:
        yield service


def _with_bytecode(below: Path) -> dict[str, str]:
    """Let the service find its modules compiled, as every installation does, whatever the caller's environment."""
    environment = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(below / "bytecode")}
    command = [sys.executable, "-m", "compileall", "-q", str(ROOT / "src")]
    subprocess.run(command, env={**os.environ, **environment}, check=True)
    return environment


def measure(load: wrk.Load, below: Path, *, interval_seconds: int | None = None) -> Cost:
    """Put the load on a fresh service, wait until every record is in the lake, and return what it took.

    With an interval given, the load starts with it, so that one that is shorter falls into one interval.
    """
    with taking(load, below, interval_seconds=interval_seconds) as turns:
        turns.take()
        return turns.cost()


@contextmanager
def taking(load: wrk.Load, below: Path, *, interval_seconds: int | None = None) -> Iterator["Turns"]:
    """Run a fresh service, for a load that is put on it by ``take``."""
    with directory(below) as folder:
        scopes.write(folder / "scopes.yaml", len(load.scopes), load.keys)
        interval = interval_seconds or INTERVAL_SECONDS
        with prepared(folder, apidanalytics_collection_interval=interval) as service:
            service.start()
            wait_until(lambda: _all_ready(service), pause_seconds=0.2, what="every worker is ready")
            if interval_seconds:
                time.sleep(interval_seconds - time.time() % interval_seconds)
            yield Turns(load, service)


class Turns:
    """A load put on a running service, several times if need be."""

    def __init__(self, load: wrk.Load, service: ServiceProcess) -> None:
        self._load = load
        self._service = service
        self._pids = service.pids()
        self._before = processes.cpu_seconds(self._pids)
        self._answers: list[wrk.Answers] = []

    def take(self) -> None:
        """Put the load on it once more."""
        self._answers.append(wrk.run(self._load, int(self._service.settings["api_listen"].rpartition(":")[2])))

    def cost(self) -> Cost:
        """Wait until every record is in the lake, and return what it all took."""
        load, service = self._load, self._service
        answers = wrk.joined(self._answers)
        acknowledged = load.records * (answers.requests - answers.refused)
        service.wait_delivered(acknowledged, timeout_seconds=DELIVERY_TIMEOUT_SECONDS, pause_seconds=1.0)
        records = service.totals()["uploaded"]["records"]
        workers = service.worker_pids()
        if sorted([service.pid, *workers]) != sorted(self._pids):
            raise AssertionError("a process was replaced while it was measured")
        return Cost.of(
            "service",
            load,
            answers,
            requests=records // load.records,
            cpu_seconds=processes.cpu_seconds(self._pids) - self._before,
            worker_megabytes=max(map(processes.peak_megabytes, workers)),
            agent_megabytes=processes.peak_megabytes(service.pid),
            megabytes=sum(map(processes.peak_megabytes, self._pids)),
        )


def _all_ready(service: ServiceProcess) -> bool:
    return all(worker["state"] == "running" and worker["ready"] for worker in service.status()["workers"])
