"""Counting spools that grow: the same numbers as reading them whole, at the price of what is new."""

import os

import pytest

from apidanalytics.model import Claim
from apidanalytics.spool import counting
from apidanalytics.spool.counting import SpoolCounts, count_records
from apidanalytics.spool.frame import HEAD_BYTES, Share, format_group


@pytest.fixture
def spool(tmp_path):
    path = tmp_path / "000000000001.spool"
    path.touch()
    return path


def share(tenant, records, start_at=1000):
    return Share(tenant=tenant, start_at=start_at, records=records, lines=b'{"a":1}\n' * records)


def append(path, sequence, *shares, claims=()):
    with path.open("ab") as file:
        file.write(format_group(sequence, shares, claims))


def test_a_growing_spool_is_counted_as_a_whole_reading_counts_it(spool):
    counts = SpoolCounts()
    many = [share(f"org{number}~prod", number + 1) for number in range(200)]
    for sequence, group in enumerate([[share("a~b", 2, 1120)], many, [share("a~b", 5)]]):
        append(spool, sequence, *group)
        content = counts.look([(1, spool)])[1]
        assert content.tenants == count_records(spool)
        assert content.records == sum(records for records, _ in count_records(spool).values())
    assert content.oldest_start_at == 1000


@pytest.mark.parametrize("claims", [1, 100])
def test_a_group_with_idempotency_keys_counts_like_any_other(spool, claims):
    counts, keys = SpoolCounts(), [Claim(tenant="a~b", key=f"key-{n}", ticket=n) for n in range(claims)]
    append(spool, 0, share("a~b", 3), claims=keys)
    append(spool, 1, share("a~b", 4))
    assert counts.look([(1, spool)])[1].tenants == count_records(spool) == {"a~b": (7, 56)}


def test_a_group_that_is_being_written_into_room_is_counted_once_its_table_is_there(spool):
    counts, frame = SpoolCounts(), format_group(0, [share("a~b", 3)])
    spool.write_bytes(frame[:HEAD_BYTES] + bytes(1000))
    assert counts.look([(1, spool)])[1].records == 0
    spool.write_bytes(frame + bytes(1000))
    assert counts.look([(1, spool)])[1].records == 3


def test_only_what_is_new_is_read(spool, monkeypatch):
    counts = SpoolCounts()
    for sequence in range(50):
        append(spool, sequence, share("a~b", 1))
    counts.look([(1, spool)])
    reads = []
    monkeypatch.setattr(counting.os, "pread", lambda *args, read=os.pread: reads.append(args) or read(*args))
    append(spool, 50, share("a~b", 1))
    assert counts.look([(1, spool)])[1].records == 51
    assert len(reads) == 1


def test_a_write_that_is_not_complete_yet_is_counted_once_it_is(spool):
    counts, frame = SpoolCounts(), format_group(0, [share("a~b", 3)])
    spool.write_bytes(frame[:-1])
    assert counts.look([(1, spool)])[1].records == 0
    spool.write_bytes(frame)
    assert counts.look([(1, spool)])[1].records == 3


def test_a_refused_write_that_was_cut_off_again_is_not_counted_any_more(spool):
    counts = SpoolCounts()
    append(spool, 0, share("a~b", 3))
    whole = spool.stat().st_size
    append(spool, 1, share("a~b", 4))
    assert counts.look([(1, spool)])[1].records == 7
    os.truncate(spool, whole)
    assert counts.look([(1, spool)])[1].records == 3


def test_what_is_no_spool_or_gone_holds_nothing_and_what_is_not_asked_for_is_forgotten(spool, tmp_path):
    counts = SpoolCounts()
    spool.write_bytes(b"no spool at all, but long enough for a head of a frame")
    found = counts.look([(1, spool), (2, tmp_path / "gone.spool")])
    assert (found[1].records, found[2].records) == (0, 0)
    assert counts.look([]) == {}
    assert repr(counts) == "<SpoolCounts of 0 spools>"
