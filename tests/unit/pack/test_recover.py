"""The sweep of tmp/: it takes what is dead and leaves what lives."""

import fcntl
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from apidanalytics.pack import recover
from apidanalytics.pack.recover import Recovery, waiting_spools
from tests.unit.pack.gofiles import DIRECTORY

DEAD = "0123456789ab.spool"
RECOVERED = "0123456789ab~recoveredTS~20231114221820.123.spool"


@pytest.fixture
def recovery(data, clock, strangers):
    return Recovery(data, clock, strangers)


@pytest.fixture
def lock():
    held = []

    def lock(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        held.append(descriptor)
        return descriptor

    yield lock
    for descriptor in held:
        os.close(descriptor)


def names(place):
    return sorted(path.name for path in place.iterdir())


def test_the_spool_of_a_dead_worker_is_taken_over_and_its_name_says_when(data, recovery):
    (data.tmp / DEAD).write_bytes(b"content")
    assert recovery.sweep() == [data.recovered / RECOVERED]
    assert (data.recovered / RECOVERED).read_bytes() == b"content"
    assert names(data.tmp) == []


def test_the_spool_of_a_living_worker_stays(data, recovery, lock):
    lock(data.tmp / DEAD)
    assert recovery.sweep() == []
    assert names(data.tmp) == [DEAD]


def test_a_spool_that_its_worker_seals_between_listing_and_locking_is_not_touched(data, recovery, monkeypatch):
    (data.tmp / DEAD).write_bytes(b"content")
    flock = fcntl.flock

    def sealing(descriptor, operation):
        (data.tmp / DEAD).rename(data.sealed / DEAD)
        flock(descriptor, operation)

    monkeypatch.setattr(recover.fcntl, "flock", sealing)
    assert recovery.sweep() == []
    assert names(data.sealed) == [DEAD]


def test_a_spool_that_vanishes_between_listing_and_opening_is_no_error(data, recovery, monkeypatch):
    (data.tmp / DEAD).write_bytes(b"content")
    monkeypatch.setattr(recover.os, "open", gone)
    assert recovery.sweep() == []


def test_a_spool_that_may_not_be_opened_stays_and_the_others_are_taken_over(data, recovery, monkeypatch):
    (data.tmp / "000000000001.spool").write_bytes(b"of root")
    (data.tmp / DEAD).write_bytes(b"content")
    opening = os.open

    def refuse(path, flags):
        if Path(path).name == "000000000001.spool":
            raise PermissionError(13, "Permission denied", str(path))
        return opening(path, flags)

    monkeypatch.setattr(recover.os, "open", refuse)
    with capture_logs() as logs:
        assert recovery.sweep() == [data.recovered / RECOVERED]
    assert names(data.tmp) == ["000000000001.spool"]
    (failed,) = (entry for entry in logs if entry["event"] == "recover.failed")
    assert failed["path"] == str(data.tmp / "000000000001.spool")
    assert "Permission denied" in failed["error"]


def gone(path, _flags):
    raise FileNotFoundError(2, "No such file or directory", str(path))


def test_the_lock_is_held_until_the_spool_has_its_new_name(data, recovery, monkeypatch):
    (data.tmp / DEAD).write_bytes(b"content")
    rename = recover.durable.rename
    refused = []

    def checking(source, target):
        with source.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                refused.append(source.name)
        rename(source, target)

    monkeypatch.setattr(recover.durable, "rename", checking)
    recovery.sweep()
    assert refused == [DEAD]


def test_a_spool_in_the_making_goes_once_it_is_old_and_nobody_holds_it(data, recovery, lock, clock):
    ages = {"000000000001.spool.new": 61, "000000000002.spool.new": 5, "000000000003.spool.new": 900}
    ages["000000000004.spool.new"] = -3600  # made by a clock that was ahead
    for name, age in ages.items():
        (data.tmp / name).touch()
        os.utime(data.tmp / name, (clock.at - age, clock.at - age))
    lock(data.tmp / "000000000003.spool.new")
    assert recovery.sweep() == []
    assert names(data.tmp) == ["000000000002.spool.new", "000000000003.spool.new"]


def test_names_that_nobody_here_gave_are_reported_once_and_left_alone(data, recovery):
    for name in ("notes.txt", "1.spool", "x.spool"):
        (data.tmp / name).write_bytes(b"?")
    with capture_logs() as logs:
        recovery.sweep()
        recovery.sweep()
    assert sorted(Path(entry["path"]).name for entry in logs) == ["1.spool", "notes.txt", "x.spool"]
    assert {entry["event"] for entry in logs} == {"pack.unknown_name"}
    assert names(data.tmp) == ["1.spool", "notes.txt", "x.spool"]


def test_half_made_files_and_bucket_directories_are_none_of_the_sweeps_business(data, recovery):
    (data.tmp / "a.txt.gz.part").touch()
    (data.tmp / DIRECTORY).mkdir()
    with capture_logs() as logs:
        assert recovery.sweep() == []
    assert logs == []
    assert names(data.tmp) == ["a.txt.gz.part", DIRECTORY]


def test_half_made_files_go_at_start(data, recovery):
    (data.tmp / "a.txt.gz.part").touch()
    (data.tmp / "dir.part").mkdir()
    (data.damaged / "b.part").touch()
    (data.tmp / DEAD).touch()
    assert recovery.clear() == 2
    assert names(data.tmp) == [DEAD, "dir.part"]
    assert names(data.damaged) == []


def test_spools_wait_in_the_order_in_which_they_were_written_last(data, strangers):
    for number, (place, name) in enumerate([(data.sealed, DEAD), (data.recovered, RECOVERED)]):
        (place / name).touch()
        os.utime(place / name, (5 - number, 5 - number))
    assert waiting_spools(data, strangers) == [data.recovered / RECOVERED, data.sealed / DEAD]


def test_what_is_no_spool_is_reported_but_bucket_directories_belong_into_recovered(data, strangers):
    (data.sealed / "README").touch()
    (data.recovered / DIRECTORY).mkdir()
    with capture_logs() as logs:
        assert waiting_spools(data, strangers) == []
    assert [entry["path"] for entry in logs] == [str(data.sealed / "README")]
