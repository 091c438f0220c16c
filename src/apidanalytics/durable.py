"""The only ways in which this project makes a file appear, move or vanish for good.

A name on disk is durable once its directory was synced, a content once its file was. These functions do both, in
that order, so that no caller has to remember.
"""

import contextlib
import errno
import filecmp
import os
import stat
from collections.abc import Iterable
from itertools import chain, count
from pathlib import Path


def is_plain_file(path: Path) -> bool:
    """Say whether a name stands for a file itself: no link, which could lead anywhere, no pipe, no directory."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def make_private_directory(path: Path) -> None:
    """Make a directory for this user only; one that is there already is fine.

    Raises:
        OSError: something else is there, such as a link to a directory, behind which nothing of ours belongs.

    """
    path.mkdir(mode=0o700, exist_ok=True)
    if path.is_symlink():
        raise NotADirectoryError(errno.ENOTDIR, f"{path} is a symbolic link, and is not followed: remove it")


def make_directories(path: Path, mode: int = 0o700) -> None:
    """Make a directory for this user only, and what is missing above it, for good; one that is there already is fine.

    Who may look into what is above it, the umask says.

    Raises:
        OSError: something else is there, or the disk refuses.

    """
    is_there = path.is_dir()
    if not is_there and path != path.parent:
        make_directories(path.parent, 0o777)
    path.mkdir(mode=mode, exist_ok=True)
    # Whoever made it before may have died before it was durable; but what it is in need not be ours to sync.
    with contextlib.suppress(OSError if is_there else PermissionError):
        sync_directory(path.parent)


def make_private(directory: Path) -> None:
    """Let nobody but this user into a directory, where it is ours to say."""
    if stat.S_IMODE(directory.stat().st_mode) & 0o077:
        try:
            directory.chmod(0o700)
        except OSError:
            pass  # a volume that is given to us by group only, or knows no modes


def sync_directory(path: Path) -> None:
    """Make the names in this directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make the content of this file durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_ended_file(path: Path) -> None:
    """Make the content of a file durable that nobody writes any more; see ``sync_ended``."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        sync_ended(descriptor)
    finally:
        os.close(descriptor)


def sync_ended(descriptor: int) -> None:
    """Make the content of an open file durable that nobody writes any more.

    What a failed sync could not write, Linux takes for written: the next sync would say that all is well. So after a
    failure the content is written once more in its place, and the next sync has all of it to do.
    """
    try:
        os.fsync(descriptor)
    except OSError:
        with contextlib.suppress(OSError):
            _write_again(descriptor, os.fstat(descriptor).st_size)
        raise


def write_again(path: Path, end: int) -> None:
    """Write a file's beginning once more in its place, up to byte ``end``, after a sync of it failed (``sync_ended``).

    Others may go on writing behind that; nobody may ever change what is before it.
    """
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _write_again(descriptor, end)
        finally:
            os.close(descriptor)


def _write_again(descriptor: int, end: int) -> None:
    at = 0
    while piece := os.pread(descriptor, min(1 << 20, end - at), at):
        at += os.pwrite(descriptor, piece, at)


def rename(source: Path, target: Path) -> None:
    """Move a synced file or directory, and make the move durable in both parents."""
    source.rename(target)
    sync_directory(target.parent)
    if source.parent != target.parent:
        sync_directory(source.parent)


def free_path(path: Path, source: Path) -> Path:
    """Return ``path``, with a number where that is taken: the first that is free, or has the content of ``source``."""
    names = chain([path], (path.with_name(f"{path.name}.{number}") for number in count(2)))
    return next(name for name in names if not name.exists() or _is_same(source, name))


def _is_same(one: Path, other: Path) -> bool:
    if one.samefile(other):
        return True
    try:
        return filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False  # what cannot be read may be anything


def write(path: Path, content: bytes) -> None:
    """Replace the file at ``path`` by one with this content: after a crash it is the old one or the new one, whole."""
    part = path.with_name(path.name + ".part")
    descriptor = create(part)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def create(path: Path) -> int:
    """Open a new file for this user only, in place of one of this name; a link is replaced, not followed."""
    path.unlink(missing_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def remove(path: Path) -> None:
    """Remove a file for good; one that is gone already is fine."""
    path.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directories(paths: Iterable[Path]) -> None:
    """Make the names in each of these directories durable, each once."""
    for path in dict.fromkeys(paths):
        sync_directory(path)
