"""The spools that are not packed: what each tenant has in them."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from apidanalytics.audit.difference import Difference, Kind
from apidanalytics.errors import DamagedError, NewerFormatError
from apidanalytics.layout import DataDirectory
from apidanalytics.model import Entry
from apidanalytics.spool.segment import SegmentReader

Amounts = dict[str, tuple[int, int]]
"""(records, bytes of lines) by tenant."""
SEALED: Final = "sealed"
"""The directory of spools that were whole when they came there."""
ReadSpool = Callable[[Path], "SpoolContent"]


@dataclass(slots=True)
class SpoolContent:
    """What a spool holds."""

    amounts: Amounts = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    """What is wrong with it, each as the end of a sentence."""
    unread: str = ""
    """Why what is in it, or the rest of that, is not known."""
    torn_bytes: int = 0

    def add(self, entry: Entry) -> None:
        """Count an entry."""
        records, size = self.amounts.get(entry.tenant, (0, 0))
        self.amounts[entry.tenant] = (records + entry.records, size + entry.bytes)


def skim(path: Path) -> SpoolContent:
    """Read a spool's tables and trust them; one that they do not lead through to its end is read as a whole.

    Raises:
        OSError: it is there, and cannot be read: then nobody knows what is in it.

    """
    content = SpoolContent()
    try:
        with SegmentReader.open(path) as reader:
            for entry in reader.skim():
                content.add(entry)
            if reader.has_skimmed_all and not (reader.lacks_end and path.parent.name == SEALED):
                return content
    except FileNotFoundError:
        return SpoolContent()  # packed and removed meanwhile
    except (DamagedError, NewerFormatError, ValueError, struct.error):
        pass  # that is said by whoever reads it as a whole
    return verify(path)


def verify(path: Path) -> SpoolContent:
    """Read all of a spool, with every checksum, and count the lines of every entry."""
    content = SpoolContent()
    try:
        with SegmentReader.open(path) as reader:
            for entry in reader.entries():
                content.add(entry)
                content.problems += _problems(reader, entry)
            content.torn_bytes = reader.torn_bytes
            content.problems += [f"at byte {d.offset} ({d.length} bytes): {d.reason}" for d in reader.damage]
            if reader.torn_bytes and path.parent.name == SEALED:
                content.problems.append(f"at its end: {reader.torn_bytes} bytes are unfinished, though it was sealed")
            elif reader.lacks_end and path.parent.name == SEALED:
                content.problems.append("at its end: the mark of that is missing, though it was sealed")
    except FileNotFoundError:
        return SpoolContent()  # packed and removed meanwhile
    except (NewerFormatError, OSError) as error:
        content.unread = str(error)
    except (DamagedError, ValueError, struct.error) as error:
        content.problems.append(str(error))
    return content


def _problems(reader: SegmentReader, entry: Entry) -> Iterator[str]:
    try:
        lines = reader.read(entry)
    except DamagedError as error:
        yield str(error)
        return
    found = lines.count(b"\n")
    if found != entry.records or not lines.endswith(b"\n"):
        yield f"at byte {entry.offset}: {found} lines instead of {entry.records}"


def differences(data: DataDirectory, path: Path, content: SpoolContent) -> Iterator[Difference]:
    """Yield what is wrong with one spool."""
    where = path.relative_to(data.root)
    if content.unread:
        sentence = f"{where} cannot be read: {content.unread}; what is in it is not counted."
        yield Difference(kind=Kind.SPOOL_DAMAGED, tenant="", subject=f"{where} unread", sentence=sentence)
    for problem in content.problems:
        yield Difference(
            kind=Kind.SPOOL_DAMAGED,
            tenant="",
            subject=f"{where} {problem}",
            sentence=f"{where} is damaged {problem}; the records there are lost, all others are still delivered.",
        )
