"""The format of a spool: one file, frame after frame, each of them one group commit.

::

    spool  = frame(header) frame(group)* frame(end)? zero*
    frame  = magic "APSF" | kind u8 | 3 zero bytes | length u32 | sequence u64 | crc u32 | body
    body   of a header (kind 1):  JSON: format_version and the members of model.SpoolHeader
    body   of a group  (kind 2):  entries u32 | table length u32 | table | chunk*
    body   of a keyed group (3):  claims u32 | claims length u32 | claims | the body of a group
    body   of an end   (kind 4):  nothing
    claims = ( ticket u64 | tenant length u16 | key length u8 | tenant, UTF-8 | key, ASCII )*
    table  = ( tenant length u16 | start u64 | records u32 | bytes u64 | stored u32 | codec u8 | tenant, UTF-8 )*
    chunk  = the lines of one tenant and start, as they are (codec 0) or as a zlib stream (codec 1)

All integers are little-endian. The CRC-32 covers the frame's head and body, so a flipped bit in a tenant's name is
seen like one in a record. The sequence counts frames from 0, so a frame that vanished is seen too.

A claim says that a batch in this group was sent with that ``Idempotency-Key``. Format 1 had no keyed groups.

The end is written when a spool is sealed, so that one from which whole groups were cut off is known for what it is.
``marks_end`` in the header says that it will be; a version that knows nothing of it passes it over.

What the end of a file means: zeros are room that was written ahead and not used. A frame that does not check out,
with nothing but rubbish behind it, is *torn*: a write that a crash interrupted and nobody was told of. A good frame
behind a bad one means that committed data was damaged afterwards: *corrupt*, reported as ``Damage``; reading goes on
at the good frame.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import msgspec
from isal import isal_zlib

from apidanalytics.model import Claim, Entry, SpoolHeader

FORMAT_VERSION: Final = 2
MAGIC: Final = b"APSF"
HEADER: Final = 1
"""Kind of the first frame."""
GROUP: Final = 2
"""Kind of most others."""
KEYED: Final = 3
"""Kind of those in which a batch has a claim."""
END: Final = 4
"""Kind of the last frame of a sealed spool."""
COMPRESS_FROM: Final = 32768
"""A share below this many bytes is stored as it is: compressing 23 KB takes 30 us more than it saves in the write and
the sync, and decompressing them, to pack them, 30 more."""
HEAD: Final = struct.Struct("<4sB3xIQ")
CRC: Final = struct.Struct("<I")
HEAD_BYTES: Final = HEAD.size + CRC.size
COUNTS: Final = struct.Struct("<II")
"""Entries and table length, at the beginning of a group; claims and their length, at that of a keyed one."""
_ENTRY: Final = struct.Struct("<HQIQIB")
_CLAIM: Final = struct.Struct("<QHB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one group commit keeps of one tenant and start."""

    tenant: str
    start_at: int
    records: int
    lines: bytes


class HeaderBody(msgspec.Struct):
    """The body of a header frame."""

    format_version: int
    number: int
    interval_seconds: int
    max_file_bytes: int
    instance_id: str
    created_at: float
    owner: int = 0
    marks_end: bool = False


def _frame(kind: int, sequence: int, parts: Sequence[bytes]) -> bytes:
    length = sum(map(len, parts))
    head = HEAD.pack(MAGIC, kind, length, sequence)
    crc = isal_zlib.crc32(head)
    for part in parts:
        crc = isal_zlib.crc32(part, crc)
    return b"".join((head, CRC.pack(crc), *parts))


def format_header(header: SpoolHeader) -> bytes:
    """Return the first frame of a spool."""
    return _frame(HEADER, 0, [msgspec.json.encode({"format_version": FORMAT_VERSION, **asdict(header)})])


def format_end(sequence: int) -> bytes:
    """Return the last frame of a spool; its number tells how many there are before it."""
    return _frame(END, sequence, [])


def format_group(sequence: int, shares: Iterable[Share], claims: Sequence[Claim] = ()) -> bytes:
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
    body = [COUNTS.pack(len(table), len(rows)), rows, *chunks]
    if not claims:
        return _frame(GROUP, sequence, body)
    return _frame(KEYED, sequence, [*_format_claims(claims), *body])


def _format_claims(claims: Sequence[Claim]) -> tuple[bytes, bytes]:
    text = bytearray()
    for claim in claims:
        tenant = claim.tenant.encode()
        text += _CLAIM.pack(claim.ticket, len(tenant), len(claim.key)) + tenant + claim.key.encode("ascii")
    return COUNTS.pack(len(claims), len(text)), bytes(text)


def parse_claims(text: bytes) -> Iterator[Claim]:
    """Yield the claims of a keyed group."""
    position = 0
    while position < len(text):
        ticket, tenant_length, key_length = _CLAIM.unpack_from(text, position)
        position += _CLAIM.size + tenant_length
        tenant = text[position - tenant_length : position].decode()
        yield Claim(tenant=tenant, key=text[position : position + key_length].decode("ascii"), ticket=ticket)
        position += key_length


def parse_table(table: bytes, count: int, offset: int) -> Iterator[Entry]:
    """Yield the entries of a group's table; ``offset`` is where its chunks begin in the file."""
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
