"""Which files a spool becomes, decided from its entries alone: the same spool always gives the same names."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from apidanalytics import layout
from apidanalytics.layout import BucketName, FileName
from apidanalytics.model import SpoolHeader
from apidanalytics.pack.index import Index, Key, Size


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A run of entries of one tenant and start that become one file."""

    first: int
    """Number of its first entry in the index."""
    entries: int
    records: int
    bytes: int
    """Length of the lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFile:
    """A file to be made: its name, and which entries go into it."""

    directory: str
    name: str
    key: Key
    part: Part


def plan(index: Index, header: SpoolHeader, recovered: str | None) -> Iterator[PlannedFile]:
    """Yield every file of a spool, ordered by tenant, start and part.

    ``recovered`` is the recovery time in the spool's own name; it marks the directory and the file.
    """
    n = header.number * layout.FILES_PER_SPOOL
    for key in index.chains():
        tenant, start_at = key
        directory = str(BucketName(tenant=tenant, start_at=start_at, recovered=recovered))
        for number, part in enumerate(cut(index.sizes(key), header.max_file_bytes)):
            name = FileName(
                hash=layout.name_hash(header.number, tenant, start_at, number),
                start_at=start_at,
                end_at=start_at + header.interval_seconds,
                instance_id=header.instance_id,
                n=n,
                recovered=recovered,
            )
            yield PlannedFile(directory=directory, name=str(name), key=key, part=part)
            n += 1


def cut(sizes: Iterable[Size], max_bytes: int) -> Iterator[Part]:
    """Cut a chain of entries, none of which is divided, into parts of at most ``max_bytes``.

    Only a part that is a single entry may be larger.
    """
    first = entries = records = total = 0
    for number, count, size in sizes:
        if entries and total + size > max_bytes:
            yield Part(first=first, entries=entries, records=records, bytes=total)
            entries = records = total = 0
        if not entries:
            first = number
        entries += 1
        records += count
        total += size
    if entries:
        yield Part(first=first, entries=entries, records=records, bytes=total)


def grouped(files: Iterable[PlannedFile], max_files: int, max_bytes: int) -> Iterator[list[PlannedFile]]:
    """Gather files into groups that are synced together: at most so many, and about so many bytes of lines."""
    group: list[PlannedFile] = []
    total = 0
    for file in files:
        if group and (len(group) >= max_files or total + file.part.bytes > max_bytes):
            yield group
            group, total = [], 0
        group.append(file)
        total += file.part.bytes
    if group:
        yield group
