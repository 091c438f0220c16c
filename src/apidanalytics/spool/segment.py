"""The format of a spool: one append-only file, frame after frame, each of them one group commit.

::

    spool  = frame(header) frame(group)*
    frame  = magic "APSF" | kind u8 | 3 zero bytes | length u32 | sequence u64 | crc u32 | body
    body   of a header (kind 1):  JSON: format_version and the members of model.SpoolHeader
    body   of a group  (kind 2):  entries u32 | table length u32 | table | chunk*
    table  = ( tenant length u16 | start u64 | records u32 | bytes u64 | stored u32 | codec u8 | tenant, UTF-8 )*
    chunk  = the lines of one tenant and start, as they are (codec 0) or as a zlib stream (codec 1)

All integers are little-endian. The CRC-32 covers the frame's head and body, so a flipped bit in a tenant's name is
seen like one in a record. The sequence counts frames from 0, so a frame that vanished is seen too.

What the end of a file means: a frame that does not check out, with nothing but rubbish behind it, is *torn*: a write
that a crash interrupted and nobody was told of. A good frame behind a bad one means that committed data was damaged
afterwards: *corrupt*, reported as ``Damage``; reading goes on at the good frame.
"""

import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self, cast

import msgspec
from isal import isal_zlib

from apidanalytics.errors import DamagedError, NewerFormatError
from apidanalytics.model import Damage, Entry, SpoolHeader

FORMAT_VERSION: Final = 1
MAGIC: Final = b"APSF"
COMPRESS_FROM: Final = 4096
"""A share below this many bytes is stored as it is: compressing it costs more than it saves."""

