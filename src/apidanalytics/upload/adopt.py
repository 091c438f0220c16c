"""Files that nobody counted: from the Go original, or from before the ledger was lost.

Each is read once, to know what is in it. A file that was cut short is made anew from its complete lines; one that is
damaged goes to ``damaged/``.
"""

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from apidanalytics import durable, layout
from apidanalytics.layout import BucketName
from apidanalytics.model import StagedFile
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.shelves import FileKey, Shelves
from apidanalytics.upload.states import State

_PIECE_BYTES: Final = 1 << 20

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What is in a gzip file."""

    records: int
    """Complete lines."""
    bytes: int
    """Of complete lines."""
    size_bytes: int
    sha256: str
    is_whole: bool
    """It ends where a gzip file may end, after a complete line."""
    damage: str | None
    """Why it cannot be trusted."""


def adopt(ledger: Ledger, shelves: Shelves, tmp: Path, key: FileKey, state: State, at: float) -> None:
    """Bring a file into the ledger, so that it is delivered; ``tmp`` is for half-made files.

    Raises:
        OSError: the disk is full or failing.

    """
    path = shelves.path(key, state)
    found = scan(path)
    if found.damage is None and not found.is_whole:
        _make_whole(path, tmp / f"{key[1]}.part")
        log.warning("upload.torn_file_repaired", directory=key[0], file=key[1], records=found.records)
        found = scan(path)
    if found.damage is not None:
        shelves.set_aside(key, state, found.damage)
        log.error("upload.file_damaged", directory=key[0], file=key[1], reason=found.damage)
    ledger.adopted(_staged(key, found), State.SET_ASIDE if found.damage is not None else state, at)


def scan(path: Path) -> Scan:
    """Read a whole gzip file.

    Raises:
        OSError: it cannot be read.

    """
    records = size = pending = 0
    damage: str | None = None
    digest = hashlib.sha256()
    inflater = _Inflater()
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
            if damage is not None:
                continue
            try:
                for text in inflater.feed(piece):
                    records += text.count(b"\n")
                    size += len(text)
                    pending = len(text) - text.rfind(b"\n") - 1 if b"\n" in text else pending + len(text)
            except zlib.error as error:
                damage = f"not a valid gzip file: {error}"
        size_bytes = os.fstat(file.fileno()).st_size
    return Scan(
        records=records,
        bytes=size - pending,
        size_bytes=size_bytes,
        sha256=digest.hexdigest(),
        is_whole=inflater.at_end and pending == 0,
        damage=damage,
    )


class _Inflater:
    """Unzips one member after the other."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)
        self._begun = False

    @property
    def at_end(self) -> bool:
        return not self._begun

    def feed(self, piece: bytes) -> Iterator[bytes]:
        while piece:
            self._begun = True
            yield from self._inflate(piece)
            if not self._member.eof:
                return
            piece = self._member.unused_data
            self._member = zlib.decompressobj(wbits=31)
            self._begun = False

    def _inflate(self, piece: bytes) -> Iterator[bytes]:
        text = self._member.decompress(piece, _PIECE_BYTES)
        yield text
        # A full piece of text: there may be more, even with all input taken.
        while not self._member.eof and (self._member.unconsumed_tail or len(text) == _PIECE_BYTES):
            text = self._member.decompress(self._member.unconsumed_tail, _PIECE_BYTES)
            yield text


def _make_whole(path: Path, part: Path) -> None:
    """Replace a file that was cut short by one of its complete lines."""
    with part.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as target:
        for lines in _complete_lines(path):
            target.write(lines)
    durable.sync_file(part)
    durable.rename(part, path)


def _complete_lines(path: Path) -> Iterator[bytes]:
    rest = bytearray()
    inflater = _Inflater()
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            for text in inflater.feed(piece):
                rest += text
                end = rest.rfind(b"\n") + 1
                yield bytes(rest[:end])
                del rest[:end]


def _staged(key: FileKey, found: Scan) -> StagedFile:
    bucket = BucketName.parse(key[0])
    return StagedFile(
        directory=key[0],
        name=key[1],
        tenant=bucket.tenant,
        start_at=bucket.start_at,
        records=found.records,
        bytes=found.bytes,
        size_bytes=found.size_bytes,
        sha256=found.sha256,
    )


def spool_number(name: str) -> int:
    """Return the number of the spool that a file's name says it was made from."""
    return layout.FileName.parse(name).n // layout.FILES_PER_SPOOL
