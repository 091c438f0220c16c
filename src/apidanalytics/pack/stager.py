"""A group of planned files becomes staged files: those that the ledger does not know yet."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from apidanalytics import failpoints
from apidanalytics.model import StagedFile
from apidanalytics.pack.compress import write_gzip
from apidanalytics.pack.contents import Contents
from apidanalytics.pack.plan import PlannedFile
from apidanalytics.pack.ports import PackLedger
from apidanalytics.pack.publish import Publisher


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """How much was newly staged."""

    files: int = 0
    records: int = 0
    bytes: int = 0
    """Of lines."""

    @classmethod
    def of(cls, files: Sequence[StagedFile]) -> Self:
        """Count these files."""
        return cls(files=len(files), records=sum(f.records for f in files), bytes=sum(f.bytes for f in files))

    def __add__(self, other: "Staged") -> "Staged":
        return Staged(
            files=self.files + other.files, records=self.records + other.records, bytes=self.bytes + other.bytes
        )


NOTHING: Final = Staged()


class Stager:
    """Writes groups of files and publishes them."""

    def __init__(self, ledger: PackLedger, publisher: Publisher) -> None:
        self._ledger = ledger
        self._publisher = publisher

    def stage(self, group: Sequence[PlannedFile], contents: Contents) -> Staged:
        """Stage those files of a group that the ledger does not know.

        Raises:
            OSError: the disk refuses; no half-made file is left, and all of it may be done again.

        """
        known = self._known(group)
        wanted = [file for file in group if file not in known]
        for file, records in known.items():
            if records < file.part.records:
                contents.note_lost(file)
        try:
            made = [self._make(planned, contents) for planned in wanted]
            published = self._publisher.publish([file for file in made if file.records])
        except BaseException:
            self._publisher.discard(planned.name for planned in wanted)
            raise
        self._publisher.discard(file.name for file in made if not file.records)
        return Staged.of(published)

    def _known(self, group: Sequence[PlannedFile]) -> dict[PlannedFile, int]:
        """Return those that the ledger knows, with the records that it knows them to hold."""
        names: dict[str, list[str]] = {}
        for file in group:
            names.setdefault(file.directory, []).append(file.name)
        known = {directory: self._ledger.known(directory, same) for directory, same in names.items()}
        return {file: known[file.directory][file.name][0] for file in group if file.name in known[file.directory]}

    def _make(self, file: PlannedFile, contents: Contents) -> StagedFile:
        """Write the half-made file; what could not be read is not in it, and not in its counts."""
        failpoints.hit("pack.before_write")
        tenant, start_at = file.key
        records_before, bytes_before = contents.lost_of(tenant)
        written = write_gzip(self._publisher.part(file.name), contents.lines(file))
        records_after, bytes_after = contents.lost_of(tenant)
        return StagedFile(
            directory=file.directory,
            name=file.name,
            tenant=tenant,
            start_at=start_at,
            records=file.part.records - (records_after - records_before),
            bytes=file.part.bytes - (bytes_after - bytes_before),
            size_bytes=written.size_bytes,
            sha256=written.sha256,
            md5=written.md5,
            xxh3=written.xxh3,
        )
