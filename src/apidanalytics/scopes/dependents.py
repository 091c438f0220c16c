"""Which remembered tails depend on a part of the developer data: for each kind of part a table from its hash to places.

A change list names a few parts, and what depends on them is found without a look at anything else: all places whose
hash ends in the same 16 bits are linked in a chain. Of a hash four bytes are kept. Two parts for which they are equal
are taken for one: 100 changed parts among 300,000 tails have one forgotten in vain in every hundredth list, which costs
a look-up.
"""

from array import array
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Final

from apidanalytics.scopes.news import Kind

_HASH: Final = "q"
_KEPT: Final = "I"
"""What is kept of a hash, and a place: numbers of four bytes."""
_KEPT_BITS: Final = (1 << 32) - 1
_BUCKETS: Final = 1 << 16
_END: Final = _KEPT_BITS
"""In the place of the next one in a chain."""
_KINDS: Final = (Kind.PRODUCT, Kind.APP, Kind.DEVELOPER)
_MAY_BE_KEPT: Final = (0, 2, 3)
"""So many parts: of a key alone, one with a product and an app of which nobody is known, and one with a developer."""
_NOTHING: Final = 0
_ANYTHING: Final = _KEPT_BITS
"""Of a tail that depends on more than fits: on whatever changes."""

AT_ONCE: Final = 1024
"""Places of a chain that are looked at between two turns of others: a millisecond, if all of them are found."""


def kept(part: int) -> int:
    """Return what is kept of a hash (``news.part_hash``)."""
    return part & _KEPT_BITS or 1  # so none of them is ``_NOTHING``


class Dependents:
    """What the tails in all places depend on. Places are numbered from 0."""

    def __init__(self) -> None:
        self._tables = {kind: _Table() for kind in _KINDS}

    def __repr__(self) -> str:
        return f"<Dependents in {len(self._tables[Kind.APP].values)} places>"

    def append(self, hashes: bytes) -> None:
        """Add a place. ``hashes`` are those of a key and what it depends on (``tails.Learned``)."""
        for table, value in zip(self._tables.values(), _split(hashes), strict=True):
            table.append(value)

    def put(self, place: int, hashes: bytes) -> None:
        """Have a place depend on this."""
        for table, value in zip(self._tables.values(), _split(hashes), strict=True):
            table.put(place, value)

    def search(self, kind: Kind, parts: AbstractSet[int]) -> Iterator[list[int]]:
        """Yield the places that depend on one of these parts of a kind (``kept``), or on whatever changes.

        Those among ``AT_ONCE`` that were looked at come together. Nothing may be added meanwhile.
        """
        return self._tables[kind].search({_ANYTHING, *parts})

    def depends(self, place: int, kind: Kind, parts: AbstractSet[int]) -> bool:
        """Return whether what is in a place depends on one of these parts of a kind (``kept``)."""
        value = self._tables[kind].values[place]
        return value in parts or value == _ANYTHING


class _Table:
    """Of one kind. The places in a bucket are linked both ways, so that one is taken out without a look at the rest."""

    __slots__ = ("_after", "_before", "_first", "values")

    def __init__(self) -> None:
        self.values = array(_KEPT)
        self._first = array(_KEPT, [_END]) * _BUCKETS
        self._after = array(_KEPT)
        self._before = array(_KEPT)

    def append(self, value: int) -> None:
        place = len(self.values)
        self.values.append(value)
        self._after.append(_END)
        self._before.append(_END)
        self._link(place, value)

    def put(self, place: int, value: int) -> None:
        self._unlink(place)
        self.values[place] = value
        self._link(place, value)

    def search(self, wanted: Iterable[int]) -> Iterator[list[int]]:
        values, following = self.values, self._after
        found: list[int] = []
        left = AT_ONCE
        for value in wanted:
            place = self._first[value % _BUCKETS]
            while place != _END:
                if values[place] == value:
                    found.append(place)
                place = following[place]
                left -= 1
                if not left:
                    yield found
                    found, left = [], AT_ONCE
        yield found

    def _link(self, place: int, value: int) -> None:
        if value == _NOTHING:
            return  # there may be very many of those, and nobody looks for them
        bucket = value % _BUCKETS
        first = self._first[bucket]
        self._first[bucket] = place
        self._after[place] = first
        self._before[place] = _END
        if first != _END:
            self._before[first] = place

    def _unlink(self, place: int) -> None:
        value = self.values[place]
        if value == _NOTHING:
            return
        before, after = self._before[place], self._after[place]
        if before == _END:
            self._first[value % _BUCKETS] = after
        else:
            self._after[before] = after
        if after != _END:
            self._before[after] = before


def _split(hashes: bytes) -> tuple[int, ...]:
    """Return what is kept of these hashes: of the product, the app and the developer."""
    _, *parts = array(_HASH, hashes)
    if len(parts) not in _MAY_BE_KEPT:
        return (_ANYTHING,) * len(_KINDS)
    return (*map(kept, parts), *(_NOTHING,) * (len(_KINDS) - len(parts)))
