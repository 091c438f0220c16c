"""Makes the file of ready answers (``ready``) beside a live file: a process of its own, with the lowest priority.

::

    python -m apidanalytics.scopes.ready_build <database>

It ends early when the process that started it is gone. The file is made whole or not at all.
"""

import os
import shutil
import sys
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Final
from zlib import crc32

from apidanalytics import durable
from apidanalytics.errors import LookupFailedError
from apidanalytics.scopes.database import ScopeDatabase
from apidanalytics.scopes.known_keys import hash_text
from apidanalytics.scopes.ready import ENTRY, FILE_NAME, HEADER, MAGIC, MAX_PROBES, UNIT
from apidanalytics.scopes.tails import tail_of

LONGEST_ENTRY: Final = 4096
"""Bytes of an entry; longer ones are left out, and asked of the database."""
MAX_BYTES: Final = 16 << 30
"""No file is longer; keys beyond that are left out."""
LOOK_EVERY: Final = 4096
"""Keys between two looks whether anybody still wants the file."""


def build(path: Path, is_wanted: Callable[[], bool] = lambda: True) -> int | None:
    """Make the file from what this database says now; return the number of its keys, None if it was not wanted.

    Raises:
        OSError, LookupFailedError: it cannot be made; nothing has changed.

    """
    if shutil.disk_usage(path.parent).free < path.stat().st_size:
        raise OSError("too little room on the disk")
    part = path.with_name(f"{FILE_NAME}.{os.getpid()}.part")
    database = ScopeDatabase(path)
    try:
        with os.fdopen(durable.create(part), "wb") as file:
            keys = _write(file, database, is_wanted)
        if keys is not None:
            durable.sync_file(part)
            durable.rename(part, path.with_name(FILE_NAME))
        return keys
    finally:
        part.unlink(missing_ok=True)
        database.close()


def _write(file: BinaryIO, database: ScopeDatabase, is_wanted: Callable[[], bool]) -> int | None:
    slots = array("Q", bytes(8 * _slots(2 * len(database.known_keys()) + 2)))
    offset = file.seek(HEADER.size + 8 * len(slots))
    keys = 0
    for tenant_id, api_key, answer in database.every_developer():
        if keys % LOOK_EVERY == 0 and not is_wanted():
            return None
        name = f"{tenant_id}\0{api_key}".encode()
        entry = _encode(name, [hash_text(tenant_id, api_key), *answer.parts], tail_of(answer.developer))
        is_short = len(entry) <= LONGEST_ENTRY and offset < MAX_BYTES and 2 * keys < len(slots)
        if is_short and _put(slots, crc32(name), offset // UNIT):
            file.write(entry)
            offset += len(entry)
            keys += 1
    file.seek(0)
    file.write(HEADER.pack(MAGIC, len(slots), keys, database.lists()))
    slots.tofile(file)
    return keys


def _encode(name: bytes, hashes: Sequence[int], tail: bytes) -> bytes:
    """Return an entry, filled up to whole units."""
    numbers = array("q", hashes).tobytes()
    if max(len(name), len(numbers), len(tail)) > LONGEST_ENTRY:
        return bytes(LONGEST_ENTRY + 1)
    entry = ENTRY.pack(len(name), len(numbers), len(tail)) + name + numbers + tail
    return entry + bytes(-len(entry) % UNIT)


def _slots(least: int) -> int:
    return 1 << (least - 1).bit_length()


def _put(slots: "array[int]", crc: int, unit: int) -> bool:
    """Put an entry where a search for its CRC comes; return False when that is too far."""
    last = len(slots) - 1
    for place in range(crc, crc + MAX_PROBES):
        if not slots[place & last]:
            slots[place & last] = crc << 32 | unit
            return True
    return False


def main() -> int:
    """Make the file; return the exit code."""
    os.nice(19)
    agent = os.getppid()
    try:
        build(Path(sys.argv[1]), lambda: os.getppid() == agent)
    except (OSError, LookupFailedError) as error:
        sys.stderr.write(f"ready answers cannot be made: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
