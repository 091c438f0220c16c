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
    """Put the load on a yardstick, ``floor`` or ``reference``, and return what it took."""
    with taking(name, load) as turns:
        turns.take()
    return turns.cost()


class Turns:
    """A load put on a running yardstick, several times if need be."""

    def __init__(self, name: str, load: wrk.Load, port: int, pids: list[int]) -> None:
        self._name = name
        self._load = load
        self._port = port
        self._pids = pids
        self._answers: list[wrk.Answers] = []
        self._cpu = 0.0
        self.peak_megabytes = 0.0
        self.requests = 0
        """Known once it has ended."""

    def take(self) -> None:
        """Put the load on it once more, and wait until it has done all of its work."""
        before = processes.cpu_seconds(self._pids)
        self._answers.append(wrk.run(self._load, self._port))
        _wait_idle(self._pids)
        self._cpu += processes.cpu_seconds(self._pids) - before
        self.peak_megabytes = max(map(processes.peak_megabytes, self._pids))

    def cost(self) -> Cost:
        """Return what it all took; to be asked once the yardstick has ended."""
        answers = wrk.joined(self._answers)
        measured = {"cpu_seconds": self._cpu, "worker_megabytes": self.peak_megabytes}
        return Cost.of(self._name, self._load, answers, requests=self.requests, **measured)


@contextmanager
def taking(name: str, load: wrk.Load) -> Iterator[Turns]:
    """Run a yardstick with one process per core, for a load that is put on it by ``take``."""
    folder = Path(tempfile.mkdtemp(prefix="apa-yardstick-"))
    try:
        with _running(name, folder) as (port, pids):
            turns = Turns(name, load, port, pids)
            yield turns
        turns.requests = listener.answered(folder)
    finally:
        shutil.rmtree(folder)


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
