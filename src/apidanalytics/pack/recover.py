"""What a process that died left in ``tmp/``, and which spools wait to be packed.

::

    tmp/<n>.spool        lock free: its worker is dead   --> recovered/<n>~recoveredTS~<now>.spool
    tmp/<n>.spool.new    lock free, and old              --> deleted: nothing in it was acknowledged
    tmp/*.part           at the agent's start            --> deleted: half-made, made again from its source

The rename fixes the recovery time, so that packing gives the same names however often it begins anew.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog

from apidanalytics import durable, failpoints
from apidanalytics.clock import Clock
from apidanalytics.instants import format_recovery_time
from apidanalytics.layout import DataDirectory, SpoolName, is_bucket
from apidanalytics.pack.strangers import Strangers

log = structlog.get_logger()

_SPOOLS: Final = (".spool", ".new")
NEW_AGE_SECONDS: Final = 60.0
"""A worker locks a new spool right after making it; one this old without a lock has no worker any more."""

_STAYS: Final = "it stays where it is and is tried again in a few seconds; others go on: look at its owner and the disk"


class Recovery:
    """Looks after ``tmp/`` while workers come and go. Its calls may wait for the disk."""

    def __init__(self, data: DataDirectory, clock: Clock, strangers: Strangers) -> None:
        self._data = data
        self._clock = clock
        self._strangers = strangers

    def clear(self) -> int:
        """Delete half-made files and return how many; call it once, before anything else makes some."""
        leftovers = [
            path
            for place in (self._data.tmp, self._data.damaged)
            for path in place.glob("*.part")
            if path.is_symlink() or durable.is_plain_file(path)
        ]
        for path in leftovers:
            path.unlink()
        if leftovers:
            log.info("recover.cleared", files=len(leftovers), hint="half-made files, made again from their source")
        return len(leftovers)

    def sweep(self) -> list[Path]:
        """Take over the spools of dead workers and return where they are now.

        Call it at start, whenever a worker died, and every few seconds: with nothing to do it only lists ``tmp/``
        and tries one lock for each open spool. What cannot be taken over now stays where it is, and the others go on.

        Raises:
            OSError: ``tmp/`` cannot be listed.

        """
        recovered: list[Path] = []
        for path in sorted(self._data.tmp.iterdir()):
            try:
                recovered += self._look_at(path)
            except OSError as error:
                log.warning("recover.failed", path=str(path), error=str(error), hint=_STAYS)
        return recovered

    def _look_at(self, path: Path) -> list[Path]:
        if path.suffix in _SPOOLS and not durable.is_plain_file(path):
            self._report(path)
        elif path.suffix == ".spool":
            return self._take_over(path)
        elif path.name.endswith(".spool.new"):
            self._delete_if_dead(path)
        elif path.suffix != ".part" and not is_bucket(path.name):
            self._strangers.report(path)
        return []

    def _report(self, path: Path) -> None:
        if path.is_symlink() or path.exists():  # and was not merely sealed just now
            self._strangers.report(path)

    def _take_over(self, path: Path) -> list[Path]:
        try:
            name = SpoolName.parse(path.name)
        except ValueError:
            self._strangers.report(path)
            return []
        with _locked(path) as is_ours:
            if not is_ours:
                return []
            mark = name.recovered or format_recovery_time(self._clock.now())
            target = self._data.recovered / str(SpoolName(number=name.number, recovered=mark))
            size = path.stat().st_size
            failpoints.hit("recover.before_rename")
            durable.rename(path, target)
            failpoints.hit("recover.after_rename")
        log.warning(
            "recover.spool",
            spool=target.name,
            bytes=size,
            hint="its process died; what it acknowledged is packed and delivered",
        )
        return [target]

    def _delete_if_dead(self, path: Path) -> None:
        with _locked(path) as is_ours:
            if is_ours and abs(self._clock.now() - path.stat().st_mtime) >= NEW_AGE_SECONDS:  # the clock may jump
                path.unlink()


def waiting_spools(data: DataDirectory, strangers: Strangers) -> list[Path]:
    """Return every spool in ``sealed/`` and ``recovered/``, the oldest first."""
    found: list[tuple[int, Path]] = []
    for path in (*data.sealed.iterdir(), *data.recovered.iterdir()):
        try:
            SpoolName.parse(path.name)
            found.append((_age_of(path), path))
        except FileNotFoundError:
            continue  # packed and removed just now
        except ValueError:
            if path.is_symlink() or (path.exists() and not (path.parent == data.recovered and is_bucket(path.name))):
                strangers.report(path)
    return [path for _, path in sorted(found)]


def _age_of(path: Path) -> int:
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(path.name)
    return status.st_mtime_ns


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Hold a spool's lock; yields False when it is another's, or the name no longer is that of the locked file."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        # Between listing and locking its worker may have sealed it, and let go of the lock.
        yield _try_lock(descriptor) and _is_named(descriptor, path)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_named(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
