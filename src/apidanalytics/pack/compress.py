"""Gzip files, written and compared as streams."""

import gzip
import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import xxhash
from isal import igzip, isal_zlib

from apidanalytics.errors import DamagedError

LEVEL: Final = 2
"""API records: 780 MB/s at ratio 7.1; level 1 is no faster, level 3 half as fast and no smaller."""
PIECE_BYTES: Final = 1 << 16
"""Lines are gathered to this length first: a call for each line halves the speed."""

_GZIP: Final = 31  # window bits: 32 KiB, in a gzip container, which holds no name and mtime 0
_READ_BYTES: Final = 1 << 20
_InflateError: Final = cast(type[Exception], isal_zlib.error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A gzip file as it was written."""

    size_bytes: int
    sha256: str
    md5: str
    """What object stores check an upload by; only of use against accidents."""
    xxh3: str
    """With 128 bits: what the uploader checks a file by, thirty times as fast; of the same use."""


class _Sums:
    """Size and checksums of a file, as its bytes go by."""

    def __init__(self) -> None:
        self._size_bytes = 0
        self._digests = (hashlib.sha256(), hashlib.md5(usedforsecurity=False), xxhash.xxh3_128())

    def update(self, piece: bytes) -> None:
        self._size_bytes += len(piece)
        for digest in self._digests:
            digest.update(piece)

    def written(self) -> Written:
        sha256, md5, xxh3 = (digest.hexdigest() for digest in self._digests)
        return Written(size_bytes=self._size_bytes, sha256=sha256, md5=md5, xxh3=xxh3)


def write_gzip(path: Path, pieces: Iterable[bytes]) -> Written:
    """Write the pieces into a new gzip file, not yet synced. The same pieces always give the same bytes."""
    # An old half-made file may be a second name of a published one: it must be removed, never written over.
    path.unlink(missing_ok=True)
    compressor = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, _GZIP)
    sums = _Sums()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for piece in gather(pieces, PIECE_BYTES):
            block = compressor.compress(piece)
            sums.update(block)
            file.write(block)
        block = compressor.flush()
        sums.update(block)
        file.write(block)
    return sums.written()


def gather(pieces: Iterable[bytes], length: int) -> Iterator[bytes]:
    """Join small pieces to ones of at least this length (the last may be shorter)."""
    waiting: list[bytes] = []
    total = 0
    for piece in pieces:
        waiting.append(piece)
        total += len(piece)
        if total >= length:
            yield b"".join(waiting)
            waiting.clear()
            total = 0
    if waiting:
        yield b"".join(waiting)


def read_gzip(path: Path) -> Iterator[bytes]:
    """Yield the content of a whole gzip file.

    Raises:
        DamagedError: it is cut short, damaged, or no gzip file.

    """
    try:
        with igzip.IGzipFile(path, "rb") as file:  # type: ignore[no-untyped-call]
            while block := file.read(_READ_BYTES):
                yield block
    except (EOFError, gzip.BadGzipFile, _InflateError) as error:
        raise DamagedError(f"{path.name}: {error}") from error


def describe(path: Path) -> Written:
    """Return size and checksums of a file as it is."""
    sums = _Sums()
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            sums.update(piece)
    return sums.written()


def is_whole(path: Path) -> bool:
    """Tell whether a file is a whole gzip file."""
    try:
        for _ in read_gzip(path):
            pass
    except DamagedError:
        return False
    return True


def same_lines(one: Path, other: Path) -> bool:
    """Tell whether two gzip files are whole and hold the same lines, however they were compressed."""
    try:
        return _digest_of_lines(one) == _digest_of_lines(other)
    except DamagedError:
        return False


def _digest_of_lines(path: Path) -> bytes:
    digest = hashlib.sha256()
    for block in read_gzip(path):
        digest.update(block)
    return digest.digest()
