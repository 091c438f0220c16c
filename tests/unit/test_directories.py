"""The directories in which everything stands are as durable as what is put into them."""

import os
import stat
from pathlib import Path

import pytest

from apidanalytics import durable
from apidanalytics.collection.lake import Lake
from apidanalytics.layout import DataDirectory


@pytest.fixture
def synced(monkeypatch):
    """What stood in each directory when it was synced last."""
    found = {}
    fsync = os.fsync

    def noting(descriptor):
        fsync(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.is_dir():
            found[path] = {entry.name for entry in path.iterdir()}

    monkeypatch.setattr(os, "fsync", noting)
    return found


def is_durable(path, synced):
    return path.name in synced.get(path.parent, ())


def test_the_data_directory_and_all_above_it_that_was_made_for_it_are_durable(tmp_path, synced):
    data = DataDirectory(tmp_path / "var" / "lib" / "ax")
    data.create()
    made = {path for path in tmp_path.rglob("*") if path.is_dir()}
    assert {data.tmp, data.keys, data.staging, data.root, data.root.parent} < made
    assert [path for path in made if not is_durable(path, synced)] == []


def test_a_directory_that_is_made_anew_is_durable_too(tmp_path, synced):
    data = DataDirectory(tmp_path / "ax")
    data.create()
    data.tmp.rmdir()
    synced.clear()
    data.create()
    assert is_durable(data.tmp, synced)


def test_the_folder_of_the_objects_is_durable(tmp_path, synced):
    Lake(tmp_path / "mnt" / "lake").create()
    assert all(is_durable(path, synced) for path in (tmp_path / "mnt", tmp_path / "mnt" / "lake"))


def test_what_a_process_made_that_died_before_it_was_durable_is_by_the_next_start(tmp_path, synced):
    (tmp_path / "var").mkdir()
    durable.make_directories(tmp_path / "var" / "ax")
    assert is_durable(tmp_path / "var", synced)


def test_only_the_directory_itself_is_private_what_is_above_it_follows_the_umask(tmp_path):
    previous = os.umask(0o027)
    try:
        durable.make_directories(tmp_path / "var" / "lib" / "ax")
    finally:
        os.umask(previous)
    made = tmp_path / "var", tmp_path / "var" / "lib", tmp_path / "var" / "lib" / "ax"
    assert [stat.S_IMODE(path.stat().st_mode) for path in made] == [0o750, 0o750, 0o700]


def test_a_directory_that_cannot_be_synced_and_is_none_of_ours_does_not_stop_the_start(tmp_path, monkeypatch):
    def refuse(path):
        raise OSError(22, "Invalid argument", str(path))

    (tmp_path / "mounted").mkdir()
    monkeypatch.setattr(durable, "sync_directory", refuse)
    durable.make_directories(tmp_path / "mounted")
    with pytest.raises(OSError, match="Invalid argument"):
        durable.make_directories(tmp_path / "mounted" / "new")
