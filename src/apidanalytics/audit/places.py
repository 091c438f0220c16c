"""``staging/`` and ``failed/`` compared with the ledger, name by name.

Crashes leave a file for a while where the ledger does not have it any more, or not yet. That is no difference:

* uploaded (or dropped), and still there: it is removed at the next start;
* staged in the ledger and in ``failed/``, or the other way round: a move that was cut off;
* unknown, but its spool waits: packing makes it known.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from apidanalytics.audit.difference import Difference, Kind
from apidanalytics.layout import FILES_PER_SPOOL, BucketName, DataDirectory, FileName
from apidanalytics.upload.snapshot import KnownFile, LedgerSnapshot
from apidanalytics.upload.states import State

Key = tuple[str, str]
"""Bucket directory and file name."""
_SETTLED: Final = frozenset({State.UPLOADED, State.DROPPED, State.SET_ASIDE})


@dataclass(frozen=True, slots=True)
class Found:
    """A file in one of the two."""

    place: str
    path: Path
    size_bytes: int

    def __str__(self) -> str:
        return f"{self.place}/{self.path.parent.name}/{self.path.name}"


def list_files(data: DataDirectory) -> dict[Key, list[Found]]:
    """Return every file in ``staging/`` and ``failed/``."""
    found: dict[Key, list[Found]] = {}
    for place in (data.staging, data.failed):
        for directory in _scan(place):
            for entry in _scan(Path(directory.path)) if directory.is_dir(follow_symlinks=False) else ():
                file = _file(place.name, entry)
                if file is not None:
                    found.setdefault((directory.name, entry.name), []).append(file)
    return found


def differences(
    ledger: LedgerSnapshot, found: Mapping[Key, list[Found]], waiting_spools: Collection[int]
) -> Iterator[Difference]:
    """Yield where directories and ledger differ; the directories must have been listed after the snapshot was taken."""
    expected: set[Key] = set()
    for known in ledger.files(State.STAGED, State.FAILED):
        key = (known.directory, known.name)
        expected.add(key)
        yield from _compare(known, found.get(key, []))
    for key in sorted(found.keys() - expected):
        yield from _unexpected(ledger, key, found[key], waiting_spools)


def _compare(known: KnownFile, files: list[Found]) -> Iterator[Difference]:
    subject = f"{known.directory}/{known.name}"
    place = "staging" if known.state is State.STAGED else "failed"
    if not files:
        sentence = f"{place}/{subject} is gone: {known.records} records that the ledger has as {known.state} are lost."
        yield Difference(kind=Kind.GONE, tenant=known.tenant, subject=subject, sentence=sentence)
    if len(files) > 1:
        sentence = f"{subject} stands in staging/ and in failed/: {known.records} records could be delivered twice."
        yield Difference(kind=Kind.DOUBLED, tenant=known.tenant, subject=subject, sentence=sentence)
    for file in files:
        if file.size_bytes != known.size_bytes:
            sentence = f"{file} has {file.size_bytes} bytes, and had {known.size_bytes} when it was made."
            yield Difference(kind=Kind.CHANGED, tenant=known.tenant, subject=subject, sentence=sentence)


def _unexpected(
    ledger: LedgerSnapshot, key: Key, files: list[Found], waiting_spools: Collection[int]
) -> Iterator[Difference]:
    name = _parse(key)
    if name is None or name[1].n // FILES_PER_SPOOL in waiting_spools:
        return  # not one of ours, which packing reports; or packing is at it
    known = ledger.find(*key)
    if known is not None and known.state in _SETTLED:
        return
    for file in files:
        sentence = (
            f"{file} ({file.size_bytes} bytes) is not in the ledger: nobody counted it."
            " The next start adopts it; if it is a copy of another file, its records are then delivered twice."
        )
        yield Difference(kind=Kind.UNKNOWN, tenant=name[0].tenant, subject=str(file), sentence=sentence)


def _parse(key: Key) -> tuple[BucketName, FileName] | None:
    try:
        return BucketName.parse(key[0]), FileName.parse(key[1])
    except ValueError:
        return None


def _file(place: str, entry: "os.DirEntry[str]") -> Found | None:
    try:
        if entry.is_file(follow_symlinks=False):
            return Found(place, Path(entry.path), entry.stat(follow_symlinks=False).st_size)
    except FileNotFoundError:
        pass  # delivered meanwhile
    return None


def _scan(directory: Path) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except FileNotFoundError:
        return []  # empty now, and removed
