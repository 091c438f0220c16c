"""Read a lake back: ``<lake>/<org>~<env>/date=<yyyy-MM-dd>/time=<HH-mm>/<file>.txt.gz``.

A reader of its own, with gzip from the standard library: whoever opens the lake must be able to read it so.
"""

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from apidanalytics import layout


class UnreadableError(Exception):
    """An object in the lake is not what every object there must be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LakeFile:
    """One object of the lake."""

    lake: Path
    path: Path

    @property
    def tenant(self) -> str:
        """The tenant under whose prefix it lies, percent-encoded."""
        return self.path.relative_to(self.lake).parts[0]

    @property
    def size_bytes(self) -> int:
        """Length of the gzip file."""
        return self.path.stat().st_size

    def lines(self) -> Iterator[bytes]:
        """Yield each line without its line feed.

        Raises:
            UnreadableError: it is no valid gzip file, its last line is torn, or it does not lie where its name says.

        """
        self._check_place()
        try:
            with gzip.open(self.path) as file:
                for line in file:
                    if not line.endswith(b"\n"):
                        raise UnreadableError(f"the last line is torn after {len(line)} bytes")
                    yield line[:-1]
        except (OSError, EOFError, zlib.error) as error:
            raise UnreadableError(f"not a valid gzip file: {error}") from error

    def _check_place(self) -> None:
        try:
            name = layout.FileName.parse(self.path.name)
        except ValueError as error:
            raise UnreadableError(str(error)) from error
        place = f"{self.tenant}/{layout.format_object_path(self.path.name, name.start_at)}"
        if self.path != self.lake / place:
            raise UnreadableError(f"its name says it belongs at {place}")


def files(lake: Path) -> list[LakeFile]:
    """Return every file below the lake, in the order of their paths; what is half-made, hidden by a dot, aside."""
    paths = sorted(path for path in lake.glob("[!.]*/**/[!.]*") if path.is_file())
    return [LakeFile(lake=lake, path=path) for path in paths]


class LineCount:
    """Counts the lines of a growing lake, each object once: what a progress display needs."""

    def __init__(self, lake: Path) -> None:
        self._lake = lake
        self._lines: dict[Path, int] = {}
        self._tenants: dict[str, int] = {}

    def look(self) -> dict[str, int]:
        """Return tenant -> lines by now. One that cannot be read counts nothing: the comparison will say so."""
        for file in files(self._lake) if self._lake.is_dir() else ():
            if file.path not in self._lines:
                self._lines[file.path] = self._count(file)
                self._tenants[file.tenant] = self._tenants.get(file.tenant, 0) + self._lines[file.path]
        return dict(self._tenants)

    @staticmethod
    def _count(file: LakeFile) -> int:
        try:
            return sum(1 for _ in file.lines())
        except UnreadableError:
            return 0
