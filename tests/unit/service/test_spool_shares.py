"""What each tenant has in spools: read as they grow, and nothing is held open."""

import errno
import os
from itertools import islice
from pathlib import Path

import pytest

from apidanalytics.layout import DataDirectory
from apidanalytics.service.spool_shares import SpoolShares
from apidanalytics.spool.frame import Share, format_group
from apidanalytics.spool.segment import SegmentReader

NAME = "000000000001.spool"


@pytest.fixture
def data(tmp_path):
    data = DataDirectory(tmp_path)
    data.create()
    return data


def append(path, sequence, **bytes_of):
    shares = [Share(tenant=f"{org}~prod", start_at=0, records=1, lines=b"1" * size) for org, size in bytes_of.items()]
    with path.open("ab") as file:
        file.write(format_group(sequence, shares, ()))


def open_files():
    return [str(link.resolve()) for link in Path("/proc/self/fd").iterdir()]


def test_a_spool_is_counted_as_it_grows_until_it_is_packed(data):
    shares = SpoolShares(data)
    append(data.tmp / NAME, 0, acme=100, beta=10)
    assert shares.measure() == {"acme~prod": 100, "beta~prod": 10}
    append(data.tmp / NAME, 1, acme=1)
    assert shares.measure() == shares.measure() == {"acme~prod": 101, "beta~prod": 10}
    append(data.tmp / NAME, 2, beta=2)
    (data.tmp / NAME).rename(data.sealed / NAME)
    assert shares.measure() == {"acme~prod": 101, "beta~prod": 12}
    (data.sealed / NAME).unlink()
    assert shares.measure() == {}


def test_no_spool_stays_open_and_a_sealed_one_is_read_once(data, monkeypatch):
    shares = SpoolShares(data)
    for number in range(20):
        append(data.sealed / f"{number:012x}.spool", 0, acme=1)
    assert shares.measure() == {"acme~prod": 20}
    assert not [name for name in open_files() if name.startswith(str(data.root.resolve()))]
    monkeypatch.setattr(SegmentReader, "open", lambda path: pytest.fail(f"{path} was read again"))
    assert shares.measure() == {"acme~prod": 20}


def test_a_spool_that_cannot_be_read_does_not_hide_the_others(data, monkeypatch):
    opening = os.open

    def refuse(path, flags, *mode, **options):
        if Path(path).name == "bad000000000.spool":
            raise PermissionError(13, "Permission denied")
        return opening(path, flags, *mode, **options)

    append(data.sealed / "bad000000000.spool", 0, beta=1)
    (data.sealed / "000000000002.spool").write_bytes(b"nothing of ours")
    append(data.sealed / NAME, 0, acme=1)
    monkeypatch.setattr("apidanalytics.spool.segment.os.open", refuse)
    assert SpoolShares(data).measure() == {"acme~prod": 1}


def test_what_was_counted_before_the_disk_failed_is_not_counted_again(data, monkeypatch):
    append(data.tmp / NAME, 0, acme=100)
    append(data.tmp / NAME, 1, acme=10)
    follow = SegmentReader.follow

    def fail(reader):
        yield from islice(follow(reader), 1)
        raise OSError(errno.EIO, "input/output error")

    shares = SpoolShares(data)
    with monkeypatch.context() as patch:
        patch.setattr(SegmentReader, "follow", fail)
        assert shares.measure() == {"acme~prod": 100}
        assert shares.measure() == shares.measure() == {"acme~prod": 110}
    append(data.tmp / NAME, 2, acme=1)
    assert shares.measure() == {"acme~prod": 111}
