"""A spool that the disk does not give back as a whole: a copy with all that can be read takes its place.

::

    sealed/<n>.spool    --what can be read--> tmp/<n>.spool.part, synced
                        --a second name-----> damaged/<n>.spool, the reason beside it, counted
    tmp/<n>.spool.part  --renamed-----------> sealed/<n>.spool, and packed like any other

What cannot be read is filled with bytes that are no part of a frame, so that the groups which had a part of it fail
their checksum, like any that is damaged, and the others are delivered. From the rename on the content is settled:
should the disk change its mind, packing again still gives the same names and bytes. A crash before it begins anew.

A bad cable or a controller that restarts looks the same for a while, so packing has to fail a few times before.
"""

import errno
import os
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Final

from apidanalytics import durable
from apidanalytics.clock import Clock
from apidanalytics.layout import DataDirectory
from apidanalytics.model import Damage
from apidanalytics.pack.aside import Aside, Why

TRIES: Final = 8
"""Packing fails so often before a spool is patched: two minutes, by the pauses between them (``service.packing``)."""
PATIENCE_SECONDS: Final = 60.0
"""A disk may take long over each page that it cannot read: after so many seconds only what is readable in pieces of
``PIECE_BYTES`` is looked for, since other spools wait meanwhile."""
PIECE_BYTES: Final = 1 << 20
PAGE_BYTES: Final = 4096
FILL: Final = b"\xff"

_REASON: Final = "the disk does not give all of it back; the rest is delivered"
_UNREADABLE: Final = {errno.EIO, errno.ENODATA, errno.EBADMSG, errno.EUCLEAN, errno.EILSEQ}
"""What Linux says of a bad sector, or of content that a file system's own checksum contradicts."""

Piece = tuple[int, bytes | None]
"""Length and content; None: it cannot be read."""


class Patcher:
    """Patches spools that nobody writes to any more. It may wait for the disk, and long for a bad one."""

    def __init__(self, data: DataDirectory, aside: Aside, clock: Clock) -> None:
        self._data = data
        self._aside = aside
        self._clock = clock
        self._tries: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Patcher: {len(self._tries)} spools that could not be read>"

    def mends(self, path: Path, error: OSError) -> bool:
        """Note that a spool could not be packed; tell whether that was mended, so that packing may try again now.

        Raises:
            OSError: the disk refuses the copy; the spool is as it was.

        """
        if error.errno not in _UNREADABLE:
            return False
        self._tries[path.name] += 1
        return self._tries[path.name] >= TRIES and self._patch(path)

    def forget(self, path: Path) -> None:
        """Forget a spool that was packed."""
        self._tries.pop(path.name, None)

    def _patch(self, path: Path) -> bool:
        """Put the copy in its place; False where nothing would be gained: all can be read, or nothing."""
        part = self._data.tmp / f"{path.name}.part"
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            if all(content is not None for _, content in self._pieces(descriptor, size)):
                return False
            holes = self._copy(descriptor, size, part)
        finally:
            os.close(descriptor)
        unreadable = sum(hole.length for hole in holes)
        if unreadable in (0, size):
            part.unlink()
            return False
        status = path.stat()
        os.utime(part, ns=(status.st_atime_ns, status.st_mtime_ns))  # the oldest spool is packed first
        durable.sync_file(part)
        self._aside.link(path, Why(reason=_REASON, amounts={"": (0, unreadable)}, damage=tuple(holes)))
        durable.rename(part, path)
        return True

    def _copy(self, descriptor: int, size: int, part: Path) -> list[Damage]:
        holes: list[Damage] = []
        try:
            with os.fdopen(durable.create(part), "wb") as copy:
                for is_hole, pieces in groupby(self._pieces(descriptor, size), key=lambda piece: piece[1] is None):
                    start = copy.tell()
                    for length, content in pieces:
                        copy.write(FILL * length if content is None else content)
                    if is_hole:
                        holes.append(Damage(offset=start, length=copy.tell() - start, reason="it cannot be read"))
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        return holes

    def _pieces(self, descriptor: int, size: int) -> Iterator[Piece]:
        """Yield the whole file; where a piece cannot be read, page by page, as long as there is time for that."""
        patient_until = self._clock.monotonic() + PATIENCE_SECONDS
        for offset, length in _steps(0, size, PIECE_BYTES):
            content = _read(descriptor, offset, length)
            if content is not None:
                yield length, content
                continue
            for at, part in _steps(offset, offset + length, PAGE_BYTES):
                is_patient = self._clock.monotonic() < patient_until
                yield part, _read(descriptor, at, part) if is_patient else None


def _steps(start: int, end: int, length: int) -> Iterator[tuple[int, int]]:
    return ((at, min(length, end - at)) for at in range(start, end, length))


def _read(descriptor: int, offset: int, length: int) -> bytes | None:
    """Return what stands there; None: not all of it can be read."""
    found = b""
    try:
        while len(found) < length:
            more = os.pread(descriptor, length - len(found), offset + len(found))
            if not more:
                return None
            found += more
    except OSError as error:
        if error.errno not in _UNREADABLE:
            raise
        return None
    return found
