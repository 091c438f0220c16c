"""A file that is being sent: in pieces, again from the beginning, and noticed when it became shorter."""

import hashlib
import tracemalloc

import pytest
import xxhash

from apidanalytics.upload.checksum import ChangedError, Checksum
from apidanalytics.upload.content import PIECE_BYTES, READ_BYTES, Content
from apidanalytics.upload.room import Room


def checksum(whole, kind="XXH3"):
    if kind == "XXH3":
        return Checksum(sha256="not looked at", xxh3=xxhash.xxh3_128_hexdigest(whole))
    return Checksum(sha256=hashlib.sha256(whole).hexdigest())


async def read(content):
    return [piece async for piece in content.pieces()]


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 999_999, 3 * READ_BYTES + 1])
async def test_the_pieces_are_the_whole_file_each_time_they_are_asked(tmp_path, size):
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * (size // 256 + 1))
    with path.open("r+b") as file:
        file.truncate(size)
    content = Content.open(path)
    try:
        for _ in range(2):
            pieces = await read(content)
            assert b"".join(pieces) == path.read_bytes()
            assert max(map(len, pieces)) <= PIECE_BYTES
        assert content.size_bytes == size
    finally:
        content.close()
        content.close()


async def test_what_was_read_is_let_go_before_more_is_read_whatever_the_sender_still_has(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(4 * READ_BYTES))
    content = Content.open(path)
    await read(content)  # what is made at first use is none of it
    tracemalloc.start()
    try:
        async for piece in content.pieces():  # noqa: B007 - it is held until the next one comes, as a sender does
            pass
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        content.close()
    assert READ_BYTES <= most < READ_BYTES + 3 * PIECE_BYTES


async def test_a_file_that_became_shorter_is_an_error(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * (2 * READ_BYTES))
    content = Content.open(path)
    path.write_bytes(b"x" * READ_BYTES)
    with pytest.raises(OSError, match="the file ends at"):
        await read(content)
    content.close()


def test_a_file_that_is_not_there_cannot_be_opened(tmp_path):
    with pytest.raises(FileNotFoundError):
        Content.open(tmp_path / "none")


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES])
@pytest.mark.parametrize("kind", ["SHA-256", "XXH3"])
def test_a_small_file_of_other_bytes_is_not_opened(tmp_path, size, kind):
    path = tmp_path / "file"
    path.write_bytes(b"x" * size)
    Content.open(path, checksum(b"x" * size, kind)).close()
    with pytest.raises(ChangedError, match=kind):
        Content.open(path, checksum(b"y" * size + b"z", kind))


def test_a_larger_one_is_held_whole_and_checked_while_there_is_room(tmp_path):
    path, whole, room = tmp_path / "file", b"x" * READ_BYTES, Room(READ_BYTES + 1)
    path.write_bytes(whole)
    held = Content.open(path, checksum(whole), room)
    beside = Content.open(path, checksum(whole), room)
    assert (held.whole, beside.whole) == (whole, None)
    for content in (held, held, beside):
        content.close()
    with pytest.raises(ChangedError, match="XXH3"):
        Content.open(path, checksum(b"other"), room)
    assert room.take(READ_BYTES + 1)  # all of it was given back, once
    assert not room.take(1)


def test_no_room_makes_a_file_be_held_that_is_longer_than_what_is_read_at_once(tmp_path):
    path, room = tmp_path / "file", Room(4 * READ_BYTES)
    path.write_bytes(b"x" * (READ_BYTES + 1))
    content = Content.open(path, checksum(b"other"), room)
    assert content.whole is None
    content.close()
    assert room.take(4 * READ_BYTES)


@pytest.mark.parametrize("kind", ["SHA-256", "XXH3"])
@pytest.mark.parametrize("size", [PIECE_BYTES + 1, 999_999, READ_BYTES + 1, 3 * READ_BYTES])
@pytest.mark.parametrize("place", ["first", "last"])
async def test_of_a_large_file_with_a_flipped_bit_the_end_is_never_sent(tmp_path, size, place, kind):
    path = tmp_path / "file"
    whole = b"x" * size
    path.write_bytes(whole)
    content = Content.open(path, checksum(whole, kind))
    assert b"".join(await read(content)) == whole
    with path.open("r+b") as file:
        file.seek(0 if place == "first" else size - 1)
        file.write(b"y")
    for _ in range(2):
        assert await sent_before_the_change_was_seen(content) == (size - 1) // READ_BYTES * READ_BYTES
    content.close()


async def sent_before_the_change_was_seen(content):
    sent = 0
    try:
        async for piece in content.pieces():
            sent += len(piece)
    except ChangedError:
        return sent
    pytest.fail("nothing was seen")


@pytest.mark.parametrize(("mode", "is_marked"), [(0o400, True), (0o600, False), (0o440, False), (0o444, False)])
def test_only_0400_marks_a_doubt(tmp_path, mode, is_marked):
    path = tmp_path / "file"
    path.write_bytes(b"line\n")
    path.chmod(mode)
    content = Content.open(path)
    content.close()
    assert content.is_marked is is_marked
