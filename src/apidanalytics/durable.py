"""The only ways in which this project makes a file appear, move or vanish for good.

A name on disk is durable once its directory was synced, a content once its file was. These functions do both, in
that order, so that no caller has to remember.
"""

import os
from collections.abc import Iterable
from pathlib import Path


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


def rename(source: Path, target: Path) -> None:
    """Move a synced file or directory, and make the move durable in both parents."""
    source.rename(target)
    sync_directory(target.parent)
    if source.parent != target.parent:
        sync_directory(source.parent)


def write(path: Path, content: bytes) -> None:
    """Replace the file at ``path`` by one with this content: after a crash it is the old one or the new one, whole."""
    part = path.with_name(path.name + ".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
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


def remove(path: Path) -> None:
    """Remove a file for good; one that is gone already is fine."""
    path.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directories(paths: Iterable[Path]) -> None:
    """Make the names in each of these directories durable, each once."""
    for path in dict.fromkeys(paths):
        sync_directory(path)
