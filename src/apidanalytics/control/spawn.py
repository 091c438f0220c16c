"""How a worker's process is started: what it is told on its command line, and what it inherits."""

import os
import socket
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from apidanalytics.control.child import Child

ONE_HEAP: Final = {"MALLOC_ARENA_MAX": "1"}
"""A worker's threads take turns anyway, and memory that one gave back another can use."""
_TUNABLES: Final = "GLIBC_TUNABLES"
_HUGE_PAGES: Final = "glibc.malloc.hugetlb"
"""1: what is large, as the table of all API keys, lies in huge pages (2 MB) where the system gives them to who asks."""


def worker_command() -> list[str]:
    """Return the command that runs one worker: this very interpreter and package."""
    return [sys.executable, "-m", "apidanalytics", "worker"]


def worker_environment(own: Mapping[str, str]) -> dict[str, str]:
    """Return this environment with what a worker's memory should be like; of huge pages it may say something else."""
    tunables = own.get(_TUNABLES, "")
    if _HUGE_PAGES not in tunables:
        tunables = f"{tunables}:{_HUGE_PAGES}=1".removeprefix(":")
    return {**own, **ONE_HEAP, _TUNABLES: tunables}


def spawn_worker(command: Sequence[str], control: socket.socket, listening: Iterable[socket.socket]) -> Child:
    """Start a worker that has this end of the pipe and these sockets.

    Raises:
        OSError: it cannot be started.

    """
    listen_fds = [opened.fileno() for opened in listening]
    arguments = ["--control-fd", str(control.fileno())]
    for descriptor in listen_fds:
        arguments += ["--listen-fd", str(descriptor)]
    return Child.spawn(
        [*command, *arguments],
        environment=worker_environment(os.environ),
        descriptors=(control.fileno(), *listen_fds),
    )
