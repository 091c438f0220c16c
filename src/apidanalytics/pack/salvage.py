"""What can be saved of a gzip file that a crash or a bad disk cut or damaged: its complete lines.

Everything is a stream: neither the file nor a line need be short, and no gzip can swell memory.
"""

import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

_GZIP: Final = 31  # window bits: 32 KiB, in a gzip container
_READ_BYTES: Final = 1 << 16
_PIECE_BYTES: Final = 1 << 20

_record = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Salvage:
    """Reads one gzip file. The attributes are complete once ``lines()`` is exhausted."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.records = 0
        self.bytes = 0
        """Length of the complete lines."""
        self.bad_lines = 0
        """Complete lines that are no JSON object."""
        self.bad_bytes = 0
        """Length of those."""
        self.cut_bytes = 0
        """Length of the incomplete last line."""
        self.is_torn = False
        """The file ends before its gzip stream or its last line does."""
        self.fault = ""
        """What is wrong in a way that no interrupted write explains."""

    @property
    def is_whole(self) -> bool:
        """Tell whether the file is a valid gzip file of complete lines and nothing else."""
        return not (self.is_torn or self.fault or self.bad_lines)

    def lines(self) -> Iterator[bytes]:
        """Yield every complete line that is a JSON object, with its line feed."""
        for line, is_ended in split_lines(self._pieces()):
            if is_record(line):
                self.is_torn = self.is_torn or not is_ended
                self.records += 1
                self.bytes += len(line) + 1
                yield line + b"\n"
            elif is_ended:
                self.bad_lines += 1
                self.bad_bytes += len(line) + 1
            else:
                self.is_torn = True
                self.cut_bytes = len(line)

    def _pieces(self) -> Iterator[bytes]:
        """Yield what can be inflated, across members and up to the very byte where it cannot."""
        inflater = zlib.decompressobj(_GZIP)
        for chunk in _chunks(self._path):
            waiting = _without_padding(chunk) if inflater.eof else chunk
            while waiting:
                if inflater.eof:
                    inflater = zlib.decompressobj(_GZIP)
                before = inflater.copy()
                try:
                    yield inflater.decompress(waiting, _PIECE_BYTES)
                except zlib.error as error:
                    self.fault = str(error)
                    yield from _up_to_the_fault(before, waiting)
                    return
                waiting = _without_padding(inflater.unused_data) if inflater.eof else inflater.unconsumed_tail
        yield inflater.flush()
        self.is_torn = not inflater.eof


def _without_padding(data: bytes) -> bytes:
    """Return what follows a member, but for the zeros that may come first and mean nothing."""
    return data.lstrip(b"\0")


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            yield chunk


def _up_to_the_fault(inflater: "zlib._Decompress", data: bytes) -> Iterator[bytes]:
    for position in range(len(data)):
        try:
            yield inflater.decompress(data[position : position + 1])
        except zlib.error:
            return


def split_lines(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield each non-empty line without its line feed, and whether it had one."""
    waiting: list[bytes] = []
    for piece in pieces:
        head, *lines = piece.split(b"\n")
        waiting.append(head)
        if not lines:
            continue
        lines.insert(0, b"".join(waiting))
        waiting = [lines.pop()]
        yield from ((line, True) for line in lines if line)
    if rest := b"".join(waiting):
        yield rest, False


def is_record(line: bytes) -> bool:
    """Tell whether a line is one JSON object in valid UTF-8."""
    try:
        line.decode()
        _record.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
