"""A staged file, open for sending: small ones are held whole, large ones are read piece by piece in a thread."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final, Self

PIECE_BYTES: Final = 256 << 10
"""Read at once; an uploader holds at most this much of each file that it is sending."""


class Content:
    """The bytes of one file. ``open`` and ``close`` block; ``pieces`` does not, and may be asked again."""

    def __init__(self, descriptor: int, size_bytes: int, whole: bytes | None) -> None:
        self.size_bytes = size_bytes
        self._descriptor = descriptor
        self._whole = whole

    def __repr__(self) -> str:
        return f"<Content of {self.size_bytes} bytes>"

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the file at ``path``.

        Raises:
            OSError: it cannot be opened or read.

        """
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            size_bytes = os.fstat(descriptor).st_size
            whole = _read(descriptor, size_bytes, 0) if size_bytes <= PIECE_BYTES else None
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor, size_bytes, whole)

    @classmethod
    def of(cls, content: bytes) -> Self:
        """Return these bytes as if they were a file's."""
        return cls(-1, len(content), content)

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the whole content from its beginning.

        Raises:
            OSError: it cannot be read, or became shorter.

        """
        if self._whole is not None:
            yield self._whole
            return
        for offset, length in self._stretches():
            yield await asyncio.to_thread(_read, self._descriptor, length, offset)

    def md5(self) -> str:
        """Return the MD5 of the content, in lower-case hex. It blocks.

        Raises:
            OSError: it cannot be read, or became shorter.

        """
        digest = hashlib.md5(self._whole or b"", usedforsecurity=False)
        for offset, length in self._stretches():
            digest.update(_read(self._descriptor, length, offset))
        return digest.hexdigest()

    def _stretches(self) -> Iterator[tuple[int, int]]:
        """Yield offset and length of each piece of a content that is not held whole."""
        if self._whole is None:
            for offset in range(0, self.size_bytes, PIECE_BYTES):
                yield offset, min(PIECE_BYTES, self.size_bytes - offset)

    def close(self) -> None:
        """Close the file; closing twice is fine."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _read(descriptor: int, length: int, offset: int) -> bytes:
    piece = os.pread(descriptor, length, offset)
    while len(piece) < length:
        more = os.pread(descriptor, length - len(piece), offset + len(piece))
        if not more:
            raise OSError(f"the file ends at {offset + len(piece)} bytes")
        piece += more
    return piece
