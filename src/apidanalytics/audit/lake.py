"""The uploaded objects, where they can be read as files: the embedded lake, or a mounted or copied bucket.

Every object that the ledger remembers must be there, with its size and, read to its end, with its lines and SHA-256.
An object of this collector that the ledger does not know, and should (it is younger than what the ledger remembers),
is a double.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from apidanalytics import layout
from apidanalytics.audit import content
from apidanalytics.audit.difference import Difference, Kind
from apidanalytics.layout import BucketName, FileName
from apidanalytics.upload.snapshot import KnownFile, LedgerSnapshot

_OBJECTS: Final = "*~*/date=*/time=*/*.txt.gz"


def object_path(lake: Path, known: KnownFile) -> Path:
    """Return where the object of an uploaded file stands."""
    tenant = layout.format_tenant(*layout.parse_tenant(known.tenant))
    return lake / tenant / layout.format_object_path(known.name, known.start_at)


def missing_or_changed(lake: Path, files: Iterator[KnownFile], is_deep: Callable[[str], bool]) -> Iterator[Difference]:
    """Yield which of these uploaded files have no object, or one that is not as they were.

    ``is_deep`` tells of a subject whether to read it to its end.
    """
    for known in files:
        path = object_path(lake, known)
        where = path.relative_to(lake)
        kind, problem = _check(path, known, deep=is_deep(f"object {where}"))
        if problem:
            sentence = f"The object {where} {problem}; the ledger has it as uploaded, with {known.records} records."
            yield Difference(kind=kind, tenant=known.tenant, subject=f"object {where}", sentence=sentence)


def unknown(lake: Path, ledger: LedgerSnapshot, instance_id: str | None, since: float) -> Iterator[Difference]:
    """Yield the objects of this collector, written since then, that the ledger should know and does not."""
    remembered = ledger.remembers_since()
    if remembered is None:
        return
    for path in sorted(lake.glob(_OBJECTS)):
        if path.stat().st_mtime < max(remembered, since):
            continue
        name = _parse(path.name)
        if name is None or (instance_id is not None and name.instance_id != instance_id):
            continue
        if not any(ledger.find(str(bucket), path.name) for bucket in _buckets(path.parents[2].name, name)):
            where = path.relative_to(lake)
            sentence = f"The object {where} is not in the ledger: its records may be in the store twice."
            yield Difference(
                kind=Kind.UNKNOWN, tenant=path.parents[2].name, subject=f"object {where}", sentence=sentence
            )


def _check(path: Path, known: KnownFile, *, deep: bool) -> tuple[Kind, str | None]:
    try:
        if deep:
            return Kind.CHANGED, content.problem(path, known)
        size = path.stat().st_size
    except FileNotFoundError:
        return Kind.GONE, "is not in the store"
    return Kind.CHANGED, None if size == known.size_bytes else f"has {size} bytes instead of {known.size_bytes}"


def _parse(name: str) -> FileName | None:
    try:
        return FileName.parse(name)
    except ValueError:
        return None


def _buckets(tenant: str, name: FileName) -> Iterator[BucketName]:
    """Yield the directories that its file may have had: ours, or one of the Go original, which encodes nothing."""
    for spelling in dict.fromkeys((tenant, "~".join(layout.parse_tenant(tenant)))):
        yield BucketName(tenant=spelling, start_at=name.start_at, recovered=name.recovered)
