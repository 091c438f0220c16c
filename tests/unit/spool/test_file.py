"""The open spool of a worker: named only when durable, cut back after a failure, sealed whole."""

import errno
import fcntl
import os
import random
import shutil
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from apidanalytics import durable
from apidanalytics.layout import DataDirectory, SpoolName
from apidanalytics.model import SpoolHeader
from apidanalytics.spool.file import FIRST_ROOM_BYTES, MAX_ROOM_BYTES, OpenSpool
from apidanalytics.spool.frame import Share, format_end
from apidanalytics.spool.segment import SegmentReader

SHARE = Share(tenant="acme~prod", start_at=120, records=1, lines=b'{"a":1}\n')
REFUSED = Share(tenant="acme~prod", start_at=120, records=1, lines=b'{"refused":1}\n')


@pytest.fixture
def data(tmp_path):
    directory = DataDirectory(tmp_path / "ax")
    directory.create()
    return directory


def header(number):
    return SpoolHeader(number=number, interval_seconds=120, max_file_bytes=1000, instance_id="i", created_at=1.0)


def marked(number):
    return replace(header(number), marks_end=True)


def lacks_end(path):
    with SegmentReader.open(path) as reader:
        list(reader.entries())
        assert (reader.damage, reader.torn_bytes) == ([], 0)
        return reader.lacks_end


def fail(_descriptor):
    raise OSError(errno.EIO, "no sync today")


def lines_in(path):
    with SegmentReader.open(path) as reader:
        return [reader.read(entry) for entry in reader.entries()]


def test_an_open_spool_is_locked_against_recovery(data):
    spool = OpenSpool.create(data, header, os.fdatasync)
    (path,) = data.tmp.iterdir()
    other = os.open(path, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    spool.close()
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)


def test_a_sealed_spool_moves_whole_and_keeps_its_number(data):
    spool = OpenSpool.create(data, header, os.fdatasync)
    spool.append([SHARE])
    path = spool.seal(data)
    assert path == data.sealed / str(SpoolName(number=spool.header.number))
    assert lines_in(path) == [SHARE.lines]
    assert list(data.tmp.iterdir()) == []


def test_a_spool_in_which_nothing_was_committed_leaves_no_file(data):
    assert OpenSpool.create(data, header, os.fdatasync).seal(data) is None
    assert list(data.tmp.iterdir()) == list(data.sealed.iterdir()) == []


def test_what_failed_to_sync_is_cut_off_and_what_was_committed_stays(data):
    spool = OpenSpool.create(data, header, os.fdatasync)
    spool.append([SHARE])
    spool._sync = fail
    with pytest.raises(OSError, match="no sync today"):
        spool.append([REFUSED])
    spool.cut_back()
    assert lines_in(spool.seal(data)) == [SHARE.lines]


def test_the_next_group_overwrites_one_that_failed(data):
    spool = OpenSpool.create(data, header, os.fdatasync)
    spool._sync = fail
    with pytest.raises(OSError):
        spool.append([REFUSED])
    spool._sync = os.fdatasync
    spool.append([SHARE])
    spool.cut_back()
    assert lines_in(spool.seal(data)) == [SHARE.lines]


def test_commits_overwrite_room_that_was_written_ahead_and_sealing_cuts_it_off(data):
    spool = OpenSpool.create(data, header, os.fdatasync)
    (path,) = data.tmp.iterdir()
    spool.append([SHARE])
    with_room = path.stat().st_size
    assert with_room == spool.end + FIRST_ROOM_BYTES
    for _ in range(99):
        spool.append([SHARE])
    assert path.stat().st_size == with_room
    assert lines_in(path) == [SHARE.lines] * 100
    sealed = spool.seal(data)
    assert sealed.stat().st_size == spool.end
    assert lines_in(sealed) == [SHARE.lines] * 100


def test_room_grows_with_the_spool_and_never_over_its_bound(data):
    spool = OpenSpool.create(data, header, os.fdatasync)
    (path,) = data.tmp.iterdir()
    noise = Share(tenant="acme~prod", start_at=120, records=1, lines=random.Random(1).randbytes(300_000))
    for _ in range(12):
        spool.append([noise])
        assert path.stat().st_size - spool.end <= min(max(FIRST_ROOM_BYTES, spool.end), MAX_ROOM_BYTES)
    spool.seal(data)


