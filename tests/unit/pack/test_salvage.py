"""The complete lines of a torn or damaged gzip file."""

import gzip
import tracemalloc
import zlib

import pytest

from apidanalytics.pack.salvage import Salvage, is_record, split_lines
from tests.unit.pack.gofiles import gzipped, record

BATCHES = [[record(1), record(2)], [record(3, 70_000)], [record(4)]]
ALL = [line + b"\n" for batch in BATCHES for line in batch]


@pytest.fixture
def read(tmp_path):
    def read(content):
        path = tmp_path / "file.txt.gz"
        path.write_bytes(content)
        salvage = Salvage(path)
        return salvage, list(salvage.lines())

    return read


def test_a_whole_file_gives_all_its_lines_and_says_that_it_is_whole(read):
    content, _ = gzipped(BATCHES)
    salvage, lines = read(content)
    assert lines == ALL
    assert salvage.is_whole
    assert (salvage.records, salvage.bytes) == (4, len(b"".join(ALL)))


def test_lines_over_64_kilobytes_do_not_end_the_reading(read):
    content, _ = gzipped([[record(1, 300_000)], [record(2)]])
    _, lines = read(content)
    assert lines == [record(1, 300_000) + b"\n", record(2) + b"\n"]


def test_a_file_that_was_never_closed_gives_every_flushed_batch(read):
    content, _ = gzipped(BATCHES, closed=False)
    salvage, lines = read(content)
    assert lines == ALL
    assert salvage.is_torn
    assert not salvage.is_whole
    assert not salvage.fault


def test_a_half_last_line_is_left_out_and_its_length_is_known(read):
    content, _ = gzipped([[record(1)]], closed=False)
    compressor = zlib.compressobj(6, zlib.DEFLATED, 31)
    content = compressor.compress(record(1) + b"\n" + record(2)[:-5]) + compressor.flush(zlib.Z_SYNC_FLUSH)
    salvage, lines = read(content)
    assert lines == [record(1) + b"\n"]
    assert salvage.cut_bytes == len(record(2)) - 5
    assert salvage.is_torn
    assert not salvage.fault


def test_a_last_line_that_lacks_only_its_line_feed_is_complete(read):
    salvage, lines = read(gzip.compress(record(1) + b"\n" + record(2)))
    assert lines == [record(1) + b"\n", record(2) + b"\n"]
    assert not salvage.is_whole


def test_a_half_line_with_a_line_feed_is_no_record(read):
    salvage, lines = read(gzip.compress(record(1) + b"\n" + record(2)[:-5] + b"\n" + record(3) + b"\n"))
    assert lines == [record(1) + b"\n", record(3) + b"\n"]
    assert (salvage.bad_lines, salvage.bad_bytes) == (1, len(record(2)) - 4)
    assert not salvage.is_whole


def test_a_wrong_checksum_is_a_fault_and_the_lines_are_still_given(read):
    content = gzip.compress(b"".join(ALL))
    salvage, lines = read(content[:-8] + bytes(4) + content[-4:])
    assert lines == ALL
    assert salvage.fault


def test_damage_in_the_middle_is_a_fault_and_what_comes_before_it_is_given(read):
    content, flushed = gzipped(BATCHES)
    damaged = content[: flushed[0]] + b"\xff" * 50 + content[flushed[0] + 50 :]
    salvage, lines = read(damaged)
    assert lines == ALL[:2]
    assert salvage.fault


def test_a_file_whose_end_was_never_written_but_for_zeros_gives_what_was(read):
    content, flushed = gzipped(BATCHES, closed=False)
    salvage, lines = read(content[: flushed[1]] + bytes(200_000))
    assert lines == ALL[:3]
    assert not salvage.is_whole


def test_zeros_after_a_whole_file_are_padding(read):
    salvage, lines = read(gzip.compress(b"".join(ALL)) + bytes(200_000))
    assert lines == ALL
    assert salvage.is_whole


def test_several_members_are_one_file(read):
    salvage, lines = read(b"".join(gzip.compress(line) for line in ALL))
    assert lines == ALL
    assert salvage.is_whole


@pytest.mark.parametrize("content", [b"no gzip at all", b"\x00" * 100, b'{"n":1}\n'])
def test_what_is_no_gzip_gives_nothing_and_is_a_fault(read, content):
    salvage, lines = read(content)
    assert lines == []
    assert salvage.fault


@pytest.mark.parametrize("length", [0, 1, 9, 10, 15])
def test_a_file_with_hardly_a_beginning_is_torn_and_gives_nothing(read, length):
    content, _ = gzipped(BATCHES)
    salvage, lines = read(content[:length])
    assert lines == []
    assert salvage.is_torn
    assert not salvage.fault


def test_a_gzip_bomb_does_not_swell_memory(tmp_path):
    path = tmp_path / "bomb.gz"
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    line = b'{"n":1}' + b" " * 1015 + b"}\n"
    path.write_bytes(b"".join(compressor.compress(line * 1000) for _ in range(60)) + compressor.flush())
    salvage = Salvage(path)
    tracemalloc.start()
    try:
        assert list(salvage.lines()) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert salvage.bad_lines == 60_000
    assert peak < 8_000_000


@pytest.mark.parametrize(
    ("line", "is_one"),
    [
        (b"{}", True),
        (b'{"a":{"b":[1,2.50,null]}}', True),
        ('{"a":"ü"}'.encode(), True),
        (b'{"a":"\xff"}', False),
        (b"[]", False),
        (b"1", False),
        (b'"x"', False),
        (b"null", False),
        (b'{"a":1', False),
        (b'{"a":1}}', False),
        (b"[" * 200_000, False),
        (b'{"a":' * 200_000, False),
    ],
)
def test_a_record_is_one_json_object_in_utf_8(line, is_one):
    assert is_record(line) is is_one


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ([], []),
        ([b"a\nb\n"], [(b"a", True), (b"b", True)]),
        ([b"a", b"b", b"c\nd"], [(b"abc", True), (b"d", False)]),
        ([b"a\n", b"", b"\n\nb"], [(b"a", True), (b"b", False)]),
        ([b"a\nb", b"\nc\nd", b"e\n"], [(b"a", True), (b"b", True), (b"c", True), (b"de", True)]),
    ],
)
def test_lines_are_split_wherever_the_pieces_end(pieces, lines):
    assert list(split_lines(pieces)) == lines


def test_output_that_waits_inside_the_inflater_when_the_input_ends_is_not_forgotten(tmp_path):
    content = zlib.compress(b" " * (2 << 20), wbits=31)
    inflater = zlib.decompressobj(31)
    total, cuts = 0, []
    for end in range(1, len(content)):
        total += len(inflater.decompress(content[end - 1 : end]))
        if abs(total - (1 << 20)) < 4000:
            cuts.append((end, total))
    assert any(total > 1 << 20 for _, total in cuts)
    for cut, total in cuts:
        (tmp_path / "file").write_bytes(content[:cut])
        salvage = Salvage(tmp_path / "file")
        assert list(salvage.lines()) == []
        assert salvage.cut_bytes == total
