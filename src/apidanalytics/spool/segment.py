"""Reads a spool: what was committed, what is torn, and what is corrupt. ``frame`` describes the format."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self, cast

import msgspec
from isal import isal_zlib

from apidanalytics.errors import DamagedError, NewerFormatError
from apidanalytics.model import Claim, Damage, Entry, SpoolHeader
from apidanalytics.spool.frame import (
    COUNTS,
    CRC,
    END,
    FORMAT_VERSION,
    GROUP,
    HEAD,
    HEAD_BYTES,
    HEADER,
    KEYED,
    MAGIC,
    HeaderBody,
    parse_claims,
    parse_table,
)
from apidanalytics.spool.sequences import Sequences
from apidanalytics.spool.tail import end_of_content, is_all_there

_PIECE: Final = 1 << 20
_WINDOW: Final = 1 << 18
_GROUPS: Final = (GROUP, KEYED)
_InflateError: Final = cast(type[Exception], isal_zlib.error)


@dataclass(frozen=True, slots=True)
class Frame:
    """Where in a spool a frame lies."""

    kind: int
    sequence: int
    body_offset: int
    length: int

    @property
    def end(self) -> int:
        """Return the offset behind it."""
        return self.body_offset + self.length


class SegmentReader:
    """Reads one spool, also one that a worker still appends to: it sees whole committed groups only.

    After ``entries()`` has been exhausted, ``damage`` lists the corrupt stretches it passed over, ``torn_bytes`` is
    the length of the unfinished write at the end, and ``claims()`` yields the claims of all that it passed.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size
        self._end = self._size  # the zeros of room that was written ahead begin here at the earliest
        self.header: SpoolHeader | None = None
        """None when the header frame is corrupt; its frames may still be good."""
        self.damage: list[Damage] = []
        self.torn_bytes = 0
        self._has_end = False
        self.fixed_bytes = 0
        """How much nobody changes any more, also while a worker has it open: all before the last group passed."""
        self._claims: list[bytes] = []  # as they stand in the file: there may be a million
        self._window = b""
        self._window_offset = 0
        self._skimmed = 0
        self.followed = 0
        """Where the next ``follow()`` begins; a later reader of the same spool may be told to go on there."""

    def __repr__(self) -> str:
        return f"<SegmentReader {self._size} bytes, {len(self.damage)} damaged, {self.torn_bytes} torn>"

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a spool.

        Raises:
            NewerFormatError: a newer version of this program wrote it.
            DamagedError: there is not one good frame in it; the first was there before it got its name.
            OSError: it cannot be opened or read.

        """
        reader = cls(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC))
        try:
            reader._check(path.name)
        except BaseException:
            reader.close()
            raise
        return reader

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def entries(self) -> Iterator[Entry]:
        """Yield the entries of every committed group in the order of commit."""
        self.damage.clear()
        self._claims.clear()
        self.torn_bytes, self._has_end = 0, False
        for frame in self._frames():
            self._has_end = frame.kind == END
            if frame.kind == KEYED:
                self._claims.append(self._claims_of(frame))
            if frame.kind in _GROUPS:
                yield from self._entries_of(frame)

    @property
    def lacks_end(self) -> bool:
        """Whether what was gone through does not finish with the mark that this spool gets when it is sealed."""
        return self.header is not None and self.header.marks_end and not self._has_end

    def claims(self) -> Iterator[Claim]:
        """Yield the claims to idempotency keys of all groups that ``entries()`` has passed."""
        for text in self._claims:
            yield from parse_claims(text)

    def last_claims(self) -> Iterator[Claim]:
        """Yield, of these, the claims of the last group that has some."""
        for text in self._claims[-1:]:
            yield from parse_claims(text)

    def read(self, entry: Entry) -> bytes:
        """Return the lines of an entry that ``entries()`` yielded.

        Raises:
            DamagedError: the chunk no longer is what the entry says.

        """
        lines = self._read(entry.offset, entry.stored_bytes)
        if entry.codec == 1:
            try:
                lines = isal_zlib.decompress(lines, bufsize=max(entry.bytes, 1))
            except _InflateError as error:
                raise DamagedError(f"chunk at byte {entry.offset}: {error}") from error
        if len(lines) != entry.bytes:
            raise DamagedError(f"chunk at byte {entry.offset} has {len(lines)} bytes instead of {entry.bytes}")
        return lines

    def follow(self) -> Iterator[Entry]:
        """Yield the entries, checked, that were committed since the last call; the first time all of them."""
        self._size, self._window = os.fstat(self._descriptor).st_size, b""
        while (frame := self._good_frame(self.followed)) is not None:
            self.followed = frame.end
            if frame.kind in _GROUPS:
                yield from self._entries_of(frame)

    def skim(self) -> Iterator[Entry]:
        """Yield the entries without checking them: for a status, never for packing.

        It ends where frames do not follow each other any more; ``has_skimmed_all`` tells whether that is the end.
        """
        self._skimmed = position = 0
        while (head := self._scan(position, HEAD_BYTES)) and len(head) == HEAD_BYTES:
            magic, kind, length, sequence = HEAD.unpack_from(head)
            frame = Frame(kind, sequence, position + HEAD_BYTES, length)
            if magic != MAGIC or frame.end > self._size:
                return
            self._has_end = kind == END
            if kind in _GROUPS:
                yield from self._entries_of(frame)
            self._skimmed = position = frame.end

    @property
    def has_skimmed_all(self) -> bool:
        """Whether there was nothing but unused room behind what ``skim`` went through."""
        return self._skimmed >= end_of_content(self._read, self._size)

    def _check(self, name: str) -> None:
        self.header = self._read_header()
        if self.header is None and self._next_good(0) is None:
            raise DamagedError(f"no readable frame in {name}")

    def _read_header(self) -> SpoolHeader | None:
        frame = self._good_frame(0)
        if frame is None or frame.kind != HEADER:
            return None
        try:
            body = msgspec.json.decode(self._scan(frame.body_offset, frame.length), type=HeaderBody)
        except msgspec.DecodeError as error:
            raise NewerFormatError(f"the header is not of format {FORMAT_VERSION}: {error}") from error
        if body.format_version > FORMAT_VERSION:
            raise NewerFormatError(f"format {body.format_version}; this version reads up to {FORMAT_VERSION}")
        return SpoolHeader(
            number=body.number,
            interval_seconds=body.interval_seconds,
            max_file_bytes=body.max_file_bytes,
            instance_id=body.instance_id,
            created_at=body.created_at,
            owner=body.owner,
            marks_end=body.marks_end,
        )

    def _frames(self) -> Iterator[Frame]:
        position, sequences = 0, Sequences()
        self._end = end_of_content(self._read, self._size)
        while position < self._end:
            frame = self._good_frame(position)
            if frame is None:
                frame = self._next_good(position + 1)
                if frame is None:
                    self._note_tail(position)
                    return
                start = frame.body_offset - HEAD_BYTES
                self.damage.append(Damage(offset=position, length=start - position, reason="checksum does not match"))
            elif missing := sequences.missing_before(frame.sequence):
                reason = f"{missing} committed groups are missing"
                self.damage.append(Damage(offset=position, length=0, reason=reason))
            if sequences.take(frame.sequence):
                self.fixed_bytes = frame.body_offset - HEAD_BYTES
                yield frame
            else:
                start = frame.body_offset - HEAD_BYTES
                self.damage.append(Damage(offset=start, length=frame.end - start, reason="a copy of another group"))
            position = frame.end

    def _note_tail(self, position: int) -> None:
        """Tell a torn last write from a last frame that is all there, but not as it was written."""
        length = self._end - position
        if is_all_there(self._scan, position, self._end, self._size):
            self.damage.append(Damage(offset=position, length=length, reason="checksum does not match"))
        else:
            self.torn_bytes = length

    def _good_frame(self, position: int) -> Frame | None:
        """Return the frame at this position if it is whole and its checksum is right."""
        head = self._scan(position, HEAD_BYTES)
        if len(head) < HEAD_BYTES or not head.startswith(MAGIC):
            return None
        _, kind, length, sequence = HEAD.unpack_from(head)
        frame = Frame(kind, sequence, position + HEAD_BYTES, length)
        if frame.end > self._size:
            return None
        crc = isal_zlib.crc32(head[: HEAD.size])
        for offset in range(frame.body_offset, frame.end, _PIECE):
            crc = isal_zlib.crc32(self._scan(offset, min(_PIECE, frame.end - offset)), crc)
        return frame if CRC.unpack_from(head, HEAD.size)[0] == crc else None

    def _next_good(self, position: int) -> Frame | None:
        """Return the first good frame at or after this position."""
        while position < self._size:
            piece = self._read(position, _PIECE)
            found = piece.find(MAGIC)
            while found >= 0:
                frame = self._good_frame(position + found)
                if frame is not None:
                    return frame
                found = piece.find(MAGIC, found + 1)
            # The magic may lie across the border of two pieces.
            position += max(len(piece) - len(MAGIC) + 1, 1)
        return None

    def _entries_of(self, frame: Frame) -> Iterator[Entry]:
        start = frame.body_offset
        if frame.kind == KEYED:
            start += COUNTS.size + COUNTS.unpack(self._scan(start, COUNTS.size))[1]
        count, table_length = COUNTS.unpack(self._scan(start, COUNTS.size))
        table_offset = start + COUNTS.size
        table = self._scan(table_offset, table_length)
        return parse_table(table, count, table_offset + table_length)

    def _claims_of(self, frame: Frame) -> bytes:
        _, length = COUNTS.unpack(self._scan(frame.body_offset, COUNTS.size))
        return self._scan(frame.body_offset + COUNTS.size, length)

    def _read(self, offset: int, length: int) -> bytes:
        """Return so many bytes, or all up to the end: before a bad sector the disk gives fewer, and no error yet."""
        found = os.pread(self._descriptor, length, offset)
        while len(found) < length and (more := os.pread(self._descriptor, length - len(found), offset + len(found))):
            found += more
        return found

    def _scan(self, offset: int, length: int) -> bytes:
        """Read as ``_read`` does, but ahead: for going through the file from its beginning to its end."""
        start = offset - self._window_offset
        if start < 0 or start + length > len(self._window):
            if length > _WINDOW:
                return self._read(offset, length)
            self._window, self._window_offset, start = os.pread(self._descriptor, _WINDOW, offset), offset, 0
            if len(self._window) < length:
                return self._read(offset, length)
        return self._window[start : start + length]
