"""The lines of a spool, file by file, and an account of those that cannot be read any more."""

from collections.abc import Iterator

from apidanalytics.errors import DamagedError
from apidanalytics.model import Damage, Entry
from apidanalytics.pack.index import Index
from apidanalytics.pack.plan import PlannedFile
from apidanalytics.pack.ports import SpoolReader


class Contents:
    """Reads the entries of planned files; an unreadable one is passed over and noted."""

    def __init__(self, reader: SpoolReader, index: Index) -> None:
        self._reader = reader
        self._index = index
        self.lost: list[Damage] = []
        """Where the unreadable entries lie."""
        self.lost_by_tenant: dict[str, tuple[int, int]] = {}
        """Records, and bytes of lines, in them."""

    def lines(self, file: PlannedFile) -> Iterator[bytes]:
        """Yield the lines of every entry of a file."""
        read = self._reader.read
        for entry in self._index.entries(file.key, file.part.first, file.part.entries):
            try:
                yield read(entry)
            except DamagedError as error:
                self._note(entry, error)

    def note_lost(self, file: PlannedFile) -> None:
        """Note what an earlier run, which ended before it could say so, left out of a file."""
        for _ in self.lines(file):
            pass

    def lost_of(self, tenant: str) -> tuple[int, int]:
        """Return how many records, and bytes of lines, of a tenant could not be read so far."""
        return self.lost_by_tenant.get(tenant, (0, 0))

    def _note(self, entry: Entry, error: DamagedError) -> None:
        self.lost.append(Damage(offset=entry.offset, length=entry.stored_bytes, reason=str(error)))
        records, size = self.lost_of(entry.tenant)
        self.lost_by_tenant[entry.tenant] = (records + entry.records, size + entry.bytes)
