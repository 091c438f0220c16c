"""Ready-made tails (``tails``), in one file that all workers share: a look-up takes microseconds, without SQLite.

``tails.bin`` lies beside a live file (``live``) and is made from it in the background (``ready_build``). It says what
the database said after so many change lists; what changed since is asked of the database. In the machine's own byte
order::

    magic, slots, keys, lists     8 bytes each; ``slots`` is a power of two, ``lists`` the change lists in it
    slots x 8 bytes               open addressing: the CRC-32 of what names the key, and where its entry begins, in
                                  units of 8 bytes; a search ends at an empty slot, or after ``MAX_PROBES``
    entries                       ``ENTRY``, then what names the key (tenant id, NUL, API key), the hashes, the tail

The hashes are ``known_keys.hash_text`` of the key, and ``news.part_hash`` of what its tail depends on. An entry names
tenant and key: equal CRCs are no equal keys. Slots are mapped, so workers share them; entries are read one by one, so
that they count in nobody's memory.
"""

import mmap
import os
import struct
from collections.abc import Iterable, MutableSequence, Sequence
from contextlib import suppress
from os import pread
from pathlib import Path
from typing import Final
from zlib import crc32

from apidanalytics.scopes.tails import Learned

FILE_NAME: Final = "tails.bin"
MAGIC: Final = b"apaTAILS"
HEADER: Final = struct.Struct("=8sQQQ")
ENTRY: Final = struct.Struct("=HHH")
"""Lengths of the name, the hashes and the tail."""
UNIT: Final = 8
MAX_PROBES: Final = 64
"""Keys are chosen by others: however many have one CRC, a search is short. Who finds no place is left out."""
READ_BYTES: Final = 448
"""Read at once: nearly every entry is shorter, and the interpreter keeps room for pieces of this length at hand."""
_LOW: Final = (1 << 32) - 1
_NAME_AT: Final = ENTRY.size
_TAIL_END: Final = b"}\n"
_UNREADABLE: Final = (OSError, ValueError, TypeError, struct.error)
"""What reading a damaged file may raise; a TypeError, where the length of hashes is none."""
_lengths: Final = ENTRY.unpack_from
_USUAL: Final = struct.Struct("=4q")
"""The hashes of a key with a product, an app and a developer: as a tuple they are there in half the time."""
_USUAL_BYTES: Final = _USUAL.size
_usual_hashes: Final = _USUAL.unpack


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

    def find(self, name: bytes) -> Learned | None:
        """Return what is said of the key that is named like this.

        Raises:
            OSError, ValueError, struct.error: it cannot be read.

        """
        place = crc = crc32(name)
        while (slot := self._slots[place & self._last]) and place < crc + MAX_PROBES:
            if slot >> 32 == crc and (learned := self._read((slot & _LOW) * UNIT, name)):
                return learned
            place += 1
        return None

    def fill(
        self, tenant_id: str, api_keys: Sequence[str | None], tails: MutableSequence[bytes | None], changed: set[int]
    ) -> None:
        """Put in the tails of the keys in whose place there is none, as far as they are found at the first try.

        None that depends on what has ``changed``. It is one loop, and as little in it as there can be: most of what it
        takes is waiting for code and data that are in no cache.

        Raises:
            OSError, ValueError, TypeError, struct.error: it cannot be read.

        """
        slots, last, descriptor = self._slots, self._last, self._descriptor
        for at, tail in enumerate(tails):
            if tail is None and (api_key := api_keys[at]) is not None:
                name = f"{tenant_id}\0{api_key}".encode()
                place = crc = crc32(name)
                while (slot := slots[place & last]) and slot >> 32 != crc and place < crc + MAX_PROBES:
                    place += 1
                if slot >> 32 != crc:
                    continue
                piece = pread(descriptor, READ_BYTES, (slot & _LOW) * UNIT)
                length, hashes_length, tail_length = _lengths(piece)
                tail_at = _NAME_AT + length + hashes_length
                end = tail_at + tail_length
                if (
                    length == len(name)
                    and end <= len(piece)
                    and piece.startswith(name, _NAME_AT)
                    and piece.endswith(_TAIL_END, 0, end)
                    and not (changed and _is_among(changed, piece[_NAME_AT + length : tail_at]))
                ):
                    tails[at] = piece[tail_at:end]

    def close(self) -> None:
        """Let go of it. Only once."""
        self._slots.release()
        self._map.close()
        os.close(self._descriptor)

    def _read(self, at: int, name: bytes) -> Learned | None:
        """Return what the entry that begins there says, if it is the one of this name."""
        piece = pread(self._descriptor, READ_BYTES, at)
        length, hashes_length, tail_length = _lengths(piece)
        if length != len(name) or not piece.startswith(name, _NAME_AT):
            return None
        tail_at = _NAME_AT + length + hashes_length
        end = tail_at + tail_length
        if end > READ_BYTES:
            piece = pread(self._descriptor, end, at)
        if len(piece) < end or not piece.endswith(_TAIL_END, 0, end):
            raise ValueError("a damaged entry")
        return piece[tail_at:end], piece[_NAME_AT + length : tail_at]


class ReadyAnswers:
    """Answers from the file as long as they hold: nothing that they are made of has changed since."""

    def __init__(self, changed: Iterable[int] = ()) -> None:
        """Take the hashes of keys and parts that changed: at least of all that did since the file was made."""
        self._changed = set(changed)
        self._file: ReadyFile | None = None

    def __repr__(self) -> str:
        return f"<ReadyAnswers {self._file}, {len(self._changed)} changed since>"

    def find(self, tenant_id: str, api_key: str) -> Learned | None:
        """Return the answer; None: ask the database."""
        if self._file is None:
            return None
        try:
            found = self._file.find(f"{tenant_id}\0{api_key}".encode())
            return None if found is None or _is_among(self._changed, found[1]) else found
        except UnicodeEncodeError:
            return None
        except _UNREADABLE:  # damaged on disk: the database has the same
            self.close()
            return None

    def fill(self, tenant_id: str, api_keys: Sequence[str | None], tails: MutableSequence[bytes | None]) -> None:
        """Put in the tails of the keys in whose place there is none, as far as that is quickly done."""
        if self._file is not None:
            with suppress(*_UNREADABLE):  # what to do then, ``find`` knows
                self._file.fill(tenant_id, api_keys, tails, self._changed)

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


def _is_among(changed: set[int], hashes: bytes) -> bool:
    """Return whether one of these hashes is among those."""
    numbers = _usual_hashes(hashes) if len(hashes) == _USUAL_BYTES else memoryview(hashes).cast("q")
    return not changed.isdisjoint(numbers)


def _read_header(header: bytes, size: int) -> tuple[int, int, int]:
    """Return the numbers of slots, keys and lists."""
    if len(header) < HEADER.size or not header.startswith(MAGIC):
        raise ValueError("not a file of ready answers")
    _, slots, keys, lists = HEADER.unpack(header)
    if slots < 1 or slots & (slots - 1) or size < HEADER.size + 8 * slots:
        raise ValueError("not a whole file of ready answers")
    return slots, keys, lists
