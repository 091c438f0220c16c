import tracemalloc
import zlib

import pytest

from apidanalytics.errors import Refusal
from apidanalytics.ingest.inflate import inflate
from tests.unit.ingest.batches import zipped

TEXT = b'{"records":[{"client_received_start_timestamp":1}]}' * 20
MEMBER = zipped(TEXT)
EMPTY_MEMBER = zipped(b"")


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (MEMBER, TEXT),
        (EMPTY_MEMBER, b""),
        (MEMBER + MEMBER, TEXT + TEXT),
        (EMPTY_MEMBER + MEMBER + EMPTY_MEMBER, TEXT),
        (EMPTY_MEMBER * 3000 + MEMBER, TEXT),
        (MEMBER + bytes(512), TEXT),
    ],
    ids=["one", "empty", "two", "empty ones around", "thousands of empty ones", "zero padding"],
)
def test_any_number_of_members_is_unzipped(body: bytes, expected: bytes):
    assert inflate(body, 1 << 20) == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x1f",
        TEXT,
        zlib.compress(TEXT),
        MEMBER[:5],
        MEMBER[: len(MEMBER) // 2],
        MEMBER[:-8],
        MEMBER[:-1],
        flipped(MEMBER, -1),
        flipped(MEMBER, -5),
        flipped(MEMBER, 0),
        MEMBER + b"x",
        MEMBER + b"trailing garbage, longer than a header",
        MEMBER + MEMBER[:-3],
        MEMBER + MEMBER[:4],
        MEMBER + flipped(MEMBER, -5),
        MEMBER + b'{"records":[]}',
        b'{"type":"Buffer","data":[31,139,8,0]}',
    ],
)
def test_what_is_not_gzip_or_damaged_or_cut_short_is_refused(body: bytes):
    with pytest.raises(Refusal, match=r"^400 BAD_DATA: Gzip Encoded data cannot be read$"):
        inflate(body, 1 << 20)


def test_every_cut_is_noticed():
    for length in range(len(MEMBER)):
        with pytest.raises(Refusal):
            inflate(MEMBER[:length], 1 << 20)


@pytest.mark.parametrize("body", [MEMBER, zipped(TEXT[:300]) + zipped(TEXT[300:])], ids=["one member", "two members"])
def test_the_limit_itself_is_allowed_and_a_byte_more_is_not(body: bytes):
    assert inflate(body, len(TEXT)) == TEXT
    assert inflate(body, len(TEXT) - 1) is None


@pytest.mark.parametrize("members", [1, 2])
def test_a_bomb_costs_no_more_memory_than_the_limit(members: int):
    bomb = zipped(bytes(64 << 20)) * members
    tracemalloc.start()
    try:
        assert inflate(bomb, 1 << 20) is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20
