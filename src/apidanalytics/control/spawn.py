"""How a worker's process is started: what it is told on its command line, and what it inherits."""

import os
import socket
import sys
from collections.abc import Iterable, Sequence
from typing import Final

from apidanalytics.control.child import Child

ONE_HEAP: Final = {"MALLOC_ARENA_MAX": "1"}
"""A worker's threads take turns anyway, and memory that one gave back another can use."""


def worker_command() -> list[str]:
    """Return the command that runs one worker: this very interpreter and package."""
    return [sys.executable, "-m", "apidanalytics", "worker"]


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
        environment={**os.environ, **ONE_HEAP},
        descriptors=(control.fileno(), *listen_fds),
    )