def test_a_spool_whose_room_cannot_be_cut_off_is_sealed_with_it(data, monkeypatch):
    spool = OpenSpool.create(data, header, os.fdatasync)
    spool.append([SHARE])
    monkeypatch.setattr(os, "ftruncate", lambda *_: fail(0))
    sealed = spool.seal(data)
    assert sealed.stat().st_size == spool.end + FIRST_ROOM_BYTES
    assert lines_in(sealed) == [SHARE.lines]


def test_a_spool_whose_process_died_is_whole_and_its_room_no_damage(data):
    spool = OpenSpool.create(data, header, os.fdatasync)
    (path,) = data.tmp.iterdir()
    spool.append([SHARE])
    spool.close()
    with SegmentReader.open(path) as reader:
        assert [reader.read(entry) for entry in reader.entries()] == [SHARE.lines]
        assert (reader.damage, reader.torn_bytes) == ([], 0)


def test_a_disk_without_space_for_room_still_takes_what_fits(data, monkeypatch):
    pwrite = os.pwrite

    def no_zeros(descriptor, content, offset):
        if not any(content):
            raise OSError(errno.ENOSPC, "no room today")
        return pwrite(descriptor, content, offset)

    spool = OpenSpool.create(data, header, os.fdatasync)
    monkeypatch.setattr(os, "pwrite", no_zeros)
    for _ in range(3):
        spool.append([SHARE])
    assert lines_in(spool.seal(data)) == [SHARE.lines] * 3


def test_no_room_is_written_where_commits_are_not_synced(data):
    spool = OpenSpool.create(data, header, lambda _: None, has_room=False)
    (path,) = data.tmp.iterdir()
    spool.append([SHARE])
    assert path.stat().st_size == spool.end


def test_what_failed_is_cut_off_with_the_room_behind_it(data):
    spool = OpenSpool.create(data, header, os.fdatasync)
    (path,) = data.tmp.iterdir()
    spool.append([SHARE])
    spool._sync = fail
    with pytest.raises(OSError, match="no sync today"):
        spool.append([REFUSED])
    spool.cut_back()
    assert path.stat().st_size == spool.end
    assert b"refused" not in path.read_bytes()


def test_a_spool_that_cannot_be_created_leaves_nothing_behind(data, monkeypatch):
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no sync today"):
        OpenSpool.create(data, header, os.fdatasync)
    assert list(data.tmp.iterdir()) == []


def test_the_files_of_a_spool_are_private(data):
    OpenSpool.create(data, header, os.fdatasync).close()
    (path,) = data.tmp.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert data.tmp.stat().st_mode & 0o777 == 0o700


def test_what_a_failed_sync_left_out_is_written_again_before_a_spool_is_sealed(data, monkeypatch):
    """As nothing is synced before that with durability os."""
    spool = OpenSpool.create(data, header, lambda _: None, has_room=False)
    spool.append([SHARE])
    (path,) = data.tmp.iterdir()
    written = []
    with monkeypatch.context() as failing:
        failing.setattr(os, "fsync", fail)
        failing.setattr(os, "pwrite", lambda _, content, at: written.append((at, bytes(content))) or len(content))
        with pytest.raises(OSError, match="no sync today"):
            spool.seal(data)
    assert written == [(0, path.read_bytes())]
    assert lines_in(spool.seal(data)) == [SHARE.lines]


def test_sealing_goes_on_where_a_failed_sync_of_the_directories_left_it(data, monkeypatch):
    spool = OpenSpool.create(data, header, os.fdatasync)
    spool.append([SHARE])
    monkeypatch.setattr(durable, "sync_directory", fail)
    with pytest.raises(OSError, match="no sync today"):
        spool.seal(data)
    monkeypatch.undo()
    assert lines_in(spool.seal(data)) == [SHARE.lines]
    assert list(data.tmp.iterdir()) == []


def test_a_spool_that_somebody_removed_is_sealed_all_the_same(data):
    spool = OpenSpool.create(data, header, os.fdatasync)
    spool.append([SHARE])
    for path in data.tmp.iterdir():
        path.unlink()
    spool.append([SHARE])
    with capture_logs() as logs:
        path = spool.seal(data)
    assert lines_in(path) == [SHARE.lines] * 2
    assert list(data.tmp.iterdir()) == []
    assert [entry["event"] for entry in logs] == ["spool.removed"]


