"""A staged file, open for sending: small ones are held whole, large ones are read piece by piece in a thread.

Every file is read once. What is read is held against the checksum of when the file was made: of one that is held whole
before anything is sent, of a larger one while it is sent, and its end is kept back until the whole is known to be
right. So a store that never got the end never has an object of other bytes.
"""

import asyncio
import hashlib
import os
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final, Self

from apidanalytics.upload.checksum import Checksum
from apidanalytics.upload.room import Room

PIECE_BYTES: Final = 256 << 10
"""Sent at once; a file of up to this length is always held whole."""

READ_BYTES: Final = 1 << 20
"""Read at once, in one change of threads; of each file that is sent at most this much is held, and one piece more.

A file of up to this length is held whole, too, while there is room for it: then it is read, and known to be right,
before its turn to be sent comes, and not while it has that.
"""


class Content:
    """The bytes of one file. ``open`` and ``close`` block; ``pieces`` does not, and may be asked again."""

    def __init__(self, descriptor: int, size_bytes: int, whole: bytes | None, made: Checksum | None = None) -> None:
        self.size_bytes = size_bytes
        self._descriptor = descriptor
        self.whole = whole
        """All of it, when it is held whole."""
        self._made = made
        self._room: Room | None = None
        self.is_marked = False
        """Whether its mode is 0400, which stands for a doubt (``prepare.note_doubt``)."""

    def __repr__(self) -> str:
        return f"<Content of {self.size_bytes} bytes>"

    @classmethod
    def open(cls, path: Path | str, made: Checksum | None = None, room: Room | None = None) -> Self:
        """Open the file at ``path``, which had this checksum when it was made; ``room`` is for what is held whole.

        Raises:
            OSError: it cannot be opened or read.
            ChangedError: it is held whole, and has other bytes.

        """
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            content = cls(descriptor, status.st_size, None, made)
            content.is_marked = stat.S_IMODE(status.st_mode) == stat.S_IRUSR
        except BaseException:
            os.close(descriptor)
            raise
        try:
            content._hold(room)
        except BaseException:
            content.close()
            raise
        return content

    def _hold(self, room: Room | None) -> None:
        """Read all of it, when it is small enough, and close the file."""
        if self.size_bytes > PIECE_BYTES:
            if self.size_bytes > READ_BYTES or room is None or not room.take(self.size_bytes):
                return
            self._room = room
        whole = _read(self._descriptor, self.size_bytes, 0)
        if self._made is not None:
            digest = self._made.begin()
            digest.update(whole)
            self._made.compare(digest)
        self.whole = whole
        os.close(self._descriptor)
        self._descriptor = -1

    @classmethod
    def of(cls, content: bytes) -> Self:
        """Return these bytes as if they were a file's."""
        return cls(-1, len(content), content)

    async def pieces(self) -> AsyncIterator[bytes | memoryview]:
        """Yield the whole content from its beginning.

        Raises:
            OSError: it cannot be read, or became shorter.
            ChangedError: it has other bytes than when it was made; its end is not yielded then.

        """
        if self.whole is not None:
            for at in range(0, max(1, self.size_bytes), PIECE_BYTES):
                yield memoryview(self.whole)[at : at + PIECE_BYTES]
            return
        arrived: list[bytes] = []  # and not returned: a thread holds what it returned for a while after that
        digest = self._made.begin() if self._made is not None else None
        takers = (arrived.append,) if digest is None else (digest.update, arrived.append)
        for offset in range(0, self.size_bytes, READ_BYTES):
            await asyncio.to_thread(self._next, offset, *takers)
            read = memoryview(arrived.pop())
            is_end = offset + len(read) == self.size_bytes
            if is_end and digest and self._made is not None:
                self._made.compare(digest)
            while len(read) > PIECE_BYTES:
                yield read[:PIECE_BYTES]
                read = read[PIECE_BYTES:]
            # Whoever sends the last piece has it while more is read: a copy does not keep all that was read with it.
            last = read if is_end else bytes(read)
            del read
            yield last
            del last

    def _next(self, offset: int, *takers: Callable[[bytes], None]) -> None:
        read = _read(self._descriptor, min(READ_BYTES, self.size_bytes - offset), offset)
        for take in takers:
            take(read)

    def md5(self) -> str:
        """Return the MD5 of the content, in lower-case hex. It blocks.

        Raises:
            OSError: it cannot be read, or became shorter.

        """
        digest = hashlib.md5(self.whole or b"", usedforsecurity=False)
        if self.whole is None:
            for offset in range(0, self.size_bytes, READ_BYTES):
                self._next(offset, digest.update)
        return digest.hexdigest()

    def close(self) -> None:
        """Close the file; closing twice is fine."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._room is not None:
            self._room.give_back(self.size_bytes)
            self._room = None


def _read(descriptor: int, length: int, offset: int) -> bytes:
    piece = os.pread(descriptor, length, offset)
    while len(piece) < length:
        more = os.pread(descriptor, length - len(piece), offset + len(piece))
        if not more:
            raise OSError(f"the file ends at {offset + len(piece)} bytes")
        piece += more
    return piece
