"""The versions on disk: one directory for each snapshot, made whole or not at all.

::

    <local_storage_path>/apigeesync/
      <n>_<txid>/scopes.db     one version (``build``); n is counted up, so the same snapshot twice is two versions
      <n>_<txid>/keys.i64      its API keys (``known_keys``)
      next.part/               being downloaded or made, worth nothing after a crash
      state.json               which version counts, and of which cluster

What else stands in the directory is left alone.
"""

import re
import shutil
import sqlite3
import threading
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from apidanalytics import durable, failpoints
from apidanalytics.apigeesync.build import Snapshot, check, prepare
from apidanalytics.apigeesync.database import VersionFile

if TYPE_CHECKING:
    from apidanalytics.apigeesync.client import Downloaded

FORMAT: Final = 1
FILE_NAME: Final = "scopes.db"
MAX_TXID: Final = 120
"""Characters of a snapshot's name in that of its directory; the file has all of them."""
_VERSION: Final = re.compile(r"([0-9]{1,15})_[0-9:,]{1,120}")
_log: Final = structlog.get_logger()


class _State(msgspec.Struct, kw_only=True):
    format: int
    cluster_id: str
    version: str


class VersionStore:
    """Owns the directory; there is one owner at a time. Blocking."""

    def __init__(self, directory: Path, cluster_id: str) -> None:
        """Make the directory, and sweep away what an earlier process left there."""
        self._directory = directory
        self.cluster_id = cluster_id
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = read_state(directory)
        self.is_new = state is None or state.cluster_id != cluster_id
        self.current = "" if self.is_new or state is None else state.version
        self._next = ""
        self._publishing = threading.Lock()
        shutil.rmtree(self.part, ignore_errors=True)
        self.remove_old(())

    def __repr__(self) -> str:
        return f"<VersionStore {self._directory} current={self.current}>"

    @property
    def part(self) -> Path:
        """Where the next version is made."""
        return self._directory / "next.part"

    def clear_part(self) -> Path:
        """Return where to download to, in a directory that is empty."""
        shutil.rmtree(self.part, ignore_errors=True)
        self.part.mkdir(mode=0o700)
        return self.part / FILE_NAME

    def path(self, version: str) -> Path:
        """Return where the file of a version is."""
        return self._directory / version / FILE_NAME

    def open_current(self) -> VersionFile | None:
        """Return the version that counts, if it is there and can be opened."""
        if not self.current:
            return None
        try:
            return VersionFile(self.path(self.current), self.cluster_id)
        except (sqlite3.Error, ValueError, KeyError) as error:
            hint = "a new snapshot is asked for; until it is there, batches get 500"
            reason = f"{type(error).__name__}: {error}"
            _log.warning("sync.version_unusable", version=self.current, reason=reason, hint=hint)
            return None

    def check(self, downloaded: "Downloaded") -> Snapshot:
        """Return what a downloaded snapshot says of itself.

        Raises:
            SyncError: it is not what it should be.

        """
        return check(downloaded.path, downloaded.txid, cluster_id=self.cluster_id)

    def adopt(self, downloaded: "Downloaded", snapshot: Snapshot, taken_at: float) -> VersionFile:
        """Make a version of a checked snapshot and put it in its place, durably. It does not count before ``settle``.

        Raises:
            SyncError: the snapshot is not what it should be.
            OSError, sqlite3.Error: it cannot be written. Nothing has changed in either case.

        """
        prepare(downloaded.path, snapshot, {"taken_at": repr(taken_at)}, is_verified=downloaded.is_verified)
        version = f"{self._next_number()}_{snapshot.txid[:MAX_TXID]}"
        for path in self.part.iterdir():
            durable.sync_file(path)
        durable.sync_directory(self.part)
        failpoints.hit("sync.before_publish")
        with self._publishing:  # or it would look like one that nobody reads
            durable.rename(self.part, self._directory / version)
            self._next = version
        return VersionFile(self.path(version), self.cluster_id)

    def settle(self, file: VersionFile) -> None:
        """Make a version the one that counts, durably.

        Raises:
            OSError: that cannot be written; the one before counts.

        """
        failpoints.hit("sync.before_state")
        with self._publishing:
            state = _State(format=FORMAT, cluster_id=self.cluster_id, version=file.version)
            durable.write(self._directory / "state.json", msgspec.json.encode(state))
            self.current, self._next, self.is_new = file.version, "", False
        failpoints.hit("sync.after_publish")

    def remove_old(self, in_use: Collection[str]) -> None:
        """Remove all versions but the current one, the next one, and these, which workers may still read."""
        with self._publishing:
            kept = {self.current, self._next, *in_use}
            for path in self._directory.iterdir():
                if _VERSION.fullmatch(path.name) and path.name not in kept:
                    failpoints.hit("sync.before_remove")
                    shutil.rmtree(path, ignore_errors=True)
                    failpoints.hit("sync.after_remove")

    def _next_number(self) -> int:
        names = [path.name for path in self._directory.iterdir()]
        return 1 + max((int(match[1]) for name in names if (match := _VERSION.fullmatch(name))), default=0)


def read_state(directory: Path) -> _State | None:
    """Return what the directory of an agent, running or not, says of its current version."""
    try:
        state = msgspec.json.decode((directory / "state.json").read_bytes(), type=_State)
    except (OSError, msgspec.MsgspecError):
        return None
    return state if state.format == FORMAT and _VERSION.fullmatch(state.version) else None
