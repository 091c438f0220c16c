"""A file that is being sent: in pieces, again from the beginning, and noticed when it became shorter."""

import pytest

from apidanalytics.upload.content import PIECE_BYTES, Content


async def read(content):
    return [piece async for piece in content.pieces()]


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES, 999_999])
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


async def test_a_file_that_became_shorter_is_an_error(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * (2 * PIECE_BYTES))
    content = Content.open(path)
    path.write_bytes(b"x" * PIECE_BYTES)
    with pytest.raises(OSError, match="the file ends at"):
        await read(content)
    content.close()


def test_a_file_that_is_not_there_cannot_be_opened(tmp_path):
    with pytest.raises(FileNotFoundError):
        Content.open(tmp_path / "none")
