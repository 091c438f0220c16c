"""Follows accepted records as they are committed, by reading the open spools behind their workers' backs.

It takes no lock and asks nobody: a worker does not notice. What is shown was written; in the moment in which a disk
fails, that may include a group whose clients are then told 503.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apidanalytics.audit.masking import mask_record
from apidanalytics.errors import DamagedError, NewerFormatError
from apidanalytics.layout import DataDirectory
from apidanalytics.model import Entry
from apidanalytics.spool.segment import SegmentReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A record that was accepted."""

    tenant: str
    start_at: int
    record: dict[str, Any]
    """Masked."""


class Tail:
    """Looks for what was committed since the last look. ``close`` it at the end."""

    def __init__(self, data: DataDirectory, tenants: Collection[str]) -> None:
        """``tenants``: encoded names of those to follow; none: all."""
        self._data = data
        self._tenants = tenants
        self._readers: dict[int, SegmentReader] = {}
        self._unreadable: set[int] = set()

    def skip(self) -> None:
        """Pass over everything that is there already."""
        self._open_new()
        for reader in self._readers.values():
            for _ in reader.follow():
                pass

    def look(self) -> Iterator[Seen]:
        """Yield what is new."""
        found = self._open_new()
        for number, reader in list(self._readers.items()):
            for entry in reader.follow():
                if not self._tenants or entry.tenant in self._tenants:
                    yield from _records(reader, entry)
            if number not in found:  # packed and removed, and read to its end now
                reader.close()
                del self._readers[number]

    def close(self) -> None:
        """Close every file."""
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    def _open_new(self) -> set[int]:
        found = dict(self._data.spools())
        for number, path in found.items():
            if number not in self._readers and number not in self._unreadable:
                self._open(number, path)
        return set(found)

    def _open(self, number: int, path: Path) -> None:
        try:
            self._readers[number] = SegmentReader.open(path)
        except FileNotFoundError:
            pass  # it moved on; the next look finds it where it is then
        except (DamagedError, NewerFormatError):
            self._unreadable.add(number)


def _records(reader: SegmentReader, entry: Entry) -> Iterator[Seen]:
    try:
        lines = reader.read(entry)
    except DamagedError:
        return  # its worker's disk failed just now: nothing of it was accepted
    for line in lines.splitlines():
        yield Seen(tenant=entry.tenant, start_at=entry.start_at, record=mask_record(line))
