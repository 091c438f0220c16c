"""Where the records of one tenant and start lie in a spool, in about 25 bytes an entry.

A spool may hold a million entries of ten thousand tenants, in the order of commit. Packing wants them tenant by
tenant, so this keeps their positions in plain arrays, chained per (tenant, start), and none of their content.
"""

from array import array
from collections.abc import Iterable, Iterator
from itertools import islice

from apidanalytics.model import Entry

Key = tuple[str, int]
"""Tenant and start."""
Size = tuple[int, int, int]
"""An entry's number in the index, its records, and its bytes of lines."""


class Index:
    """Positions of all entries of one spool."""

    def __init__(self) -> None:
        self._heads: dict[Key, int] = {}
        self._tails: dict[Key, int] = {}
        self._next = array("i")
        self._offsets = array("Q")
        self._stored = array("I")
        self._bytes = array("I")
        self._records = array("I")
        self._codecs = array("B")

    def __len__(self) -> int:
        return len(self._next)

    def __repr__(self) -> str:
        return f"<Index {len(self)} entries of {len(self._heads)} tenants and starts>"

    def add_all(self, entries: Iterable[Entry]) -> None:
        """Append these entries; those of one tenant and start keep their order."""
        heads, tails, following = self._heads, self._tails, self._next
        offsets, stored, sizes = self._offsets.append, self._stored.append, self._bytes.append
        records, codecs = self._records.append, self._codecs.append
        # A million times: the bound names above are a third of the time.
        for number, entry in enumerate(entries, len(following)):
            key = (entry.tenant, entry.start_at)
            tail = tails.get(key)
            if tail is None:
                heads[key] = number
            else:
                following[tail] = number
            tails[key] = number
            following.append(-1)
            offsets(entry.offset)
            stored(entry.stored_bytes)
            sizes(entry.bytes)
            records(entry.records)
            codecs(entry.codec)

    def chains(self) -> list[Key]:
        """Return every tenant and start that has entries, sorted."""
        return sorted(self._heads)

    def sizes(self, key: Key) -> Iterator[Size]:
        """Yield what planning needs of the entries of one tenant and start, in the order of commit."""
        for number in self._chain(self._heads[key]):
            yield number, self._records[number], self._bytes[number]

    def entries(self, key: Key, first: int, count: int) -> Iterator[Entry]:
        """Yield ``count`` entries of one tenant and start, from the entry with the number ``first`` on."""
        tenant, start_at = key
        for number in islice(self._chain(first), count):
            yield Entry(
                tenant=tenant,
                start_at=start_at,
                records=self._records[number],
                bytes=self._bytes[number],
                offset=self._offsets[number],
                stored_bytes=self._stored[number],
                codec=self._codecs[number],
            )

    def counts(self) -> dict[str, tuple[int, int]]:
        """Return (records, bytes of lines) by tenant."""
        totals: dict[str, tuple[int, int]] = {}
        for key, head in self._heads.items():
            records, size = totals.get(key[0], (0, 0))
            for number in self._chain(head):
                records += self._records[number]
                size += self._bytes[number]
            totals[key[0]] = (records, size)
        return totals

    def _chain(self, number: int) -> Iterator[int]:
        while number >= 0:
            yield number
            number = self._next[number]
