"""Ready-made answers about API keys, in one file that all workers share: a look-up takes microseconds, without SQLite.

``ready.bin`` lies beside a live file (``live``) and is made from it in the background (``ready_build``). It says what
the database said after so many change lists; what changed since is asked of the database. In the machine's own byte
order::

    magic, slots, keys, lists     8 bytes each; ``slots`` is a power of two, ``lists`` the change lists in it
    slots x 8 bytes               open addressing by the key's hash: its upper 24 bits, then where the entry begins
    entries                       2 bytes of length, then an ``Entry`` as msgpack

An entry names tenant and key: equal hashes are no equal keys. Slots are mapped, so workers share them; entries are
read one by one, so that they count in nobody's memory.
"""

import mmap
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from apidanalytics.model import Developer
from apidanalytics.scopes.developers import Answer
from apidanalytics.scopes.known_keys import hash_text

FILE_NAME: Final = "ready.bin"
MAGIC: Final = b"apaREADY"
HEADER: Final = struct.Struct("=8sQQQ")
LENGTH: Final = struct.Struct("=H")
OFFSET_BITS: Final = 40
TAG_SHIFT: Final = 64 - OFFSET_BITS
READ_BYTES: Final = 512
"""Read at once: nearly every entry is shorter."""

_MASK: Final = (1 << 64) - 1
_OFFSET_MASK: Final = (1 << OFFSET_BITS) - 1


class Entry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One answer."""

    tenant_id: str
    api_key: str
    parts: tuple[int, ...]
    developer: Developer | None
    """None: nobody is known."""


_entries: Final = msgspec.msgpack.Decoder(Entry)


def split(hash_: int) -> tuple[int, int]:
    """Return where the search of a hash begins (modulo the slots), and the tag that its slot carries."""
    unsigned = hash_ & _MASK
    return unsigned, unsigned >> OFFSET_BITS << OFFSET_BITS


class ReadyFile:
    """The file, open. What is not in it may exist nevertheless."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            OSError, ValueError: it is not there, or not whole.

        """
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            stat = os.fstat(self._descriptor)
            self.identity = (stat.st_dev, stat.st_ino)
            slots, self.keys, self.lists = _read_header(os.pread(self._descriptor, HEADER.size, 0), stat.st_size)
            self._map = mmap.mmap(self._descriptor, HEADER.size + 8 * slots, prot=mmap.PROT_READ)
        except BaseException:
            os.close(self._descriptor)
            raise
        self._slots = memoryview(self._map)[HEADER.size :].cast("Q")
        self._last = slots - 1

    def __repr__(self) -> str:
        return f"<ReadyFile of {self.keys} keys after {self.lists} change lists>"

    def find(self, tenant_id: str, api_key: str, hash_: int) -> Entry | None:
        """Return the entry of a key with this hash.

        Raises:
            OSError, ValueError: it cannot be read.

        """
        place, tag = split(hash_)
        slots, last = self._slots, self._last
        while slot := slots[place & last]:
            offset = slot & _OFFSET_MASK
            if slot - offset == tag:
                entry = self._read(offset)
                if entry.api_key == api_key and entry.tenant_id == tenant_id:
                    return entry
            place += 1
        return None

    def close(self) -> None:
        """Let go of it. Only once."""
        self._slots.release()
        self._map.close()
        os.close(self._descriptor)

    def _read(self, offset: int) -> Entry:
        piece = os.pread(self._descriptor, READ_BYTES, offset)
        try:
            (length,) = LENGTH.unpack_from(piece)
        except struct.error as error:
            raise ValueError("an entry is cut") from error
        if length > READ_BYTES - LENGTH.size:
            piece = os.pread(self._descriptor, LENGTH.size + length, offset)
        return _entries.decode(piece[LENGTH.size : LENGTH.size + length])


class ReadyAnswers:
    """Answers from the file as long as they hold: nothing that they are made of has changed since."""

    def __init__(self, changed: Iterable[int] = ()) -> None:
        """Take the hashes of keys and parts that changed: at least of all that did since the file was made."""
        self._changed = set(changed)
        self._file: ReadyFile | None = None

    def __repr__(self) -> str:
        return f"<ReadyAnswers {self._file}, {len(self._changed)} changed since>"

    def find(self, tenant_id: str, api_key: str) -> Answer | None:
        """Return the answer; None: ask the database."""
        if self._file is None:
            return None
        hash_ = hash_text(tenant_id, api_key)
        if hash_ in self._changed:
            return None
        try:
            entry = self._file.find(tenant_id, api_key, hash_)
        except (OSError, ValueError):  # damaged on disk: the database has the same
            self.close()
            return None
        if entry is None or not self._changed.isdisjoint(entry.parts):
            return None
        return Answer(entry.developer, entry.parts)

    def distrust(self, hashes: Iterable[int]) -> None:
        """Count these among what has changed."""
        self._changed.update(hashes)

    def is_taken(self, path: Path) -> bool:
        """Return whether answers come from just this file."""
        try:
            stat = path.stat()
        except OSError:
            return self._file is None
        return self._file is not None and self._file.identity == (stat.st_dev, stat.st_ino)

    def take(self, path: Path, *, first: int, last: int) -> None:
        """Answer from this file from now on, if it was made after ``first`` to ``last`` change lists.

        An earlier one may lack changes that nobody remembers, a later one is ahead of the database as it is read.
        """
        try:
            file = ReadyFile(path)
        except (OSError, ValueError):
            return
        if first <= file.lists <= last:
            self.close()
            self._file = file
        else:
            file.close()

    def close(self) -> None:
        """Let go of the file; every answer comes from the database then. Safe to call twice."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _read_header(header: bytes, size: int) -> tuple[int, int, int]:
    """Return the numbers of slots, keys and lists."""
    if len(header) < HEADER.size or not header.startswith(MAGIC):
        raise ValueError("not a file of ready answers")
    _, slots, keys, lists = HEADER.unpack(header)
    if slots < 1 or slots & (slots - 1) or size < HEADER.size + 8 * slots:
        raise ValueError("not a whole file of ready answers")
    return slots, keys, lists
