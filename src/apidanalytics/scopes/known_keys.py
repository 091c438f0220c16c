"""Which API keys there are at all, at 8 bytes a key: what is not among them is unknown without asking the database.

Beside each published database lies ``keys.i64``: one 64-bit hash for each (tenant id, API key), sorted, as signed
integers of 8 bytes in the machine's own order. Workers map it, so all of them share one copy in memory. Keys that
came later (``live``) are a set beside it. A key that is gone may still be among them: it costs one look-up, which is
remembered. Without the file, every key may exist.
"""

import hashlib
import mmap
import os
import sqlite3
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import Final, Self

from apidanalytics import durable

FILE_NAME: Final = "keys.i64"
_WIDTH: Final = 8
_PIECE: Final = 65536
"""Hashes that are written at once."""

_EVERY_KEY: Final = """
    SELECT CAST(tenant_id AS BLOB), CAST(appcred_id AS BLOB) FROM {table} WHERE tenant_id <> '' AND appcred_id <> ''
"""


def hash_key(tenant_id: bytes, api_key: bytes) -> int:
    """Return the hash of an API key of a tenant, as a signed integer of 64 bits. The same in every process."""
    digest = hashlib.blake2b(b"%b\0%b" % (tenant_id, api_key), digest_size=_WIDTH).digest()
    return int.from_bytes(digest, "little", signed=True)


def hash_text(tenant_id: str, api_key: str) -> int:
    """Return the same of text; a lone surrogate, which no database holds, has a hash too."""
    return hash_key(tenant_id.encode("utf-8", "surrogatepass"), api_key.encode("utf-8", "surrogatepass"))


def write_keys(connection: sqlite3.Connection, mapper: str, database: Path) -> None:
    """Write the file beside this database, from the rows of its table ``mapper``. It is not synced.

    Raises:
        OSError, sqlite3.Error: it cannot be made.

    """
    rows = connection.execute(_EVERY_KEY.format(table=mapper))
    hashes = [hash_key(tenant_id, api_key) for tenant_id, api_key in rows]
    # Python compares small integers much faster: by the upper bits first, and what is nearly sorted costs little.
    hashes.sort(key=_upper_bits)
    hashes.sort()
    _write(database.with_name(FILE_NAME), (value for value, _ in groupby(hashes)))


def rewrite_keys(database: Path, hashes: Iterable[int]) -> None:
    """Replace the file beside this database, durably, by one with these hashes, which come sorted."""
    part = database.with_name(f"{FILE_NAME}.part")
    _write(part, hashes)
    durable.sync_file(part)
    durable.rename(part, database.with_name(FILE_NAME))


class KnownKeys:
    """Says of an API key that it is unknown, or that it may exist."""

    def __init__(self, hashes: "memoryview | None", added: Iterable[int] = ()) -> None:
        """Take the sorted hashes (None: nothing is known about them) and those that came later."""
        self._hashes = hashes
        self._added = set(added)

    def __repr__(self) -> str:
        return f"<KnownKeys {'any' if self._hashes is None else len(self._hashes)} and {len(self._added)} added>"

    @classmethod
    def beside(cls, database: Path, added: Iterable[int] = ()) -> Self:
        """Return what the file beside this database says."""
        return cls(_map(database.with_name(FILE_NAME)), added)

    def may_hold(self, tenant_id: str, api_key: str) -> bool:
        """Return False when there is no such key; True when there may be one."""
        hashes = self._hashes
        if hashes is None:
            return True
        wanted = hash_text(tenant_id, api_key)
        place = bisect_left(hashes, wanted)
        return (place < len(hashes) and hashes[place] == wanted) or wanted in self._added

    def add(self, tenant_id: str, api_key: str) -> None:
        """Count this key among those that may exist."""
        if self._hashes is not None:
            self._added.add(hash_text(tenant_id, api_key))

    def __len__(self) -> int:
        """Return how many keys there are, as far as is known."""
        return len(self._added) + (0 if self._hashes is None else len(self._hashes))

    def __iter__(self) -> Iterator[int]:
        """Iterate over the hashes of the file, in order."""
        return iter(() if self._hashes is None else self._hashes)


def _upper_bits(value: int) -> int:
    return value >> 35


def _write(path: Path, hashes: Iterable[int]) -> None:
    hashes = iter(hashes)
    with os.fdopen(durable.create(path), "wb") as file:
        while piece := list(islice(hashes, _PIECE)):
            array("q", piece).tofile(file)


def _map(path: Path) -> memoryview | None:
    """Return the file's hashes; None when it is not there or not whole."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0:
                return memoryview(b"").cast("q")
            return memoryview(mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ)).cast("q")
    except (OSError, TypeError, ValueError):
        return None