def test_a_copy_that_somebody_put_in_the_place_of_an_open_spool_is_not_sealed_for_it(data):
    spool = OpenSpool.create(data, header, os.fdatasync)
    spool.append([SHARE])
    (path,) = data.tmp.iterdir()
    shutil.copy2(path, data.tmp / "copy").replace(path)
    spool.append([SHARE])
    assert lines_in(spool.seal(data)) == [SHARE.lines] * 2
    assert lines_in(path) == [SHARE.lines], "it is taken over like the spool of a process that died"


def test_a_sealed_spool_is_marked_where_it_ends_however_often_sealing_is_tried(data, monkeypatch):
    spool = OpenSpool.create(data, marked, os.fdatasync)
    spool.append([SHARE])
    (path,) = data.tmp.iterdir()
    assert lacks_end(path)
    monkeypatch.setattr(durable, "sync_ended", fail)
    with pytest.raises(OSError, match="no sync today"):
        spool.seal(data)
    monkeypatch.undo()
    sealed = spool.seal(data)
    assert (lines_in(sealed), lacks_end(sealed)) == ([SHARE.lines], False)
    assert sealed.stat().st_size == spool.end + len(format_end(2))
    os.truncate(sealed, spool.end)
    assert lacks_end(sealed)


@pytest.mark.parametrize("durability", ["synced", "not synced"])
def test_a_disk_without_space_for_the_mark_puts_off_sealing_and_loses_nothing(data, monkeypatch, durability):
    spool = OpenSpool.create(data, marked, os.fdatasync, has_room=durability == "synced")
    spool.append([SHARE])
    (path,) = data.tmp.iterdir()
    pwrite, taken = os.pwrite, []

    def takes_ten_bytes(descriptor, content, offset):
        if taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken.append(pwrite(descriptor, content[:10], offset))
        return taken[0]

    monkeypatch.setattr(os, "pwrite", takes_ten_bytes)
    for _ in range(2):
        with pytest.raises(OSError, match="No space"):
            spool.seal(data)
    with SegmentReader.open(path) as reader:
        assert [reader.read(entry) for entry in reader.entries()] == [SHARE.lines]
        assert (reader.damage, reader.torn_bytes) == ([], 5), "to who takes it over, an unfinished write"
    assert list(data.sealed.iterdir()) == []
    monkeypatch.undo()
    sealed = spool.seal(data)
    assert (lines_in(sealed), lacks_end(sealed)) == ([SHARE.lines], False)


def test_what_is_in_doubt_is_cut_off_before_the_end_is_marked(data, monkeypatch):
    spool = OpenSpool.create(data, marked, os.fdatasync)
    spool.append([SHARE])
    spool._sync = fail
    monkeypatch.setattr(os, "ftruncate", lambda *_: fail(0))
    for doubtful in (lambda: spool.append([REFUSED]), spool.cut_back, lambda: spool.seal(data)):
        with pytest.raises(OSError, match="no sync today"):
            doubtful()
    monkeypatch.undo()
    sealed = spool.seal(data)
    assert (lines_in(sealed), lacks_end(sealed)) == ([SHARE.lines], False)
    assert b"refused" not in sealed.read_bytes()


def test_a_removed_spool_that_a_hard_link_holds_is_not_written_anew_and_sealed_with_its_name_back(data, tmp_path):
    spool = OpenSpool.create(data, header, os.fdatasync)
    spool.append([SHARE])
    (path,) = data.tmp.iterdir()
    kept = path.rename(tmp_path / "kept")
    with pytest.raises(OSError, match="while a hard link holds it"):
        spool.seal(data)
    assert list(data.sealed.iterdir()) == []
    os.link(kept, path)
    assert lines_in(spool.seal(data)) == [SHARE.lines]


def test_a_spool_whose_directory_is_another_one_by_now_is_not_called_sealed(data):
    spool = OpenSpool.create(data, header, os.fdatasync)
    spool.append([SHARE])
    below = data.root.rename(data.root.with_name("below"))  # as if something had been mounted there
    data.create()
    with pytest.raises(OSError, match="it stands elsewhere"):
        spool.seal(data)
    (path,) = (below / "tmp").iterdir()
    with path.open("rb") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    shutil.rmtree(data.root)
    below.rename(data.root)
    assert lines_in(spool.seal(data)) == [SHARE.lines]
