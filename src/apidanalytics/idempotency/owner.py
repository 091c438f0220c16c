"""Which workers live: each one that claims keys holds the lock of a file of its own, ``keys/<number>.worker``."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

SUFFIX: Final = ".worker"
_TRIES: Final = 5
"""Whoever buries the dead looks once in a second or two."""


class Owner:
    """A worker among those that claim keys, from ``enter`` until its process ends or it has left."""

    def __init__(self, number: int, path: Path, descriptor: int) -> None:
        self.number = number
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def enter(cls, directory: Path, number: int) -> Self:
        """Take the lock under a number never used before. It need not survive a power cut: the dead hold no locks.

        Raises:
            OSError: the disk refuses.

        """
        path = directory / f"{number:012x}{SUFFIX}"
        for _ in range(_TRIES - 1):
            with suppress(FileNotFoundError, BlockingIOError):  # who buries the dead looked before it was locked
                return cls(number, path, _make_locked(path))
        return cls(number, path, _make_locked(path))

    def leave(self) -> None:
        """Go, with nothing open."""
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def _make_locked(path: Path) -> int:
    new = path.with_name(path.name + ".new")
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        new.rename(path)  # who finds it under its name finds it locked
    except BaseException:
        new.unlink(missing_ok=True)
        os.close(descriptor)
        raise
    return descriptor


def is_alive(directory: Path, number: int) -> bool:
    """Tell whether the worker of this number still runs."""
    return _is_locked(directory / f"{number:012x}{SUFFIX}")


def bury_dead(directory: Path) -> Iterator[Path]:
    """Remove the files of workers that are gone, and yield them; one that was entering at this moment tries again."""
    for path in directory.glob(f"*{SUFFIX}*"):
        if not _is_locked(path):
            path.unlink(missing_ok=True)
            yield path


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
