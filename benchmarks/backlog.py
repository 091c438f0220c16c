"""What a file of a large backlog costs the uploader, beside one of a small: the sending itself left out."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from apidanalytics.layout import DataDirectory
from benchmarks import uploads
from benchmarks.service import directory

_BYTES: Final = 200
FEW: Final = 500
"""Files of the small backlog: fewer, and the start would be most of what is measured."""


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """A backlog, from opening the ledger to the last file settled."""

    files: int
    directories: int
    cpu_seconds: float
    peak_megabytes: float

    @property
    def microseconds(self) -> float:
        """CPU time per file."""
        return self.cpu_seconds / self.files * 1e6


def measure(below: Path, files: int) -> tuple[Backlog, Backlog]:
    """Measure a small backlog, and one of so many files, ten in a directory."""
    return _measure(below, FEW), _measure(below, files)


def _measure(below: Path, files: int) -> Backlog:
    with directory(below) as folder:
        data = DataDirectory(folder / "ax")
        data.root.mkdir()
        staged = uploads.stage(data, files, _BYTES, salt=0, in_directory=10)
        command = [sys.executable, "-m", "benchmarks.uploading", "nowhere", str(data.root), str(uploads.CONCURRENCY)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, input="")
        took = json.loads(done.stdout.splitlines()[-1])
        assert took["files"] == files, done.stdout
        return Backlog(
            files=files,
            directories=len({file.directory for file in staged}),
            cpu_seconds=took["cpu_seconds"],
            peak_megabytes=took["peak_megabytes"],
        )
