"""The versions of the scope data on disk: made whole or not at all, and removed when nobody reads them.

::

    <local_storage_path>/scopes/
      <version>/scopes.db      one version; 16 hex digits of its SHA-256, so the same data is the same version
      <version>/keys.i64       made from it: which API keys there are (``known_keys``)
      next.part/               being made, worth nothing after a crash
      current.json             which version counts, and what it was made from

A version never changes. What else stands in the directory is left alone.
"""

import hashlib
import re
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

import msgspec

from apidanalytics import durable

FORMAT: Final = 2
"""Of the versions and of ``current.json``: another one is not taken up at start, but made anew."""

_VERSION: Final = re.compile(r"[0-9a-f]{16}")


class _Current(msgspec.Struct, kw_only=True):
    format: int
    version: str
    source: str


def read_current(directory: Path) -> tuple[str, str, Path] | None:
    """Return the version that counts, what it was made from, and where it is: for a reader, who changes nothing."""
    try:
        current = msgspec.json.decode((directory / "current.json").read_bytes(), type=_Current)
    except (OSError, msgspec.DecodeError):
        return None
    if not _VERSION.fullmatch(current.version):
        return None
    return current.version, current.source, directory / current.version / "scopes.db"


class Versions:
    """Owns the directory; there is one owner at a time."""

    def __init__(self, directory: Path, source: str) -> None:
        """Make the directory, and sweep away what an earlier process left there.

        ``source`` says what the versions are made from; the version that counted last is kept if it is of the same.
        """
        self._directory = directory
        self._source = source
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.current = self._read_current()
        self.retain(())

    def __repr__(self) -> str:
        return f"<Versions {self._directory} current={self.current}>"

    def path(self, version: str) -> Path:
        """Return where the file of this version is."""
        return self._directory / version / "scopes.db"

    def publish(self, build: Callable[[Path], None]) -> str:
        """Have the next version written to a path, put it in its place, durably, and make it the current one.

        The same content as an earlier version, still there, is that version again. What ``build`` raises is passed
        on, and nothing has changed then.
        """
        part = self._part()
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(mode=0o700)
        try:
            build(part / "scopes.db")
            version = self._settle(part)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        self._write_current(version)
        return version

    def retain(self, in_use: Collection[str]) -> None:
        """Remove all versions but the current one and these, and what was left half made."""
        shutil.rmtree(self._part(), ignore_errors=True)
        for path in self._directory.iterdir():
            if _VERSION.fullmatch(path.name) and path.name != self.current and path.name not in in_use:
                shutil.rmtree(path, ignore_errors=True)

    def _part(self) -> Path:
        return self._directory / "next.part"

    def _settle(self, part: Path) -> str:
        version = _digest(part / "scopes.db")
        if not self._is_whole(version):
            shutil.rmtree(self._directory / version, ignore_errors=True)
            for path in part.iterdir():
                durable.sync_file(path)
            durable.sync_directory(part)
            durable.rename(part, self._directory / version)
        return version

    def _read_current(self) -> str | None:
        try:
            current = msgspec.json.decode((self._directory / "current.json").read_bytes(), type=_Current)
        except (OSError, msgspec.DecodeError):  # lost or never there: the next version is made anew
            return None
        is_ours = current.format == FORMAT and current.source == self._source
        return current.version if is_ours and self._is_whole(current.version) else None

    def _is_whole(self, version: str) -> bool:
        """Return whether this version is there and is what its name says."""
        try:
            return bool(_VERSION.fullmatch(version)) and _digest(self.path(version)) == version
        except OSError:
            return False

    def _write_current(self, version: str) -> None:
        if version != self.current:
            current = _Current(format=FORMAT, version=version, source=self._source)
            durable.write(self._directory / "current.json", msgspec.json.encode(current))
            self.current = version


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
