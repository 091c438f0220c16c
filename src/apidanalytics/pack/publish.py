"""From half-made files in ``tmp/`` to staged ones, many at a time, so that the disk is asked to sync only twice.

::

    tmp/<file>.part --sync--> linked into staging/<directory>/ --sync directories--> ledger: staged

A crash at any point leaves each file in one of these places, with the same name and content. A file that exists is
never replaced: with the same content it was published before; with other content ours is set aside. One that is no
whole gzip file any more is set aside itself.
"""

import errno
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Final

from apidanalytics import durable, failpoints
from apidanalytics.layout import DataDirectory
from apidanalytics.model import StagedFile
from apidanalytics.pack.aside import Aside, Why
from apidanalytics.pack.compress import describe, is_whole, same_lines

SYNC_THREADS: Final = 8
"""Syncs that wait for the disk at once: 500 small files take 0.1 ms each instead of 0.4 one by one."""

_ATTEMPTS: Final = 5


class Publisher:
    """Moves finished half-made files into ``staging/`` and tells the ledger."""

    def __init__(self, data: DataDirectory, aside: Aside, register: Callable[[Sequence[StagedFile]], None]) -> None:
        """Join the parts; ``register`` tells the ledger of files that are published, in one transaction."""
        self._data = data
        self._aside = aside
        self._register = register

    def part(self, name: str) -> Path:
        """Return where the half-made file of this name is written."""
        return self._data.tmp / f"{name}.part"

    def publish(self, files: Sequence[StagedFile]) -> list[StagedFile]:
        """Make these half-made files durable, visible and known, and return those that are.

        Raises:
            OSError: the disk refuses. Doing it all again is safe.

        """
        _sync_all([self.part(file.name) for file in files], durable.sync_file)
        published = [file for file in map(self._publish, files) if file is not None]
        staging = self._data.staging
        _sync_all([staging, *{staging / file.directory for file in published}], durable.sync_directory)
        failpoints.hit("pack.after_publish")
        failpoints.hit("pack.before_ledger")
        if published:
            self._register(published)
        failpoints.hit("pack.after_ledger")
        return published

    def discard(self, names: Iterable[str]) -> None:
        """Remove the half-made files of these names, as far as there are any."""
        for name in names:
            self.part(name).unlink(missing_ok=True)

    def _publish(self, file: StagedFile) -> StagedFile | None:
        failpoints.hit("pack.before_publish")
        part = self.part(file.name)
        target = self._data.staging / file.directory / file.name
        if _link(part, target):
            part.unlink()
            return file
        if same_lines(part, target):
            part.unlink()
            found = describe(target)
            return replace(file, size_bytes=found.size_bytes, sha256=found.sha256, md5=found.md5, xxh3=found.xxh3)
        if self._takes_place_of_damaged(file, target):
            part.unlink()
            return file
        reason = f"staging/{file.directory} has a file of this name with other content"
        self._aside.move(part, Why(reason=reason, amounts={file.tenant: (file.records, file.bytes)}), name=file.name)
        return None

    def _takes_place_of_damaged(self, file: StagedFile, target: Path) -> bool:
        """Publish ours where what stands there was damaged since it was published; that is set aside."""
        if is_whole(target):
            return False
        reason = "damaged after it was published; it was made again from its spool"
        self._aside.move(target, Why(reason=reason, amounts={file.tenant: (0, 0)}))
        return _link(self.part(file.name), target)


def _link(part: Path, target: Path) -> bool:
    """Give the half-made file its name; False when that name is taken."""
    for _ in range(_ATTEMPTS):
        try:
            durable.make_private_directory(target.parent)
        except FileExistsError:
            continue  # it was there, and the uploader removed it before it could be seen to be a directory
        try:
            os.link(part, target)
        except FileExistsError:
            return False
        except FileNotFoundError:
            continue  # the directory was empty until now, and the uploader has just removed it
        return True
    raise FileNotFoundError(errno.ENOENT, "the directory vanishes as soon as it is made", str(target.parent))


def _sync_all(paths: Sequence[Path], sync: Callable[[Path], None]) -> None:
    if len(paths) <= 2:
        _sync_each(paths, sync)
        return
    shares = [paths[first::SYNC_THREADS] for first in range(min(SYNC_THREADS, len(paths)))]
    with ThreadPoolExecutor(len(shares), thread_name_prefix="pack-sync") as threads:
        # Consuming the results raises what a sync raised.
        for _ in threads.map(_sync_each, shares, repeat(sync)):
            pass


def _sync_each(paths: Sequence[Path], sync: Callable[[Path], None]) -> None:
    for path in paths:
        sync(path)
