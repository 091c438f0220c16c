"""How many bytes each tenant has in spools, counted as the spools grow. Only needed where tenants have a limit."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from apidanalytics.errors import DamagedError, NewerFormatError
from apidanalytics.layout import DataDirectory
from apidanalytics.spool.segment import SegmentReader


@dataclass(slots=True)
class _Seen:
    """What was seen of one spool so far."""

    tenants: Counter[str] = field(default_factory=Counter)
    position: int = 0
    is_whole: bool = False
    """It was sealed already when it was read: there is nothing more to come."""


class SpoolShares:
    """Follows every spool until it is packed. One thread uses it; it reads each byte once, and keeps no file open."""

    def __init__(self, data: DataDirectory) -> None:
        self._data = data
        self._seen: dict[int, _Seen] = {}

    def measure(self) -> dict[str, int]:
        """Return the bytes by tenant, as they are stored. Nobody can tell whose a spool is that cannot be read."""
        present = self._follow_all()
        self._seen = {number: seen for number, seen in self._seen.items() if number in present}
        total: Counter[str] = Counter()
        for seen in self._seen.values():
            total.update(seen.tenants)
        return dict(total)

    def _follow_all(self) -> set[int]:
        present: set[int] = set()
        for number, path in self._data.spools():
            present.add(number)
            seen = self._seen.setdefault(number, _Seen())
            if not seen.is_whole:
                _follow(path, seen, is_open=path.parent == self._data.tmp)
        return present


def _follow(path: Path, seen: _Seen, *, is_open: bool) -> None:
    try:
        with SegmentReader.open(path) as reader:
            reader.followed = seen.position
            try:
                for entry in reader.follow():
                    seen.tenants[entry.tenant] += entry.stored_bytes
            finally:
                seen.position = reader.followed  # what was counted is not counted again
        seen.is_whole = not is_open
    except OSError:
        return  # it moved on, or packing says what is wrong with it
    except (DamagedError, NewerFormatError):
        seen.is_whole = True
