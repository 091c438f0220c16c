"""One data directory belongs to one agent."""

import fcntl
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from apidanalytics.errors import DataDirectoryLocked


class DataDirectoryLock:
    """Held for the life of the agent; the kernel lets go of it however the agent ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, path: Path) -> Self:
        """Take the lock and write down who holds it.

        Raises:
            DataDirectoryLocked: another agent holds it; the message says which.

        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "an unknown process"
            os.close(descriptor)
            raise DataDirectoryLocked(f"{path.parent} is in use by {holder}") from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"pid {os.getpid()}, since {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}\n".encode(), 0)
        return cls(descriptor)

    @classmethod
    def adopt(cls, descriptor: int) -> Self:
        """Go on with a lock that the program before this one took; the kernel never let go of it."""
        os.set_inheritable(descriptor, False)
        return cls(descriptor)

    def fileno(self) -> int:
        """Return the descriptor that carries the lock."""
        return self._descriptor

    def release(self) -> None:
        """Let go; a second time does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
