"""A spool in which the disk has bad sectors: tried again, then patched, so that all else of it is delivered."""

import errno
import filecmp
import json
import os

import pytest
from structlog.testing import capture_logs

from apidanalytics import durable, failpoints
from apidanalytics.clock import SystemClock
from apidanalytics.pack import patch
from apidanalytics.pack.packer import Outcome, Packer
from apidanalytics.pack.patch import FILL, PAGE_BYTES, TRIES
from apidanalytics.spool.segment import SegmentReader
from apidanalytics.upload.states import State
from tests.integration.test_pack_spool import create, data, delivered, header, ledger, packer, share

__all__ = ("data", "ledger", "packer")


class BadSectors:
    """Pages that cannot be read. Like Linux it gives what stands before one, and an error only at the page itself."""

    def __init__(self, monkeypatch):
        self.pages = {}
        self._pread, self._cmp = os.pread, filecmp.cmp
        monkeypatch.setattr(os, "pread", self.pread)
        monkeypatch.setattr(filecmp, "cmp", self.cmp)

    def put(self, path, *offsets):
        self.pages[path.stat().st_ino] = [offset - offset % PAGE_BYTES for offset in offsets]

    def pread(self, descriptor, length, offset):
        for page in sorted(self.pages.get(os.fstat(descriptor).st_ino, ())):
            if page <= offset < page + PAGE_BYTES:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            if offset < page:
                length = min(length, page - offset)
        return self._pread(descriptor, length, offset)

    def cmp(self, one, other, shallow):
        if any(path.stat().st_ino in self.pages for path in (one, other)):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return self._cmp(one, other, shallow)


@pytest.fixture
def bad(monkeypatch):
    return BadSectors(monkeypatch)


def sealed_spool(data, sizes=(10_000, 10_000, 10_000)):
    """Return a spool with one record in each group, and where each group begins."""
    spool, starts = create(data), []
    for number, size in enumerate(sizes):
        starts.append(spool.end)
        spool.append([share("acme~prod", number, size=size)])
    return spool.seal(data), starts


def fail(packer, path, times):
    for _ in range(times):
        with pytest.raises(OSError, match="Input/output error"):
            packer.pack(path)


def test_after_some_tries_all_but_what_cannot_be_read_is_delivered(data, ledger, packer, bad):
    path, starts = sealed_spool(data)
    content, status = path.read_bytes(), path.stat()
    bad.put(path, starts[1] + 5000)
    (hole,) = bad.pages[status.st_ino]
    fail(packer, path, TRIES - 1)
    assert path.read_bytes() == content
    assert not list(data.staging.iterdir())
    with capture_logs() as logs:
        assert packer.pack(path).outcome is Outcome.PACKED
    assert delivered(data) == {"acme~prod": [0, 2]}
    assert not list(data.sealed.iterdir()) + list(data.tmp.iterdir())
    kept = data.damaged / path.name
    assert kept.stat().st_ino == status.st_ino
    reason = json.loads((data.damaged / f"{path.name}.reason.json").read_text())
    assert [(d["offset"], d["length"]) for d in reason["damage"]] == [(hole, PAGE_BYTES)]
    patched = data.damaged / f"{path.name}.2"
    assert patched.read_bytes() == content[:hole] + FILL * PAGE_BYTES + content[hole + PAGE_BYTES :]
    assert [entry["name"] for entry in logs if entry["event"] == "pack.set_aside"] == [kept.name, patched.name]
    assert ledger.totals()["acme~prod"][State.STAGED].records == 2
    assert ledger.totals()[""][State.SET_ASIDE].bytes == PAGE_BYTES + starts[2] - starts[1]


def test_one_that_is_packed_already_goes_all_the_same(data, packer, bad):
    path, starts = sealed_spool(data)
    content = path.read_bytes()
    packer.pack(path)
    path.write_bytes(content)
    bad.put(path, starts[1] + 5000)
    fail(packer, path, TRIES - 1)
    assert packer.pack(path).outcome is Outcome.REMOVED
    assert delivered(data) == {"acme~prod": [0, 1, 2]}
    assert list(data.sealed.iterdir()) == []
    assert (data.damaged / path.name).exists()


def test_what_can_be_read_again_in_time_is_delivered_whole(data, packer, bad):
    path, starts = sealed_spool(data)
    bad.put(path, starts[1] + 5000)
    fail(packer, path, TRIES - 1)
    bad.pages.clear()
    packer.pack(path)
    assert delivered(data) == {"acme~prod": [0, 1, 2]}
    assert not list(data.damaged.iterdir())


