"""How long a calm tenant waits for its durable 200: alone, beside floods (of what is refused, too), when all flood."""

import json
import statistics
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks import processes, scopes, traffic, wrk
from benchmarks.service import directory, prepared
from benchmarks.yardsticks import ROOT
from tests.harness import ServiceProcess, wait_until

CONNECTIONS: Final = 256
ALL_CONNECTIONS: Final = 1024
BOMBS: Final = 64
"""Connections on which large bodies are posted that are refused only after they were unzipped."""
ALL_TENANTS: Final = 8
NICENESS: Final = 19
"""Of the clients that flood: they take what the service leaves of the cores, as if they were on other machines."""
CALM: Final = "scope-00000"
UNKNOWN: Final = "nobodys-scope"


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """What a calm tenant saw beside others."""

    others: str
    p50_milliseconds: float
    p99_milliseconds: float
    longest_milliseconds: float
    posts: int
    refused: int
    """Of its posts, those without a 200."""
    requests_per_second: float = 0.0
    """Of the others, while the calm tenant posted, too."""
    requests_per_second_alone: float = 0.0
    """Of the others, before that."""
    worker_megabytes: float = 0.0
    """The largest resident size of a worker so far."""
    recovered_after_seconds: float = 0.0
    """From the end of the load until the calm tenant's median was within twice that of before."""


def measure(below: Path, seconds: float) -> list[Neighbour]:
    """Measure alone, beside floods of single posts, of batches, and of what is refused, and beside one of all."""
    with directory(below) as folder:
        scopes.write(folder / "scopes.yaml", ALL_TENANTS + 1)
        with prepared(folder) as service:
            service.start()
            wait_until(lambda: _all_ready(service), pause_seconds=0.2, what="every worker is ready")
            _calm(service, 1.0)  # every code path has been taken once
            alone = _row("nobody", service, _calm(service, seconds))
            return [alone, *(_beside(service, load, what, seconds, alone) for load, what in _loads(seconds))]


def _all_ready(service: ServiceProcess) -> bool:
    return all(worker["state"] == "running" and worker["ready"] for worker in service.status()["workers"])


def _loads(seconds: float) -> Iterator[tuple[wrk.Load, str]]:
    """Yield what floods, and what it is called."""
    names = scopes.names(ALL_TENANTS + 1)
    for records in (1, 100):
        load = wrk.Load(
            bodies=traffic.bodies(records),
            records=records,
            connections=CONNECTIONS,
            seconds=seconds + 2,
            scopes=names[1:2],
        )
        yield load, f"batches of {records}"
        yield replace(load, scopes=(UNKNOWN,)), f"batches of {records} to an unknown scope"
        yield replace(load, bodies=[body[:-1] for body in load.bodies]), f"batches of {records}, cut short"
    yield _bombs(seconds, names[1:2]), "gzip bombs of 15 MB"
    load = wrk.Load(
        bodies=traffic.bodies(500), records=500, connections=ALL_CONNECTIONS, seconds=seconds + 2, scopes=names[1:]
    )
    yield load, "batches of 500"


def _bombs(seconds: float, scopes: Sequence[str]) -> wrk.Load:
    """Return bodies of 60 KB that hold more records than a batch may."""
    record = b'{"client_received_start_timestamp":1}'
    bomb = zlib.compress(b'{"records":[' + b",".join([record] * 400_000) + b"]}", 6, 31)
    return wrk.Load(bodies=[bomb], records=1, connections=BOMBS, seconds=seconds + 2, is_gzip=True, scopes=scopes)


def _beside(service: ServiceProcess, load: wrk.Load, what: str, seconds: float, alone: Neighbour) -> Neighbour:
    shorter = replace(load, seconds=seconds / 3)
    with _flood(service, shorter) as before:
        pass
    with _flood(service, load) as answers:
        time.sleep(1.5)
        took = _calm(service, seconds)
    recovered = _recovery(service, alone.p50_milliseconds * 2)
    others = f"{len(load.scopes)} at {load.connections} connections, {what}"
    return _row(
        others,
        service,
        took,
        requests_per_second=_rate(answers),
        requests_per_second_alone=_rate(before),
        recovered_after_seconds=recovered,
    )


def _rate(answers: Sequence[wrk.Answers]) -> float:
    return answers[0].requests / answers[0].seconds


@contextmanager
def _flood(service: ServiceProcess, load: wrk.Load) -> Iterator[list[wrk.Answers]]:
    answers: list[wrk.Answers] = []
    port = int(service.settings["api_listen"].rpartition(":")[2])
    thread = threading.Thread(target=lambda: answers.append(wrk.run(load, port, niceness=NICENESS)))
    thread.start()
    try:
        yield answers
    finally:
        thread.join()


def _calm(service: ServiceProcess, seconds: float) -> tuple[list[float], int]:
    """Return how many milliseconds each answer took, and how many were no 200."""
    port = service.settings["api_listen"].rpartition(":")[2]
    command = [sys.executable, "-m", "benchmarks.calm", port, CALM, str(seconds)]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=seconds + 120)
    found = json.loads(output.stdout)
    return found["milliseconds"], sum(count for status, count in found["statuses"].items() if status != "200")


def _recovery(service: ServiceProcess, limit_milliseconds: float) -> float:
    """Return after how many seconds the calm tenant's median is below the limit again."""
    began = time.monotonic()
    while time.monotonic() - began < 30:
        at = time.monotonic() - began
        took, _ = _calm(service, 0.1)
        if statistics.median(took) <= limit_milliseconds:
            return at
    return time.monotonic() - began


def _row(others: str, service: ServiceProcess, took: tuple[list[float], int], **measured: float) -> Neighbour:
    milliseconds, refused = took
    peak = max(processes.peak_megabytes(pid) for pid in service.worker_pids())
    return Neighbour(
        others=others,
        p50_milliseconds=_percentile(milliseconds, 50),
        p99_milliseconds=_percentile(milliseconds, 99),
        longest_milliseconds=max(milliseconds),
        posts=len(milliseconds),
        refused=refused,
        worker_megabytes=peak,
        **measured,
    )


def _percentile(values: Sequence[float], percent: int) -> float:
    return sorted(values)[min(len(values) * percent // 100, len(values) - 1)]
