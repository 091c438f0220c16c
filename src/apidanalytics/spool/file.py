"""The one open spool of a worker: created, appended to, cut back after a failed write, sealed.

::

    tmp/<n>.spool.new --create--> tmp/<n>.spool --append*--> --seal--> sealed/<n>.spool
                                       |                        (or removed, when nothing was committed)
                                       +-- process dies --> recovered/ (by the agent, once the lock is free)

Room is written ahead: now and then a commit carries zeros behind its frame, and the commits after it overwrite them.
An ``fdatasync`` then has only data to flush; after an append it has to commit the file's new length, too, through the
file system's journal. Sealing writes the mark of the end there, and cuts the rest of the room off; a reader knows
zeros for what they are.

The file's own ``flock`` is held from before it has its name until after it has been renamed, so recovery never takes
the spool of a process that lives.
"""

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

import structlog

from apidanalytics import durable, failpoints
from apidanalytics.layout import DataDirectory, SpoolName
from apidanalytics.model import Claim, SpoolHeader
from apidanalytics.spool.frame import Share, format_end, format_group, format_header

log = structlog.get_logger()

Sync = Callable[[int], None]

FIRST_ROOM_BYTES: Final = 64 << 10
MAX_ROOM_BYTES: Final = 1 << 20
"""Room is written ahead in steps as long as the spool is by then, between these two: a short spool stays small."""
_ZEROS: Final = memoryview(bytes(MAX_ROOM_BYTES))


class OpenSpool:
    """An open spool. One thread owns it."""

    def __init__(
        self, descriptor: int, path: Path, header: SpoolHeader, end: int, sync: Sync, *, has_room: bool
    ) -> None:
        self._descriptor = descriptor
        self._path = path
        self._sync = sync
        self._has_room = has_room
        self._room_end = end
        self._sequence = 1
        self._empty = True
        self._is_cut_due = False  # there may be a part of a group that failed
        self._has_moved = False
        self.header = header
        self.end = end
        """Length of what has been committed."""

    def __repr__(self) -> str:
        return f"<OpenSpool {self.header.number:012x}: {self._sequence - 1} groups, {self.end} bytes>"

    @classmethod
    def create(
        cls, data: DataDirectory, make_header: Callable[[int], SpoolHeader], sync: Sync, *, has_room: bool = True
    ) -> Self:
        """Create a spool with a number never used before; durable and locked when this returns.

        Args:
            data: Where to.
            make_header: Gives the header for a number.
            sync: What a commit does after the write.
            has_room: Whether room is written ahead, which pays if commits are synced.

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
        return cls(descriptor, path, header, len(frame), sync, has_room=has_room)

    def append(self, shares: Sequence[Share], claims: Sequence[Claim] = ()) -> None:
        """Commit one group: whole and, by what ``sync`` promises, durable when this returns.

        Raises:
            OSError: it was not committed. Whether it is on disk is open until ``cut_back`` has returned.

        """
        frame = format_group(self._sequence, shares, claims)
        failpoints.hit("spool.before_write")
        self._is_cut_due = True
        _write(self._descriptor, frame, self.end)
        end = self.end + len(frame)
        if end > self._room_end and self._has_room:
            self._write_room(end)
        failpoints.hit("spool.before_sync")
        self._sync(self._descriptor)
        failpoints.hit("spool.after_sync")
        self.end = end
        self._sequence += 1
        self._empty = self._is_cut_due = False

    def _write_room(self, offset: int) -> None:
        """Write zeros from here on, if the disk takes them; where they lack, commits go on appending."""
        length = min(max(offset, FIRST_ROOM_BYTES), MAX_ROOM_BYTES)
        with suppress(OSError):
            self._room_end = offset + os.pwrite(self._descriptor, _ZEROS[:length], offset)

    def cut_back(self) -> None:
        """Make sure that nothing after the last commit can ever be read.

        Raises:
            OSError: it cannot be made sure.

        """
        os.ftruncate(self._descriptor, self.end)
        os.fsync(self._descriptor)
        self._is_cut_due = False

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
        end = self._mark_end()
        with suppress(OSError):  # room that was not used does no harm
            os.ftruncate(self._descriptor, end)
        durable.sync_ended(self._descriptor)
        target = data.sealed / self._path.name
        if not self._has_moved:  # else only the sync of the directories failed, the time before
            self._move(target)
            self._has_moved = True
        durable.sync_directories((data.sealed, data.tmp))
        self.close()
        failpoints.hit("spool.after_seal")
        return target

    def _mark_end(self) -> int:
        """Write the mark of the end behind the last commit; return the offset behind it. Doing it again is fine."""
        if self._is_cut_due:
            self.cut_back()  # what is in doubt must not stand behind it
        if not self.header.marks_end:
            return self.end
        frame = format_end(self._sequence)
        _write(self._descriptor, frame, self.end)
        return self.end + len(frame)

    def _move(self, target: Path) -> None:
        if self._has_its_name():
            self._path.rename(target)
            return
        if os.fstat(self._descriptor).st_nlink:
            reason = (
                "it stands elsewhere: was something mounted over its directory, that one moved away, "
                "or the file removed while a hard link holds it? Give it back its name"
            )
            raise OSError(errno.ENOENT, reason, str(self._path))
        self._write_anew(target)

    def _has_its_name(self) -> bool:
        """Tell whether the name stands for this very file, and not for a copy that somebody put in its place."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), self._path.lstat())
        except FileNotFoundError:
            return False

    def _write_anew(self, target: Path) -> None:
        """Give a file that somebody removed a name again: all of it is there as long as it is open."""
        part = self._path.with_name(f"{self._path.name}.part")
        with os.fdopen(durable.create(part), "wb") as copy, os.fdopen(os.dup(self._descriptor), "rb") as original:
            original.seek(0)
            shutil.copyfileobj(original, copy)
        durable.sync_file(part)
        part.rename(target)
        hint = "somebody removed it while it was in use; it was written anew from what was open, and is delivered"
        log.error("spool.removed", spool=self._path.name, bytes=self.end, hint=hint)

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
