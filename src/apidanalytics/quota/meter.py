"""Measures what the data directory takes, without walking through it.

``staging/`` and ``failed/``, which may hold a hundred thousand files, are counted as they change, by the ledger. The
rest is a few files, whose sizes are asked for.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from apidanalytics.layout import DataDirectory
from apidanalytics.quota.decide import Usage

_BLOCK: Final = 512
_COUNTED_BY_THE_LEDGER: Final = ("staging", "failed")
_SPOOLS: Final = ("tmp", "sealed", "recovered")


class Meter:
    """Measures one data directory. Its calls wait for the disk, and for the ledger."""

    def __init__(
        self,
        data: DataDirectory,
        files_by_tenant: Callable[[], Mapping[str, int]],
        spooled_by_tenant: Callable[[], Mapping[str, int]],
    ) -> None:
        self._data = data
        self._files_by_tenant = files_by_tenant
        self._spooled_by_tenant = spooled_by_tenant

    def measure(self) -> Usage:
        """Return what is used now.

        Raises:
            OSError, sqlite3.Error: the disk is failing.

        """
        files = self._files_by_tenant()
        spooled, others = _sizes(self._data.root)
        disk = os.statvfs(self._data.root)
        return Usage(
            used_bytes=spooled + others + sum(files.values()),
            spooled_bytes=spooled,
            free_bytes=disk.f_bavail * disk.f_frsize,
            files_by_tenant=files,
            spooled_by_tenant=self._spooled_by_tenant(),
        )


def _sizes(root: Path) -> tuple[int, int]:
    """Return the bytes of spools, and of everything else but staged and failed files."""
    spooled = others = 0
    for entry in _scan(root):
        if not entry.is_dir(follow_symlinks=False):
            others += _size(entry)
        elif entry.name in _SPOOLS:
            for file in _scan(entry.path):
                if file.name.endswith(".spool"):
                    spooled += _size(file)
                else:
                    others += _size(file)
        elif entry.name not in _COUNTED_BY_THE_LEDGER:
            others += sum(_size(file) for file in _scan(entry.path))
    return spooled, others


def _scan(path: Path | str) -> Iterable["os.DirEntry[str]"]:
    with os.scandir(path) as entries:
        return list(entries)


def _size(entry: "os.DirEntry[str]") -> int:
    try:
        return entry.stat(follow_symlinks=False).st_blocks * _BLOCK
    except FileNotFoundError:
        return 0  # it moved on