def test_a_spool_of_which_the_end_cannot_be_read_does_not_end_before_that(data, packer, bad):
    """The border of two groups is that of two pages, so that what is read before the bad one looks whole."""
    spool = create(data)  # its header is as long as its number has digits
    header_end = spool.end
    spool.append([share("acme~prod", 0, size=0)])
    group_bytes = spool.end - header_end
    spool.append([share("acme~prod", 1, size=-(spool.end + group_bytes) % PAGE_BYTES)])
    border = spool.end
    spool.append([share("acme~prod", 2, size=10_000)])
    path = spool.seal(data)
    assert border % PAGE_BYTES == 0
    bad.put(path, border)
    with SegmentReader.open(path) as reader, pytest.raises(OSError, match="Input/output error"):
        list(reader.entries())
    fail(packer, path, TRIES - 1)
    packer.pack(path)
    assert delivered(data) == {"acme~prod": [0, 1]}
    assert (data.damaged / path.name).stat().st_ino in bad.pages


def test_a_spool_of_which_nothing_can_be_read_is_not_given_up(data, packer, bad):
    path, _ = sealed_spool(data)
    bad.put(path, *range(0, path.stat().st_size, PAGE_BYTES))
    fail(packer, path, 2 * TRIES)
    bad.pages.clear()
    packer.pack(path)
    assert delivered(data) == {"acme~prod": [0, 1, 2]}
    assert not list(data.damaged.iterdir())


def test_a_disk_that_takes_no_files_is_no_reason_to_patch_a_spool(data, packer, monkeypatch):
    path, _ = sealed_spool(data)
    with monkeypatch.context() as failing:
        failing.setattr(failpoints, "_armed", failpoints.parse("pack.before_publish=error"))
        for _ in range(2 * TRIES):
            with pytest.raises(OSError, match="failpoint"):
                packer.pack(path)
    packer.pack(path)
    assert delivered(data) == {"acme~prod": [0, 1, 2]}
    assert not list(data.damaged.iterdir())


def test_a_patch_that_is_cut_off_is_made_again_and_then_settled(data, ledger, packer, bad, monkeypatch):
    path, starts = sealed_spool(data)
    bad.put(path, starts[1] + 5000)
    fail(packer, path, TRIES - 1)
    with monkeypatch.context() as cut_off:
        cut_off.setattr(durable, "rename", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "cut off")))
        with pytest.raises(OSError, match="cut off"):
            packer.pack(path)
    with monkeypatch.context() as failing:
        failing.setattr(failpoints, "_armed", failpoints.parse("pack.before_publish=error"))
        with pytest.raises(OSError, match="failpoint"):
            packer.pack(path)
    bad.pages.clear()
    again = Packer(data, ledger, SegmentReader.open, clock=SystemClock(), fallback=header, spool_goes=lambda *_: None)
    again.pack(path)
    assert delivered(data) == {"acme~prod": [0, 2]}
    names = {path.name, f"{path.name}.2"}
    assert {found.name.removesuffix(".reason.json") for found in data.damaged.iterdir()} == names
    assert ledger.totals()[""][State.SET_ASIDE].bytes == PAGE_BYTES + starts[2] - starts[1]


def test_a_disk_that_takes_long_over_bad_sectors_is_not_asked_for_each_page(data, ledger, bad, monkeypatch):
    class Slow(SystemClock):
        at = 0.0

        def monotonic(self):
            self.at += 1
            return self.at

    monkeypatch.setattr(patch, "PIECE_BYTES", 4 * PAGE_BYTES)
    monkeypatch.setattr(patch, "PATIENCE_SECONDS", 6.0)
    path, starts = sealed_spool(data, [1000] * 70)
    bad.put(path, 0, 5 * PAGE_BYTES, 13 * PAGE_BYTES)
    slow = Packer(data, ledger, SegmentReader.open, clock=Slow(), fallback=header, spool_goes=lambda *_: None)
    fail(slow, path, TRIES - 1)
    slow.pack(path)
    reason = json.loads((data.damaged / f"{path.name}.reason.json").read_text())
    found = [(d["offset"] // PAGE_BYTES, d["length"] // PAGE_BYTES) for d in reason["damage"]]
    assert found == [(0, 1), (5, 3), (12, 4)]
    holes = {page for first, pages in found for page in range(first, first + pages)}
    ends = [*starts[1:], starts[-1] + 1000]
    assert delivered(data)["acme~prod"] == [
        number
        for number, (start, end) in enumerate(zip(starts, ends, strict=True))
        if holes.isdisjoint(range(start // PAGE_BYTES, (end - 1) // PAGE_BYTES + 1))
    ]
