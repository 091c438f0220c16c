"""How many bytes each tenant has in spools, counted as the spools grow. Only needed where tenants have a limit."""

from pathlib import Path

from apidanalytics.errors import DamagedError, NewerFormatError
from apidanalytics.layout import DataDirectory, SpoolName
from apidanalytics.service.status import spool_files
from apidanalytics.spool.segment import SegmentReader


class SpoolShares:
    """Follows every spool until it is packed. One thread uses it; it reads each byte of a spool once."""

    def __init__(self, data: DataDirectory) -> None:
        self._data = data
        self._readers: dict[int, SegmentReader] = {}
        self._bytes: dict[int, dict[str, int]] = {}

    def measure(self) -> dict[str, int]:
        """Return the bytes by tenant, as they are stored."""
        present = self._follow_all()
        for number in self._bytes.keys() - present:
            del self._bytes[number]
            if number in self._readers:
                self._readers.pop(number).close()
        total: dict[str, int] = {}
        for amounts in self._bytes.values():
            for tenant, size in amounts.items():
                total[tenant] = total.get(tenant, 0) + size
        return total

    def close(self) -> None:
        """Close every file."""
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    def _follow_all(self) -> set[int]:
        present: set[int] = set()
        for path in spool_files(self._data):
            try:
                number = SpoolName.parse(path.name).number
            except ValueError:
                continue  # not ours
            present.add(number)
            self._follow(number, path)
        return present

    def _follow(self, number: int, path: Path) -> None:
        if number not in self._bytes:
            try:
                self._readers[number] = SegmentReader.open(path)
            except FileNotFoundError:
                return  # it moved on
            except (DamagedError, NewerFormatError):
                pass  # nobody can tell whose it is
            self._bytes[number] = {}
        reader, amounts = self._readers.get(number), self._bytes[number]
        for entry in reader.follow() if reader is not None else ():
            amounts[entry.tenant] = amounts.get(entry.tenant, 0) + entry.stored_bytes
