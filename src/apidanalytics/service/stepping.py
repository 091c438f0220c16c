"""When a worker gets a core that others want, too, and how long it had one or waited for it.

Usually it does not push a running process aside when it wakes (``SCHED_BATCH``): a gateway on the same machine goes
first, and the worker finds more to read when its turn comes. While it holds back some tenants for the sake of others,
it wakes for those, and is there at once; what the agent does for those that are held back steps aside meanwhile.
"""

import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

ASIDE_NICENESS: Final = 10
"""Leaves a tenth of what an ordinary thread gets: enough not to stop, too little to be noticed."""


def step_back(*threads: int) -> None:
    """Let others go first: this thread, those with these ids, and those that they start."""
    _set(os.SCHED_BATCH, threads)


def step_forward(*threads: int) -> None:
    """Take a turn like everybody else."""
    _set(os.SCHED_OTHER, threads)


def step_aside() -> None:
    """Have this thread take a small share of a core that others want; it may not step back without rights."""
    thread = threading.get_native_id()
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, thread, max(os.getpriority(os.PRIO_PROCESS, thread), ASIDE_NICENESS))
    step_back()


def _set(policy: int, threads: tuple[int, ...]) -> None:
    with suppress(OSError):  # forbidden here: it is only slower
        for thread in (0, *threads):
            os.sched_setscheduler(thread, policy, os.sched_param(0))


class BusySeconds:
    """For how long this process was busy so far, or one of its threads waited for a core that others had."""

    def __init__(self) -> None:
        """To be made by the thread whose waiting counts."""
        path = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # no such count in this kernel
            self._descriptor = -1

    def __call__(self) -> float:
        """Return the seconds, of all threads together; they only grow."""
        return time.process_time() + self._waited()

    def _waited(self) -> float:
        if self._descriptor < 0:
            return 0.0
        try:
            _, waited_nanoseconds, _ = os.pread(self._descriptor, 80, 0).split()
        except (OSError, ValueError):
            return 0.0
        return int(waited_nanoseconds) / 1e9
