"""Counts what spools hold while they grow: each look reads only the frames that came since the last one.

For a status, never for packing: it trusts what it sees.
"""

import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from apidanalytics.spool.frame import COUNTS, GROUP, HEAD, HEAD_BYTES, KEYED, MAGIC, parse_table
from apidanalytics.spool.segment import SegmentReader

_GLANCE_BYTES: Final = 512
"""Enough for the head and the table of a group of a few tenants: one read a frame."""


@dataclass(slots=True)
class Content:
    """What was seen of one spool so far."""

    tenants: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Records, and bytes of their lines."""
    records: int = 0
    line_bytes: int = 0
    oldest_start_at: int | None = None
    position: int = 0
    """Where the next frame begins."""

    def _add(self, tenant: str, records: int, size: int, start_at: int) -> None:
        known_records, known_size = self.tenants.get(tenant, (0, 0))
        self.tenants[tenant] = (known_records + records, known_size + size)
        self.records += records
        self.line_bytes += size
        if self.oldest_start_at is None or start_at < self.oldest_start_at:
            self.oldest_start_at = start_at

    def advance(self, descriptor: int) -> None:
        """Count the whole frames behind ``position``."""
        size = os.fstat(descriptor).st_size
        while self.position + HEAD_BYTES <= size:
            glance = os.pread(descriptor, _GLANCE_BYTES, self.position)
            magic, kind, length, _ = HEAD.unpack_from(glance)
            end = self.position + HEAD_BYTES + length
            if magic != MAGIC or end > size:
                return
            if kind in (GROUP, KEYED) and not self._count(descriptor, glance, kind):
                return
            self.position = end

    def _count(self, descriptor: int, glance: bytes, kind: int) -> bool:
        """Count a group; False: it is being written into room of the file, and its table is not there yet."""
        body = HEAD_BYTES
        if kind == KEYED:
            body += COUNTS.size + COUNTS.unpack_from(glance, body)[1]
        counts = self._bytes(descriptor, glance, body, COUNTS.size)
        number, table_length = COUNTS.unpack(counts)
        for entry in parse_table(self._bytes(descriptor, glance, body + COUNTS.size, table_length), number, 0):
            self._add(entry.tenant, entry.records, entry.bytes, entry.start_at)
        return bool(number)

    def _bytes(self, descriptor: int, glance: bytes, start: int, length: int) -> bytes:
        """Return bytes of the frame, from the glance if they are in it."""
        if start + length <= len(glance):
            return glance[start : start + length]
        return os.pread(descriptor, length, self.position + start)


class SpoolCounts:
    """Remembers what was counted, by spool number. One thread at a time may look."""

    def __init__(self) -> None:
        self._known: dict[int, Content] = {}

    def __repr__(self) -> str:
        return f"<SpoolCounts of {len(self._known)} spools>"

    def look(self, spools: Iterable[tuple[int, Path]]) -> dict[int, Content]:
        """Return the content of each of these spools, and forget all others.

        A spool that cannot be read, or was packed and removed meanwhile, holds nothing.
        """
        self._known = {number: self._look(number, path) for number, path in spools}
        return dict(self._known)

    def _look(self, number: int, path: Path) -> Content:
        content = self._known.get(number) or Content()
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return content
        try:
            if os.fstat(descriptor).st_size < content.position:
                content = Content()  # a refused write was cut off again
            content.advance(descriptor)
        except (OSError, ValueError, struct.error):
            return content
        finally:
            os.close(descriptor)
        return content


def count_records(path: Path) -> dict[str, tuple[int, int]]:
    """Return (records, bytes of lines) by tenant of a spool, without reading its chunks.

    It trusts what it sees. A spool that cannot be read, or was packed and removed meanwhile, counts nothing.
    """
    totals: dict[str, tuple[int, int]] = {}
    try:
        with SegmentReader(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)) as reader:
            for entry in reader.skim():
                records, size = totals.get(entry.tenant, (0, 0))
                totals[entry.tenant] = (records + entry.records, size + entry.bytes)
    except (OSError, ValueError, struct.error):
        return {}
    return totals
