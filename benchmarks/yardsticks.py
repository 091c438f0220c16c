"""The two yardsticks as processes: the floor and the plain reference."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import listener, processes, wrk
from benchmarks.results import Cost
from tests.harness import wait_until

ROOT = Path(__file__).parents[1]
CORES = os.cpu_count() or 1


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def measure(name: str, load: wrk.Load) -> Cost:
    """Put the load on a yardstick, ``floor`` or ``reference``, with one process per core."""
    folder = Path(tempfile.mkdtemp(prefix="apa-yardstick-"))
    try:
        with _running(name, folder) as (port, pids):
            before = processes.cpu_seconds(pids)
            answers = wrk.run(load, port)
            _wait_idle(pids)
            cpu = processes.cpu_seconds(pids) - before
            peak = max(map(processes.peak_megabytes, pids))
        requests = listener.answered(folder)
    finally:
        shutil.rmtree(folder)
    return Cost.of(name, load, answers, requests=requests, cpu_seconds=cpu, worker_megabytes=peak)


@contextmanager
def _running(name: str, folder: Path) -> Iterator[tuple[int, list[int]]]:
    port = free_port()
    command = [sys.executable, "-m", f"benchmarks.{name}", str(port), str(CORES), str(folder)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        wait_until(lambda: _listens(port), what=f"the {name} listens")
        wait_until(lambda: len(processes.children(process.pid)) == CORES, what=f"all processes of the {name} run")
        time.sleep(0.3)  # the last of them opens its socket
        yield port, processes.children(process.pid)
    finally:
        process.terminate()
        process.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait_idle(pids: list[int]) -> None:
    """Wait until what was answered before it was written is written too: no CPU used for a while."""
    last = -1.0
    while (now := processes.cpu_seconds(pids)) > last:
        last = now
        time.sleep(0.3)
