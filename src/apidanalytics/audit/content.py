"""Reading a gzip file of records to its end: how many lines, how many bytes, which SHA-256."""

from pathlib import Path

from apidanalytics.pack.compress import describe
from apidanalytics.pack.salvage import Salvage
from apidanalytics.upload.snapshot import KnownFile


def problem(path: Path, known: KnownFile) -> str | None:
    """Return what a file has other than the ledger says, as the end of a sentence; None when it is as it should be.

    Raises:
        FileNotFoundError: it is not there (any more).

    """
    found = describe(path)
    if found.size_bytes != known.size_bytes:
        return f"has {found.size_bytes} bytes instead of {known.size_bytes}"
    content = Salvage(path)
    for _ in content.lines():
        pass
    lines = content.records + content.bad_lines
    if not content.is_whole:
        return f"is damaged ({_fault(content)}): {content.records} of {known.records} records can be read"
    if (lines, content.bytes) != (known.records, known.bytes):
        return f"has {lines} lines of {content.bytes} bytes instead of {known.records} of {known.bytes}"
    if found.sha256 != known.sha256:
        return f"has another SHA-256 ({found.sha256[:12]}...) than when it was made ({known.sha256[:12]}...)"
    return None


def _fault(content: Salvage) -> str:
    if content.fault:
        return content.fault
    return f"{content.bad_lines} lines are no records" if content.bad_lines else "cut short"
