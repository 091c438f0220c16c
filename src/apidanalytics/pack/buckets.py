"""Bucket directories and the files in them, as found on disk: whoever made them, as long as their names parse."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from apidanalytics.layout import BucketName, FileName
from apidanalytics.model import StagedFile
from apidanalytics.pack.compress import Written
from apidanalytics.pack.salvage import Salvage
from apidanalytics.pack.strangers import Strangers


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket directory."""

    path: Path
    name: BucketName

    @classmethod
    def at(cls, path: Path) -> Self | None:
        """Return the bucket at this path; None when it is no directory of such a name."""
        try:
            name = BucketName.parse(path.name)
        except ValueError:
            return None
        return cls(path, name) if path.is_dir() and not path.is_symlink() else None

    def files(self, strangers: Strangers) -> dict[str, FileName]:
        """Return the files whose names parse, by name; others are reported."""
        found: dict[str, FileName] = {}
        for entry in sorted(self.path.iterdir()):
            name = _parse_file(entry)
            if name is None:
                strangers.report(entry)
            else:
                found[entry.name] = name
        return found

    def staged(self, name: str, content: Salvage, written: Written) -> StagedFile:
        """Describe a file of this bucket whose content was read."""
        return StagedFile(
            directory=self.path.name,
            name=name,
            tenant=self.name.tenant,
            start_at=self.name.start_at,
            records=content.records,
            bytes=content.bytes,
            size_bytes=written.size_bytes,
            sha256=written.sha256,
            md5=written.md5,
            xxh3=written.xxh3,
        )

    def remove_if_empty(self) -> None:
        """Remove the directory unless there is something in it."""
        try:
            self.path.rmdir()
        except OSError:
            return  # what is still in it needs it


def _parse_file(path: Path) -> FileName | None:
    try:
        name = FileName.parse(path.name)
    except ValueError:
        return None
    return name if path.is_file() and not path.is_symlink() else None


def buckets(place: Path, strangers: Strangers) -> Iterator[Bucket]:
    """Yield the bucket directories in ``staging/`` or ``failed/``; anything else is reported."""
    for path in sorted(place.iterdir()):
        bucket = Bucket.at(path)
        if bucket is None:
            strangers.report(path)
        else:
            yield bucket
