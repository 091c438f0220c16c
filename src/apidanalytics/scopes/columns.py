"""What remembered tails depend on: a column for each kind of part, with some of the hash of each tail's own.

A change list names one kind mostly, and looking through one column takes a fraction of the time that looking through
everything does. Of a hash four bytes are kept. Two parts for which they are equal are taken for one: 100 changed parts
among 300,000 tails have one forgotten in vain in every hundredth list, which costs a look-up.
"""

import sys
from collections.abc import Generator, Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Final

from apidanalytics.scopes.news import Kind

_HASH_BYTES: Final = 8
_KEPT_BYTES: Final = 4
_CODE: Final = "I"
"""Of a number of so many bytes, in the machine's own order."""
_KINDS: Final = (Kind.PRODUCT, Kind.APP, Kind.DEVELOPER)
_USUAL_BYTES: Final = 4 * _HASH_BYTES
"""Of a key, a product, an app and a developer."""
_SHORTER: Final = (_HASH_BYTES, 3 * _HASH_BYTES)
"""Of a key alone, and of one with a product and an app of which nobody is known."""
_ANYTHING: Final = (1 << 8 * _KEPT_BYTES) - 1
"""Of a tail that depends on more than fits: on whatever changes."""
_WHATEVER_CHANGES: Final = _ANYTHING.to_bytes(_KEPT_BYTES, sys.byteorder)

AT_ONCE: Final = 1024
"""Places that are looked through at once: one by one it takes ten times as long."""
_FEW: Final = 16
"""Parts among so many places for which looking for each takes less time than looking at every place."""
LOOKED: Final = 64
"""Places that are looked at one by one in the time in which others are looked through at once."""


def kept(part: int) -> int:
    """Return what is kept of a hash (``news.part_hash``)."""
    return int.from_bytes(part.to_bytes(_HASH_BYTES, sys.byteorder, signed=True)[:_KEPT_BYTES], sys.byteorder)


class Columns:
    """What the tails in all places depend on. Places are numbered from 0."""

    def __init__(self) -> None:
        self._columns = {kind: bytearray() for kind in _KINDS}

    def __repr__(self) -> str:
        return f"<Columns of {len(self._columns[Kind.APP]) // _KEPT_BYTES} places>"

    def append(self, hashes: bytes) -> None:
        """Add a place. ``hashes`` are those of a key and what it depends on (``tails.Learned``)."""
        for column, value in zip(self._columns.values(), _split(hashes), strict=True):
            column.extend(value)

    def put(self, place: int, hashes: bytes) -> None:
        """Have a place depend on this."""
        start = place * _KEPT_BYTES
        end = start + _KEPT_BYTES
        for column, value in zip(self._columns.values(), _split(hashes), strict=True):
            column[start:end] = value

    def search(self, kind: Kind, parts: AbstractSet[int]) -> Generator[Iterable[int], None, None]:
        """Return for every ``AT_ONCE`` places those that may depend on one of these parts of a kind (``kept``).

        Nothing may be added until it has come to its end or is closed.
        """
        column = self._columns[kind]
        wanted = {_ANYTHING, *parts}
        with memoryview(column).cast(_CODE) as values:
            for start in range(0, len(values), AT_ONCE):
                there = wanted.intersection(values[start : start + AT_ONCE])
                yield _places(column, start, there) if there else ()

    def depends(self, place: int, kind: Kind, parts: AbstractSet[int]) -> bool:
        """Return whether what is in a place depends on one of these parts of a kind (``kept``)."""
        start = place * _KEPT_BYTES
        value = int.from_bytes(self._columns[kind][start : start + _KEPT_BYTES], sys.byteorder)
        return value in parts or value == _ANYTHING


def _places(column: bytearray, start: int, parts: set[int]) -> Iterable[int]:
    """Return the places from this on, of those looked through at once, that may depend on one of these parts."""
    end = min(start + AT_ONCE, len(column) // _KEPT_BYTES)
    if len(parts) <= _FEW:
        patterns = [part.to_bytes(_KEPT_BYTES, sys.byteorder) for part in parts]
        area = start * _KEPT_BYTES, end * _KEPT_BYTES
        if sum(column.count(pattern, *area) for pattern in patterns) <= LOOKED:
            return _found(column, patterns, *area)
    return range(start, end)


def _found(column: bytearray, patterns: Iterable[bytes], first: int, end: int) -> Iterator[int]:
    for pattern in patterns:
        start = first
        while (at := column.find(pattern, start, end)) >= 0:
            place = at // _KEPT_BYTES
            yield place
            start = (place + 1) * _KEPT_BYTES


def _split(hashes: bytes) -> tuple[bytes, bytes, bytes]:
    """Return these hashes as they stand in a place: those of the product, the app and the developer."""
    length = len(hashes)
    if length == _USUAL_BYTES:
        return hashes[8:12], hashes[16:20], hashes[24:28]
    if length in _SHORTER:
        return _split(hashes.ljust(_USUAL_BYTES, b"\0"))
    return _WHATEVER_CHANGES, _WHATEVER_CHANGES, _WHATEVER_CHANGES
