"""Files that somebody else may replace at any time: whether one changed, and whether it rests by now.

What was just changed may still be being written: it is read when two looks in a row saw the same.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeAlias

Version: TypeAlias = tuple[int, int, int]
"""Inode, time of change (ns) and size: another one, and the content may be another."""

GONE: Final[Version] = (0, 0, 0)


def version_of(status: os.stat_result) -> Version:
    """Return the version of the file that this is the status of."""
    return (status.st_ino, status.st_mtime_ns, status.st_size)


def look_at(paths: Iterable[Path]) -> tuple[Version, ...]:
    """Return the version of each file; ``GONE`` for one that is not there, or cannot be looked at."""
    return tuple(version_now(path) for path in paths)


def version_now(path: Path) -> Version:
    """Return the version of one file, or ``GONE``."""
    try:
        return version_of(path.stat())
    except OSError:
        return GONE


class Resting:
    """Tells when files that are looked at again and again are to be read anew."""

    def __init__(self, read: tuple[Version, ...]) -> None:
        """Take the versions that were read."""
        self._read = self._before = read

    def __repr__(self) -> str:
        return f"<Resting {len(self._read)} files>"

    def is_due(self, now: tuple[Version, ...]) -> bool:
        """Tell whether these, which were seen at this look, are not the ones that were read, and rest."""
        rests, self._before = now == self._before, now
        return rests and now != self._read

    def has_read(self, versions: tuple[Version, ...]) -> None:
        """Take down that these were read, with success or without: they are not read again before they change."""
        self._read = versions
