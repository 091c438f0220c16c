"""When a worker gets a core that others want, too, and how long it had one or waited for it.

Usually it does not push a running process aside when it wakes (``SCHED_BATCH``): a gateway on the same machine goes
first, and the worker finds more to read when its turn comes. While it holds back some tenants for the sake of others,
it wakes for those, and is there at once: the threads that serve them ask the kernel for short slices, and who wakes
for a shorter one goes before whoever runs in a longer one.
"""

import ctypes
import os
import platform
import struct
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

ASIDE_NICENESS: Final = 10
"""Leaves a tenth of what an ordinary thread gets: enough not to stop, too little to be noticed."""
SLICE_SECONDS: Final = 0.0001
"""The shortest that the kernel gives (since 6.12); older ones take no notice."""
SWITCH_SECONDS: Final = 0.0005
"""How long the event loop goes on while another thread could: a commit asks several times, and all wait for it."""
SWITCH_SOON_SECONDS: Final = 0.0001
"""The same, while tenants are held back."""
_SCHED_SETATTR: Final = {"x86_64": 314, "aarch64": 274}
"""The number of the system call, for which Python has no name."""
_ATTRIBUTES: Final = struct.Struct("=IIQiIQQQ")
"""struct sched_attr: size, policy, flags, nice, priority, runtime (the slice), deadline, period."""


def step_back(threads: Iterable[int] = ()) -> None:
    """Let others go first: this thread, those with these ids, and those that they start."""
    sys.setswitchinterval(SWITCH_SECONDS)
    for thread in (0, *threads):
        _set(thread, os.SCHED_BATCH)
        _set_slice(thread, os.SCHED_BATCH, 0)  # as long as usual


def step_forward(threads: Iterable[int], prompt: Iterable[int]) -> None:
    """Take a turn like everybody else; this thread and the ``prompt`` ones as soon as they want it."""
    sys.setswitchinterval(SWITCH_SOON_SECONDS)
    for thread in threads:
        _set(thread, os.SCHED_OTHER)
    for thread in (0, *prompt):
        _set(thread, os.SCHED_OTHER)
        _set_slice(thread, os.SCHED_OTHER, SLICE_SECONDS)


def step_aside() -> None:
    """Have this thread take a small share of a core that others want; it may not step back without rights."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), ASIDE_NICENESS)
    _set(0, os.SCHED_BATCH)


def _set(thread: int, policy: int) -> None:
    with suppress(OSError):  # forbidden here: it is only slower
        os.sched_setscheduler(thread, policy, os.sched_param(0))


def _set_slice(thread: int, policy: int, seconds: float) -> None:
    """Ask for slices of this length; where that is forbidden or unknown, nothing changes."""
    number = _SCHED_SETATTR.get(platform.machine())
    if number is None:
        return
    niceness = os.getpriority(os.PRIO_PROCESS, thread)
    nanoseconds = int(seconds * 1e9)
    attributes = _ATTRIBUTES.pack(_ATTRIBUTES.size, policy, 0, niceness, 0, nanoseconds, 0, 0)
    ctypes.CDLL(None).syscall(number, thread, attributes, 0)


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
