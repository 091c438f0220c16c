"""The format of a spool: what was committed is read back, and damage is told from a torn write."""

import random
from dataclasses import replace
from itertools import accumulate

import pytest
from isal import isal_zlib

from apidanalytics.errors import DamagedError, NewerFormatError
from apidanalytics.model import Claim, SpoolHeader
from apidanalytics.spool import frame
from apidanalytics.spool.counting import count_records
from apidanalytics.spool.frame import Share, format_end, format_group, format_header
from apidanalytics.spool.segment import SegmentReader

HEADER = SpoolHeader(number=77, interval_seconds=120, max_file_bytes=1000, instance_id="i-1", created_at=12.5, owner=9)
SMALL = Share(tenant="acme~prod", start_at=120, records=2, lines=b'{"a":1}\n{"a":2}\n')
OTHER = Share(tenant="globex~prod", start_at=240, records=1, lines=b'{"b":1}\n')
LARGE = Share(tenant="acme~prod", start_at=120, records=1800, lines=b'{"a":"0123456789"}\n' * 1800)
GROUPS = ([SMALL, OTHER], [LARGE], [OTHER])
CLAIMS = (
    (Claim(tenant="acme~prod", key="k-1", ticket=1 << 62), Claim(tenant="globex~prod", key="!", ticket=7)),
    (),
    (),
)


def frames(groups=GROUPS):
    claims = CLAIMS if groups is GROUPS else [()] * len(groups)
    return [format_group(n, group, keyed) for n, (group, keyed) in enumerate(zip(groups, claims, strict=True), 1)]


def spool_bytes(groups=GROUPS):
    return format_header(HEADER) + b"".join(frames(groups))


def frame_borders(groups=GROUPS):
    borders = [len(format_header(HEADER))]
    for group in frames(groups):
        borders.append(borders[-1] + len(group))
    return borders


@pytest.fixture
def write(tmp_path):
    def write_spool(content):
        path = tmp_path / "00000000004d.spool"
        path.write_bytes(content)
        return path

    return write_spool


def lacks_end(path):
    """Return what is said after reading it, and after skimming it."""
    with SegmentReader.open(path) as reader:
        list(reader.entries())
        read = reader.lacks_end
        list(reader.skim())
        return read, reader.lacks_end


def read_all(path):
    with SegmentReader.open(path) as reader:
        shares = [
            Share(tenant=entry.tenant, start_at=entry.start_at, records=entry.records, lines=reader.read(entry))
            for entry in reader.entries()
        ]
        return shares, reader.damage, reader.torn_bytes


def flat(groups):
    return [share for group in groups for share in group]


def test_what_was_committed_is_read_back_in_order(write):
    path = write(spool_bytes())
    assert read_all(path) == (flat(GROUPS), [], 0)
    with SegmentReader.open(path) as reader:
        assert reader.header == HEADER


def test_the_claims_of_every_good_group_are_read_back(write):
    content = bytearray(spool_bytes())
    for expected in (list(CLAIMS[0]), []):
        with SegmentReader.open(write(bytes(content))) as reader:
            assert [reader.read(entry) for entry in reader.entries()][-1] == OTHER.lines
            assert list(reader.claims()) == expected
        content[frame_borders()[1] - 1] ^= 1


def test_a_spool_of_format_1_is_read(write, monkeypatch):
    monkeypatch.setattr(frame, "FORMAT_VERSION", 1)
    content = format_header(HEADER).replace(b',"owner":9', b"")
    head = frame.HEAD.pack(frame.MAGIC, frame.HEADER, len(content) - frame.HEAD_BYTES, 0)
    body = content[frame.HEAD_BYTES :]
    crc = isal_zlib.crc32(body, isal_zlib.crc32(head))
    monkeypatch.undo()
    path = write(head + frame.CRC.pack(crc) + body + format_group(1, GROUPS[0]))
    assert read_all(path) == (GROUPS[0], [], 0)
    with SegmentReader.open(path) as reader:
        assert reader.header.owner == 0


def test_large_shares_are_compressed_and_small_ones_are_not(write):
    assert len(LARGE.lines) >= frame.COMPRESS_FROM
    with SegmentReader.open(write(spool_bytes())) as reader:
        codecs = [(entry.codec, entry.stored_bytes < entry.bytes) for entry in reader.entries()]
    assert codecs == [(0, False), (0, False), (1, True), (0, False)]


def test_a_spool_cut_at_any_byte_keeps_every_whole_group_and_counts_the_torn_rest(write):
    content, borders = spool_bytes(), frame_borders()
    for cut in range(borders[0], len(content)):
        whole = [group for group, end in zip(GROUPS, borders[1:], strict=True) if end <= cut]
        shares, damage, torn = read_all(write(content[:cut]))
        assert (shares, damage) == (flat(whole), [])
        last = max(border for border in borders if border <= cut)
        assert torn == len(content[last:cut].rstrip(b"\0")), "zeros are room that was not used"