_KIND_HEADER: Final = 1
_KIND_GROUP: Final = 2
_HEAD: Final = struct.Struct("<4sB3xIQ")
_CRC: Final = struct.Struct("<I")
_GROUP: Final = struct.Struct("<II")
_ENTRY: Final = struct.Struct("<HQIQIB")
_HEAD_BYTES: Final = _HEAD.size + _CRC.size
_PIECE: Final = 1 << 20
_WINDOW: Final = 1 << 18
_InflateError: Final = cast(type[Exception], isal_zlib.error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one group commit keeps of one tenant and start."""

    tenant: str
    start_at: int
    records: int
    lines: bytes


class _HeaderBody(msgspec.Struct, forbid_unknown_fields=False):
    format_version: int
    number: int
    interval_seconds: int
    max_file_bytes: int
    instance_id: str
    created_at: float


def _frame(kind: int, sequence: int, parts: Sequence[bytes]) -> bytes:
    length = sum(map(len, parts))
    head = _HEAD.pack(MAGIC, kind, length, sequence)
    crc = isal_zlib.crc32(head)
    for part in parts:
        crc = isal_zlib.crc32(part, crc)
    return b"".join((head, _CRC.pack(crc), *parts))


def format_header(header: SpoolHeader) -> bytes:
    """Return the first frame of a spool."""
    return _frame(_KIND_HEADER, 0, [msgspec.json.encode({"format_version": FORMAT_VERSION, **asdict(header)})])


def format_group(sequence: int, shares: Iterable[Share]) -> bytes:
    """Return the frame of one group commit; large shares are compressed."""
    table: list[bytes] = []
    chunks: list[bytes] = []
    for share in shares:
        chunk, codec = share.lines, 0
        if len(chunk) >= COMPRESS_FROM:
            chunk, codec = isal_zlib.compress(chunk, 1), 1
        tenant = share.tenant.encode()
        table.append(
            _ENTRY.pack(len(tenant), share.start_at, share.records, len(share.lines), len(chunk), codec) + tenant
        )
        chunks.append(chunk)
    rows = b"".join(table)
    return _frame(_KIND_GROUP, sequence, [_GROUP.pack(len(table), len(rows)), rows, *chunks])


def _parse_table(table: bytes, count: int, offset: int) -> Iterator[Entry]:
    position = 0
    for _ in range(count):
        tenant_length, start_at, records, size, stored, codec = _ENTRY.unpack_from(table, position)
        position += _ENTRY.size + tenant_length
        tenant = table[position - tenant_length : position].decode()
        yield Entry(
            tenant=tenant,
            start_at=start_at,
            records=records,
            bytes=size,
            offset=offset,
            stored_bytes=stored,
            codec=codec,
        )
        offset += stored


@dataclass(frozen=True, slots=True)
class _Frame:
    kind: int
    sequence: int
    body_offset: int
    length: int

    @property
    def end(self) -> int:
        return self.body_offset + self.length


class SegmentReader:
    """Reads one spool, also one that a worker still appends to: it sees whole committed groups only.

    After ``entries()`` has been exhausted, ``damage`` lists the corrupt stretches it passed over and ``torn_bytes``
    is the length of the unfinished write at the end.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size
        self.header: SpoolHeader | None = None
        """None when the header frame is corrupt; its frames may still be good."""
        self.damage: list[Damage] = []
        self.torn_bytes = 0
        self._window = b""
        self._window_offset = 0

    def __repr__(self) -> str:
        return f"<SegmentReader {self._size} bytes, {len(self.damage)} damaged, {self.torn_bytes} torn>"

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a spool.

        Raises:
            NewerFormatError: a newer version of this program wrote it.
            DamagedError: there is not one good frame in it, though it is not empty.
            OSError: it cannot be opened or read.

        """
        reader = cls(os.open(path, os.O_RDONLY))
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
        self.torn_bytes = 0
        for frame in self._frames():
            if frame.kind == _KIND_GROUP:
                yield from self._entries_of(frame)

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

    def skim(self) -> Iterator[Entry]:
        """Yield the entries without checking them: for a status, never for packing."""
        position = 0
        while (head := self._scan(position, _HEAD_BYTES)) and len(head) == _HEAD_BYTES:
            magic, kind, length, sequence = _HEAD.unpack_from(head)
            frame = _Frame(kind, sequence, position + _HEAD_BYTES, length)
            if magic != MAGIC or frame.end > self._size:
                return
            if kind == _KIND_GROUP:
                yield from self._entries_of(frame)
            position = frame.end

    def _check(self, name: str) -> None:
        self.header = self._read_header()
        if self.header is None and self._size and self._next_good(0) is None:
            raise DamagedError(f"no readable frame in {name}")

    def _read_header(self) -> SpoolHeader | None:
        frame = self._good_frame(0)
        if frame is None or frame.kind != _KIND_HEADER:
            return None
        try:
            body = msgspec.json.decode(self._scan(frame.body_offset, frame.length), type=_HeaderBody)
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
        )

    def _frames(self) -> Iterator[_Frame]:
        position = sequence = 0
        while position < self._size:
            frame = self._good_frame(position)
            if frame is None:
                frame = self._next_good(position + 1)
                if frame is None:
                    self._note_tail(position)
                    return
                start = frame.body_offset - _HEAD_BYTES
                self.damage.append(Damage(offset=position, length=start - position, reason="checksum does not match"))
            elif frame.sequence != sequence:
                reason = f"{frame.sequence - sequence} committed groups are missing"
                self.damage.append(Damage(offset=position, length=0, reason=reason))
            yield frame
            position, sequence = frame.end, frame.sequence + 1

    def _note_tail(self, position: int) -> None:
        """Tell a torn last write from a last frame that is all there, but not as it was written."""
        head = self._scan(position, _HEAD_BYTES)
        length = self._size - position
        if len(head) == _HEAD_BYTES and head.startswith(MAGIC):
            frame_end = position + _HEAD_BYTES + int(_HEAD.unpack_from(head)[2])
            if frame_end == self._size:
                self.damage.append(Damage(offset=position, length=length, reason="checksum does not match"))
                return
        self.torn_bytes = length

    def _good_frame(self, position: int) -> _Frame | None:
        """Return the frame at this position if it is whole and its checksum is right."""
        head = self._scan(position, _HEAD_BYTES)
        if len(head) < _HEAD_BYTES or not head.startswith(MAGIC):
            return None
        _, kind, length, sequence = _HEAD.unpack_from(head)
        frame = _Frame(kind, sequence, position + _HEAD_BYTES, length)
        if frame.end > self._size:
            return None
        crc = isal_zlib.crc32(head[: _HEAD.size])
        for offset in range(frame.body_offset, frame.end, _PIECE):
            crc = isal_zlib.crc32(self._scan(offset, min(_PIECE, frame.end - offset)), crc)
        return frame if _CRC.unpack_from(head, _HEAD.size)[0] == crc else None

    def _next_good(self, position: int) -> _Frame | None:
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

    def _entries_of(self, frame: _Frame) -> Iterator[Entry]:
        count, table_length = _GROUP.unpack(self._scan(frame.body_offset, _GROUP.size))
        table_offset = frame.body_offset + _GROUP.size
        table = self._scan(table_offset, table_length)
        return _parse_table(table, count, table_offset + table_length)

    def _read(self, offset: int, length: int) -> bytes:
        return os.pread(self._descriptor, length, offset)

    def _scan(self, offset: int, length: int) -> bytes:
        """Read as ``_read`` does, but ahead: for going through the file from its beginning to its end."""
        start = offset - self._window_offset
        if start < 0 or start + length > len(self._window):
            if length > _WINDOW:
                return self._read(offset, length)
            self._window, self._window_offset, start = self._read(offset, _WINDOW), offset, 0
        return self._window[start : start + length]


def count_records(path: Path) -> dict[str, tuple[int, int]]:
    """Return (records, bytes of lines) by tenant of a spool, without reading its chunks.

    It trusts what it sees. A spool that cannot be read, or was packed and removed meanwhile, counts nothing.
    """
    totals: dict[str, tuple[int, int]] = {}
    try:
        with SegmentReader(os.open(path, os.O_RDONLY)) as reader:
            for entry in reader.skim():
                records, size = totals.get(entry.tenant, (0, 0))
                totals[entry.tenant] = (records + entry.records, size + entry.bytes)
    except (OSError, ValueError, struct.error):
        return {}
    return totals
