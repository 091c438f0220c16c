"""The object store in a folder: ``<root>/<org>~<env>/date=.../time=.../<file>``.

An object appears whole and durable, or not at all: it is written to ``<root>/.part/``, synced, and renamed to its
key. Who lists the lake never sees a half-made object.
"""

import os
import secrets
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from apidanalytics import durable

MAX_SYNCED: Final = 10_000
"""Directories that are known to be durable; when there are more, they are synced anew as they are used."""

PARTS: Final = ".part"
"""The folder of what is being written."""


class ExistsError(Exception):
    """There is such an object already, and it is to stay."""


class Lake:
    """A folder of objects."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._written = 0
        self._synced: set[Path] = set()
        """Directories whose names are durable. Another thread, or a process that died, made the others."""
        self._session = secrets.token_hex(4)  # two servers on one folder must not write the same file

    def __repr__(self) -> str:
        return f"<Lake {self.root}>"

    def create(self) -> None:
        """Make the folder, and remove what was half-made when the process died."""
        parts = self.root / PARTS
        durable.make_directories(self.root)
        parts.mkdir(mode=0o700, exist_ok=True)
        for path in parts.iterdir():
            path.unlink()

    def begin(self, key: str, *, create_only: bool = False) -> "Writing":
        """Begin to write an object; from the event loop's thread, and without touching the disk."""
        self._written += 1
        part = self.root / PARTS / f"{self._session}-{self._written}.part"
        return Writing(self, key, part, create_only=create_only)

    def make_directories(self, directory: Path) -> None:
        """Make a directory below the root and those above it, durably, also those that are there."""
        if directory.is_dir() and (directory == self.root or directory in self._synced):
            return
        if directory != self.root:
            self.make_directories(directory.parent)
        self._synced.discard(directory)  # somebody removed it: until it is synced, others must not rely on it
        directory.mkdir(mode=0o700, exist_ok=True)
        durable.sync_directory(directory.parent)
        if len(self._synced) >= MAX_SYNCED:
            self._synced.clear()
        self._synced.add(directory)


class Writing:
    """An object being written. Every method blocks; left without ``publish``, nothing of it remains."""

    def __init__(self, lake: Lake, key: str, part: Path, *, create_only: bool) -> None:
        self._lake = lake
        self._create_only = create_only
        self._target = lake.root / key
        self._part = part
        self._descriptor = -1
        self._lock = threading.Lock()  # who gives up may do so while a thread still writes
        self.size_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.abandon()

    def write(self, piece: bytes) -> None:
        """Append."""
        with self._lock:
            self._write(piece)
        self.size_bytes += len(piece)

    def publish(self) -> None:
        """Make the object durable under its key; an older one is replaced at once.

        Raises:
            ExistsError: there is one, durable, and this write is create-only.
            OSError: the disk is full or failing, and the key is as it was.

        """
        with self._lock:
            os.fsync(self._descriptor)
            self._close()
            self._lake.make_directories(self._target.parent)
            self._appear()
            durable.sync_directory(self._target.parent)

    def abandon(self) -> None:
        """Remove what was not published; twice is fine."""
        with self._lock:
            self._close()
            with suppress(OSError):  # not there, or not to be had: what is left goes at the next start
                self._part.unlink()

    def _appear(self) -> None:
        if not self._create_only:
            self._part.rename(self._target)
            return
        try:
            os.link(self._part, self._target)  # unlike a rename, it never replaces
        except FileExistsError:
            # It may be from a write whose sync failed: who hears that it is there relies on it.
            durable.sync_directory(self._target.parent)
            raise ExistsError from None

    def _write(self, piece: bytes) -> None:
        if self._descriptor < 0:
            self._descriptor = durable.create(self._part)
        view = memoryview(piece)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
