"""The two directories of files to deliver, ``staging/`` and ``failed/``, and every way a file moves in them.

One thread at a time moves files here; several may discard some beside each other, and packing adds files to
``staging/`` meanwhile. What makes that safe:

* a bucket directory is removed by ``rmdir`` only, which fails while anything is in it;
* who puts a file into a bucket directory makes the directory first, and makes it again when it vanished in between.

Files move one by one, and a move is durable before this module says that it happened.
"""

import errno
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import structlog

from apidanalytics import durable
from apidanalytics.layout import DataDirectory
from apidanalytics.outgoing.trouble import os_reason
from apidanalytics.upload.states import State

log = structlog.get_logger()

_STANDS_IN_THE_WAY: Final = {errno.EACCES, errno.EPERM, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP}

FileKey = tuple[str, str]
"""Bucket directory and file name."""


def is_of_this_directory(error: OSError) -> bool:
    """Tell what is wrong with one bucket directory (another user's, no directory) from a disk that is full or fails.

    The first does not pass by itself, and concerns no other directory.
    """
    return error.errno in _STANDS_IN_THE_WAY


def say_stuck(directory: str, error: OSError) -> None:
    """Log such a directory."""
    hint = "its files wait, all others are delivered: whose is it? a command that was run as root may have made it"
    log.warning("upload.directory_stuck", directory=directory, reason=os_reason(error), hint=hint)


class Shelves:
    """The files of one data directory that wait to be delivered."""

    def __init__(self, data: DataDirectory) -> None:
        self._roots = {State.STAGED: data.staging, State.FAILED: data.failed}
        self._texts = {state: str(root) for state, root in self._roots.items()}
        self._damaged = data.damaged

    def path(self, key: FileKey, state: State = State.STAGED) -> Path:
        """Return where a file stands in a state."""
        return self._roots[state] / key[0] / key[1]

    def path_of(self, key: FileKey) -> str:
        """Return where a staged file stands, as text: it is asked for every file, and a ``Path`` costs more to make."""
        return f"{self._texts[State.STAGED]}/{key[0]}/{key[1]}"

    def directories(self) -> dict[str, list[State]]:
        """Return the names of all bucket directories, and in which of the two each one is."""
        found: dict[str, list[State]] = {}
        for state, root in self._texts.items():
            for entry in os.scandir(root):
                if entry.is_dir():
                    found.setdefault(entry.name, []).append(state)
        return found

    def names(self, directory: str, state: State) -> set[str]:
        """Return the names of the files in a bucket directory; none when it is not there."""
        try:
            return {entry.name for entry in os.scandir(f"{self._texts[state]}/{directory}") if entry.is_file()}
        except FileNotFoundError:
            return set()

    def where(self, key: FileKey) -> State | None:
        """Tell in which of the two a file stands."""
        return next((state for state in self._roots if self.path(key, state).exists()), None)

    def discard(self, key: FileKey, state: State = State.STAGED) -> None:
        """Remove a delivered file, and its directory when that is empty now.

        Not made durable: what comes back after a power cut is known to the ledger, and removed at the next start.
        """
        directory = f"{self._texts[state]}/{key[0]}"
        with suppress(FileNotFoundError):
            os.unlink(f"{directory}/{key[1]}")  # noqa: PTH108 - without a ``Path``, as above
        _remove_if_empty(directory)

    def can_discard(self, directory: str, state: State) -> bool:
        """Tell whether files may be removed from a bucket directory, as far as rights tell; there need be none."""
        path = f"{self._texts[state]}/{directory}"
        return os.access(path, os.W_OK | os.X_OK) or not os.path.lexists(path)

    def remove_if_empty(self, directory: str) -> None:
        """Remove a bucket directory where nothing is in it."""
        for root in self._roots.values():
            _remove_if_empty(root / directory)

    def fail(self, keys: Sequence[FileKey]) -> None:
        """Move files from ``staging/`` to ``failed/``; one that is not there (any more) is passed over."""
        self._move(keys, State.STAGED, State.FAILED)

    def revive(self, keys: Sequence[FileKey]) -> None:
        """Move files from ``failed/`` to ``staging/``; one that is not there (any more) is passed over."""
        self._move(keys, State.FAILED, State.STAGED)

    def set_aside(self, key: FileKey, state: State, reason: str) -> None:
        """Move a file that must not be delivered to ``damaged/``, with the reason beside it; none there is replaced."""
        path = self.path(key, state)
        note = {"reason": reason, "was": f"{path.parent.parent.name}/{key[0]}/{key[1]}"}
        target = durable.free_path(self._damaged / key[1], path)
        durable.write(target.with_name(f"{target.name}.reason.json"), msgspec.json.encode(note))
        durable.rename(path, target)
        _remove_if_empty(path.parent)

    def _move(self, keys: Sequence[FileKey], source: State, target: State) -> None:
        for key in keys:
            _rename(self.path(key, source), self.path(key, target))
        directories = dict.fromkeys(directory for directory, _ in keys)
        self._sync(target, directories)
        for directory in directories:
            _remove_if_empty(self._roots[source] / directory)
        self._sync(source, directories)

    def _sync(self, state: State, directories: Iterable[str]) -> None:
        for directory in directories:
            try:
                durable.sync_directory(self._roots[state] / directory)
            except FileNotFoundError:
                pass  # it was empty and is gone; its parent is synced below
        durable.sync_directory(self._roots[state])


def _rename(source: Path, target: Path) -> None:
    durable.make_private_directory(target.parent)
    try:
        source.rename(target)
    except FileNotFoundError:
        pass  # an earlier try moved it: the caller repeats what a crash or an error interrupted


def _remove_if_empty(directory: Path | str) -> None:
    try:
        os.rmdir(directory)  # noqa: PTH106 - without a ``Path``, as above
    except OSError:
        pass  # not empty, or gone already
