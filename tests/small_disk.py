"""A file system of a few megabytes, which can really be full. It needs root."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(path: Path, megabytes: int) -> Iterator[Path]:
    """Mount it at this path, which is made; without the right to, the test is skipped, or fails where CI is set."""
    path.mkdir(parents=True, mode=0o700)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", path], check=False, capture_output=True, text=True
    )
    if mounted.returncode and os.environ.get("CI"):
        pytest.fail(f"cannot mount: {mounted.stderr}")
    if mounted.returncode:
        pytest.skip(f"needs the right to mount: {mounted.stderr}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)