def test_a_flipped_bit_loses_only_its_own_group_and_never_invents_a_record(write):
    content, borders = spool_bytes(), frame_borders()
    for bit in range(0, len(content) * 8, 8 * 7 + 3):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        shares, damage, torn = read_all(write(bytes(damaged)))
        hit = sum(border <= bit // 8 for border in borders)  # 0: the header; n: the n-th group
        expected = [group for n, group in enumerate(GROUPS, 1) if n != hit]
        assert shares == flat(expected), bit
        assert damage or torn, bit
        if hit < len(GROUPS):
            assert damage, "a good frame follows, so this is no torn write"


def test_a_damaged_last_group_is_corrupt_and_not_torn(write):
    content = bytearray(spool_bytes())
    content[-3] ^= 1
    _, damage, torn = read_all(write(bytes(content)))
    assert torn == 0
    assert damage[0].offset == frame_borders()[-2]


ROOM = bytes(5000)
NOISE = Share(tenant="acme~prod", start_at=120, records=1, lines=random.Random(1).randbytes(5000))
"""It does not compress, so its frame fills ten sectors."""


def test_a_damaged_group_with_another_behind_it_is_corrupt_though_no_good_one_follows(write):
    content = bytearray(spool_bytes() + ROOM)
    *_, last_but_one, last, end = frame_borders()
    for start, stop in ((last_but_one, last), (last, end)):
        content[(start + stop) // 2] ^= 1
    shares, damage, torn = read_all(write(bytes(content)))
    assert shares == GROUPS[0]
    assert (torn, sum(stretch.length for stretch in damage)) == (0, end - last_but_one)


def test_room_that_was_not_used_is_neither_torn_nor_damaged(write):
    for content in (spool_bytes(), format_header(HEADER)):
        expected = read_all(write(content))
        path = write(content + ROOM)
        assert read_all(path) == expected
        with SegmentReader.open(path) as reader:
            assert reader.header == HEADER
    assert count_records(write(spool_bytes() + ROOM)) == count_records(write(spool_bytes()))


def test_a_last_frame_of_which_any_sector_is_missing_in_the_room_is_torn(write):
    groups = [*GROUPS, [NOISE]]
    content, start = spool_bytes(groups), frame_borders(groups)[-2]
    for sector in range(start // 512, len(content) // 512 + 1):
        torn_write = bytearray(content + ROOM)
        low, high = max(sector * 512, start), min(sector * 512 + 512, len(content))
        torn_write[low:high] = bytes(high - low)
        shares, damage, torn = read_all(write(bytes(torn_write)))
        assert shares == flat(GROUPS)
        assert damage == [], sector
        assert torn > 0


def test_a_damaged_last_group_is_corrupt_also_with_room_behind_it(write):
    groups = [*GROUPS, [NOISE]]
    content, start = spool_bytes(groups), frame_borders(groups)[-2]
    for byte in range(start + frame.HEAD_BYTES, len(content), 97):
        damaged = bytearray(content + ROOM)
        damaged[byte] ^= 1
        _, damage, torn = read_all(write(bytes(damaged)))
        assert torn == 0
        assert [d.offset for d in damage] == [start]


def test_a_group_that_vanished_is_damage(write):
    borders, content = frame_borders(), spool_bytes()
    shares, damage, _ = read_all(write(content[: borders[1]] + content[borders[2] :]))
    assert shares == flat([GROUPS[0], GROUPS[2]])
    assert "1 committed groups are missing" in damage[0].reason


def test_a_damaged_header_does_not_hide_the_groups_behind_it(write):
    content = bytearray(spool_bytes())
    content[30] ^= 1
    path = write(bytes(content))
    with SegmentReader.open(path) as reader:
        assert reader.header is None
    shares, damage, _ = read_all(path)
    assert shares == flat(GROUPS)
    assert damage[0].offset == 0


def test_an_empty_file_is_refused_because_the_header_was_there_before_the_name(write):
    with pytest.raises(DamagedError, match="no readable frame"):
        read_all(write(b""))


def test_a_sealed_spool_lacks_its_end_wherever_whole_groups_were_cut_off(write):
    content = format_header(replace(HEADER, marks_end=True)) + b"".join(frames())
    for border in accumulate(map(len, frames()), initial=len(content) - sum(map(len, frames()))):
        assert lacks_end(write(content[:border])) == (True, True)
    assert lacks_end(write(content + format_end(len(GROUPS) + 1))) == (False, False)
    assert lacks_end(write(spool_bytes())) == (False, False), "one from before spools were marked"


def test_groups_that_vanished_before_the_end_are_missing(write):
    content = format_header(replace(HEADER, marks_end=True)) + b"".join(frames()[:1]) + format_end(len(GROUPS) + 1)
    _, damage, _ = read_all(write(content))
    assert [one.reason for one in damage] == ["2 committed groups are missing"]


def test_a_file_that_is_no_spool_is_refused(write):
    with pytest.raises(DamagedError, match="no readable frame"):
        SegmentReader.open(write(b"not a spool at all" * 100))


def test_a_newer_format_is_left_alone(write, monkeypatch):
    monkeypatch.setattr(frame, "FORMAT_VERSION", 3)
    path = write(format_header(HEADER))
    monkeypatch.undo()
    with pytest.raises(NewerFormatError, match="format 3"):
        SegmentReader.open(path)


def test_counting_agrees_with_reading(write):
    path = write(spool_bytes() + b"APSF torn")
    assert count_records(path) == {
        "acme~prod": (1802, len(SMALL.lines) + len(LARGE.lines)),
        "globex~prod": (2, 2 * len(OTHER.lines)),
    }


def test_counting_a_spool_that_is_gone_or_rubbish_counts_nothing(write, tmp_path):
    assert count_records(tmp_path / "gone.spool") == {}
    assert count_records(write(b"APSF" + bytes(range(200)) * 3)) == {}
