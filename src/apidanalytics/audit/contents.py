"""What is inside a spool, a staged file (the Go original's too), or a directory of them."""

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from apidanalytics.audit.masking import mask_record
from apidanalytics.errors import DamagedError, NewerFormatError
from apidanalytics.instants import format_instant
from apidanalytics.layout import BucketName, FileName, SpoolName
from apidanalytics.pack.compress import describe
from apidanalytics.pack.salvage import Salvage
from apidanalytics.spool.segment import SegmentReader

_NUMBER: Final = re.compile(r"(?<=\.spool)\.[0-9]+$")
"""What a spool may have behind its name in ``damaged/``, where another one has the name."""


@dataclass(slots=True, kw_only=True)
class Contents:
    """One file, read to its end."""

    path: str
    kind: str
    """``spool``, ``file``, or ``other``: not a name of ours, and not read."""
    size_bytes: int
    records: int = 0
    bytes: int = 0
    """Length of the lines."""
    buckets: dict[str, tuple[int, int]] = field(default_factory=dict)
    """(records, bytes) by ``<org>~<env>~<start>``."""
    about: dict[str, Any] = field(default_factory=dict)
    """What its name, or its header, says."""
    problems: list[str] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    """The first records, masked."""

    def add(self, bucket: str, records: int, size: int) -> None:
        """Count records of a bucket."""
        before, length = self.buckets.get(bucket, (0, 0))
        self.buckets[bucket] = (before + records, length + size)
        self.records += records
        self.bytes += size


def inspect(path: Path, samples: int = 0) -> Iterator[Contents]:
    """Yield what is inside a file, or each file below a directory; one that moves on meanwhile is passed over.

    Raises:
        OSError: it cannot be read.

    """
    if not path.is_dir():
        yield _inspect_file(path, samples)
        return
    for file in sorted(Path(folder, name) for folder, _, names in os.walk(path, onerror=_cannot) for name in names):
        if file.is_file() and not file.is_symlink() and (_is_spool(file) or file.name.endswith(".txt.gz")):
            try:
                yield _inspect_file(file, samples)
            except FileNotFoundError:
                continue


def _cannot(error: OSError) -> None:
    """Raise what ``os.walk`` would pass over: a directory that may not be read is not known to be empty."""
    if not isinstance(error, FileNotFoundError):
        raise error


def _inspect_file(path: Path, samples: int) -> Contents:
    size = path.stat().st_size
    if _is_spool(path):
        return _inspect_spool(Contents(path=str(path), kind="spool", size_bytes=size), path, samples)
    if path.name.endswith(".gz"):
        return _inspect_gzip(Contents(path=str(path), kind="file", size_bytes=size), path, samples)
    return Contents(path=str(path), kind="other", size_bytes=size, problems=["neither a spool nor a gzip file"])


def _is_spool(path: Path) -> bool:
    return _NUMBER.sub("", path.name).endswith(".spool")


def _inspect_spool(found: Contents, path: Path, samples: int) -> Contents:
    try:
        name = SpoolName.parse(_NUMBER.sub("", path.name))
        found.about["number"] = f"{name.number:012x}"
    except ValueError:
        found.problems.append("its name is not that of a spool")
    try:
        with SegmentReader.open(path) as reader:
            _read_spool(found, reader, samples)
    except (DamagedError, NewerFormatError, ValueError, struct.error) as error:
        found.problems.append(str(error))
    return found


def _read_spool(found: Contents, reader: SegmentReader, samples: int) -> None:
    if reader.header is not None:
        found.about |= asdict(reader.header) | {"number": f"{reader.header.number:012x}"}
    for entry in reader.entries():
        found.add(f"{entry.tenant}~{format_instant(entry.start_at)}", entry.records, entry.bytes)
        try:
            lines = reader.read(entry)
        except DamagedError as error:
            found.problems.append(str(error))
            continue
        _sample(found, lines.splitlines(), samples)
    found.problems += [f"byte {d.offset}, {d.length} bytes: {d.reason}" for d in reader.damage]
    found.about |= {"torn_bytes": reader.torn_bytes, "lacks_end": reader.lacks_end}


def _inspect_gzip(found: Contents, path: Path, samples: int) -> Contents:
    try:
        found.about |= asdict(FileName.parse(path.name))
    except ValueError:
        found.problems.append("its name is not that of a staged file")
    content = Salvage(path)
    for line in content.lines():
        _sample(found, [line], samples)
    found.add(_bucket_of(path), content.records, content.bytes)
    found.about["sha256"] = describe(path).sha256
    if content.fault:
        found.problems.append(content.fault)
    if content.is_torn:
        found.problems.append(f"cut short; {content.cut_bytes} bytes of an incomplete last line")
    if content.bad_lines:
        found.problems.append(f"{content.bad_lines} lines are no records")
    return found


def _bucket_of(path: Path) -> str:
    """Return the bucket directory's name; in a lake, what it was before."""
    try:
        return str(BucketName.parse(path.parent.name))
    except ValueError:
        pass
    try:
        return f"{path.parents[2].name}~{format_instant(FileName.parse(path.name).start_at)}"
    except (ValueError, IndexError):
        return path.parent.name


def _sample(found: Contents, lines: list[bytes], samples: int) -> None:
    found.samples += [mask_record(line) for line in lines[: max(samples - len(found.samples), 0)]]
