"""Gzip files as streams: deterministic, compared by their lines, and never written over another file."""

import gzip
import hashlib
import os
import subprocess
import zlib

import pytest
import xxhash

from apidanalytics.errors import DamagedError
from apidanalytics.pack.compress import PIECE_BYTES, describe, gather, read_gzip, same_lines, write_gzip

LINES = [b'{"n":%d,"path":"/v1/orders/%d"}\n' % (n, n * 7919 % 1000) for n in range(20_000)]


def test_the_file_is_valid_gzip_without_a_name_and_with_mtime_zero(tmp_path):
    write_gzip(tmp_path / "a.gz", LINES)
    subprocess.run(["gzip", "-t", str(tmp_path / "a.gz")], check=True)
    content = (tmp_path / "a.gz").read_bytes()
    magic, method, flags, mtime = content[:2], content[2], content[3], content[4:8]
    assert (magic, method, flags, mtime) == (b"\x1f\x8b", 8, 0, bytes(4))
    assert gzip.decompress(content) == b"".join(LINES)


def test_size_and_digest_are_those_of_the_file(tmp_path):
    written = write_gzip(tmp_path / "a.gz", LINES)
    content = (tmp_path / "a.gz").read_bytes()
    assert written.size_bytes == len(content)
    assert (written.sha256, written.md5) == (hashlib.sha256(content).hexdigest(), hashlib.md5(content).hexdigest())
    assert written.xxh3 == xxhash.xxh3_128_hexdigest(content)
    assert describe(tmp_path / "a.gz") == written


def test_the_same_pieces_give_the_same_bytes(tmp_path):
    assert write_gzip(tmp_path / "a", LINES) == write_gzip(tmp_path / "b", iter(LINES))


def test_only_the_owner_may_read_the_file(tmp_path):
    write_gzip(tmp_path / "a", LINES[:1])
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600


def test_a_half_made_file_that_is_another_name_of_a_published_one_is_replaced_and_never_written_over(tmp_path):
    write_gzip(tmp_path / "published", LINES[:10])
    os.link(tmp_path / "published", tmp_path / "part")
    write_gzip(tmp_path / "part", LINES[10:])
    assert gzip.decompress((tmp_path / "published").read_bytes()) == b"".join(LINES[:10])


def test_small_pieces_are_gathered_and_none_is_lost():
    pieces = list(gather([b"x" * 1000] * 200, PIECE_BYTES))
    assert b"".join(pieces) == b"x" * 200_000
    assert [len(piece) >= PIECE_BYTES for piece in pieces] == [True] * 3 + [False]


def test_files_with_the_same_lines_are_the_same_however_they_were_compressed(tmp_path):
    write_gzip(tmp_path / "a", LINES)
    (tmp_path / "b").write_bytes(gzip.compress(b"".join(LINES), 9, mtime=77))
    write_gzip(tmp_path / "c", LINES[:-1])
    assert same_lines(tmp_path / "a", tmp_path / "b")
    assert not same_lines(tmp_path / "a", tmp_path / "c")


def damage_crc(content):
    return content[:-8] + zlib.crc32(b"other").to_bytes(4, "little") + content[-4:]


@pytest.mark.parametrize(
    "damage",
    [lambda content: content[:-1], lambda content: content[:100], damage_crc, lambda _content: b"no gzip at all"],
    ids=["last byte missing", "cut", "checksum", "no gzip"],
)
def test_a_damaged_file_is_an_error_to_read_and_the_same_as_nothing(tmp_path, damage):
    write_gzip(tmp_path / "a", LINES)
    (tmp_path / "b").write_bytes(damage((tmp_path / "a").read_bytes()))
    with pytest.raises(DamagedError):
        list(read_gzip(tmp_path / "b"))
    assert not same_lines(tmp_path / "a", tmp_path / "b")
