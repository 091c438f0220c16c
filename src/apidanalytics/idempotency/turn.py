"""Whose turn it is to use the index: a lock that workers and agent share, ``keys/turn.lock``."""

import fcntl
import os
from pathlib import Path
from types import TracebackType


class Turn:
    """``with turn:`` waits until no other process has its turn.

    SQLite sleeps and tries again, ever longer; the kernel wakes up who is next.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "turn.lock"
        self._descriptor = -1

    def __enter__(self) -> None:
        if self._descriptor < 0:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
