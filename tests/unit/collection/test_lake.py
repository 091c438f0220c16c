"""An object appears whole and durable, or not at all."""

import errno
import os
import shutil

import pytest

from apidanalytics import durable
from apidanalytics.collection.lake import ExistsError, Lake

KEY = "acme~prod/date=2026-01-02/time=03-04/f.txt.gz"


@pytest.fixture
def lake(tmp_path):
    lake = Lake(tmp_path / "lake")
    lake.create()
    return lake


def objects(lake):
    return {str(path.relative_to(lake.root)) for path in lake.root.rglob("*") if path.is_file()}


def test_an_object_lies_under_its_key_once_it_is_published(lake):
    with lake.begin(KEY) as writing:
        writing.write(b"ab")
        writing.write(b"cd")
        assert not (lake.root / KEY).exists()
        writing.publish()
    assert (lake.root / KEY).read_bytes() == b"abcd"
    assert objects(lake) == {KEY}


def test_an_object_that_is_not_published_leaves_nothing(lake):
    with lake.begin(KEY) as writing:
        writing.write(b"ab")
    assert objects(lake) == set()


def test_the_same_key_again_replaces_the_object_at_once(lake):
    for content in (b"first", b"second"):
        with lake.begin(KEY) as writing:
            writing.write(content)
            writing.publish()
    assert (lake.root / KEY).read_bytes() == b"second"


def test_two_writers_of_one_key_do_not_mix(lake):
    with lake.begin(KEY) as one, lake.begin(KEY) as two:
        one.write(b"one")
        two.write(b"two")
        one.publish()
        two.publish()
    assert (lake.root / KEY).read_bytes() == b"two"


def test_the_content_is_synced_before_the_name_and_the_name_before_the_end(lake, monkeypatch):
    steps = []
    fsync, sync_directory = os.fsync, durable.sync_directory
    monkeypatch.setattr(os, "fsync", lambda fd: (fsync(fd), steps.append(("sync", (lake.root / KEY).exists()))))
    monkeypatch.setattr(
        durable, "sync_directory", lambda path: (sync_directory(path), steps.append((path, (lake.root / KEY).exists())))
    )
    with lake.begin(KEY) as writing:
        writing.write(b"x")
        writing.publish()
    directory = (lake.root / KEY).parent
    assert steps[0] == ("sync", False)
    assert [step for step in steps if step[0] != "sync"] == [
        (lake.root, False),
        (directory.parent.parent, False),
        (directory.parent, False),
        (directory, True),
    ]


def test_directories_that_somebody_else_made_are_synced_too_and_once(lake, monkeypatch):
    directory = (lake.root / KEY).parent
    directory.mkdir(parents=True)  # by another thread, which is about to sync them, or by a process that died
    synced = []
    sync_directory = durable.sync_directory
    monkeypatch.setattr(durable, "sync_directory", lambda path: (sync_directory(path), synced.append(path)))
    for _ in range(2):
        with lake.begin(KEY) as writing:
            writing.write(b"x")
            writing.publish()
    assert synced == [lake.root, directory.parent.parent, directory.parent, directory, directory]


def test_a_directory_that_is_made_anew_is_relied_on_only_once_it_is_synced(lake, monkeypatch):
    directory = (lake.root / KEY).parent
    lake.make_directories(directory)
    shutil.rmtree(lake.root / "acme~prod")
    relied_on = []
    sync_directory = durable.sync_directory

    def look(path):
        relied_on.append(directory in lake._synced)
        sync_directory(path)

    monkeypatch.setattr(durable, "sync_directory", look)
    lake.make_directories(directory)
    assert relied_on[-1] is False
    assert directory in lake._synced


def test_an_object_is_said_to_be_there_only_once_its_name_is_durable(lake, monkeypatch):
    synced = []

    def fail(path):
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    lake.make_directories((lake.root / KEY).parent)
    for sync, error in [(fail, OSError), (fail, OSError), (synced.append, ExistsError)]:
        monkeypatch.setattr(durable, "sync_directory", sync)
        with lake.begin(KEY, create_only=True) as writing:
            writing.write(b"x")
            with pytest.raises(error):
                writing.publish()
    assert synced == [(lake.root / KEY).parent]


def test_a_directory_that_was_removed_is_made_again(lake):
    for _ in range(2):
        with lake.begin(KEY) as writing:
            writing.write(b"x")
            writing.publish()
        shutil.rmtree(lake.root / "acme~prod")


def test_what_a_dead_process_left_half_made_is_gone_after_the_next_start(lake):
    lake.begin(KEY).write(b"x")
    assert len(objects(lake)) == 1
    Lake(lake.root).create()
    assert objects(lake) == set()
