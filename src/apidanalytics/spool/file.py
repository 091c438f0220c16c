"""The one open spool of a worker: created, appended to, cut back after a failed write, sealed.

::

    tmp/<n>.spool.new --create--> tmp/<n>.spool --append*--> --seal--> sealed/<n>.spool
                                       |                        (or removed, when nothing was committed)
                                       +-- process dies --> recovered/ (by the agent, once the lock is free)

The file's own ``flock`` is held from before it has its name until after it has been renamed, so recovery never takes
the spool of a process that lives.
"""

import fcntl
import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from apidanalytics import durable, failpoints
from apidanalytics.layout import DataDirectory, SpoolName
from apidanalytics.model import Claim, SpoolHeader
from apidanalytics.spool.frame import Share, format_group, format_header


class OpenSpool:
    """An open spool. One thread owns it."""

    def __init__(self, descriptor: int, path: Path, header: SpoolHeader, end: int, sync: Callable[[int], None]) -> None:
        self._descriptor = descriptor
        self._path = path
        self._sync = sync
        self._sequence = 1
        self._empty = True
        self.header = header
        self.end = end
        """Length of what has been committed."""

    def __repr__(self) -> str:
        return f"<OpenSpool {self.header.number:012x}: {self._sequence - 1} groups, {self.end} bytes>"

    @classmethod
    def create(
        cls, data: DataDirectory, make_header: Callable[[int], SpoolHeader], sync: Callable[[int], None]
    ) -> Self:
        """Create a spool with a number never used before; durable and locked when this returns.

        Raises:
            OSError: the disk refuses; nothing is left behind.

        """
        failpoints.hit("spool.before_create")
        header = make_header(secrets.randbits(48))
        path = data.tmp / str(SpoolName(number=header.number))
        new = path.with_name(path.name + ".new")
        descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            frame = format_header(header)
            _write(descriptor, frame, 0)
            os.fsync(descriptor)
            durable.rename(new, path)
        except BaseException:
            # The name may be either one, and the rename may not be durable yet.
            new.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            os.close(descriptor)
            raise
        failpoints.hit("spool.after_create")
        return cls(descriptor, path, header, len(frame), sync)

    def append(self, shares: Sequence[Share], claims: Sequence[Claim] = ()) -> None:
        """Commit one group: whole and, by what ``sync`` promises, durable when this returns.

        Raises:
            OSError: it was not committed. Whether it is on disk is open until ``cut_back`` has returned.

        """
        frame = format_group(self._sequence, shares, claims)
        failpoints.hit("spool.before_write")
        _write(self._descriptor, frame, self.end)
        failpoints.hit("spool.before_sync")
        self._sync(self._descriptor)
        failpoints.hit("spool.after_sync")
        self.end += len(frame)
        self._sequence += 1
        self._empty = False

    def cut_back(self) -> None:
        """Make sure that nothing after the last commit can ever be read.

        Raises:
            OSError: it cannot be made sure.

        """
        os.ftruncate(self._descriptor, self.end)
        os.fsync(self._descriptor)

    def seal(self, data: DataDirectory) -> Path | None:
        """Close the spool and hand it to packing; return its new path, or None when it held nothing.

        Raises:
            OSError: it stays where it is, still locked; sealing may be tried again.

        """
        failpoints.hit("spool.before_seal")
        if self._empty:
            durable.remove(self._path)
            self.close()
            return None
        os.fsync(self._descriptor)
        target = data.sealed / self._path.name
        try:
            durable.rename(self._path, target)
        except FileNotFoundError:
            # It moved the time before, under our lock, and only the sync of the directories failed.
            durable.sync_directories((data.sealed, data.tmp))
        self.close()
        failpoints.hit("spool.after_seal")
        return target

    def close(self) -> None:
        """Let go of the file and its lock; a second time does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _write(descriptor: int, content: bytes, offset: int) -> None:
    """Write all of it; a short write goes on where it stopped, so that the disk itself says why."""
    written = os.pwrite(descriptor, content, offset)
    while written < len(content):
        written += os.pwrite(descriptor, memoryview(content)[written:], offset + written)
