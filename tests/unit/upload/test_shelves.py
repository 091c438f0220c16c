"""How files move between staging/ and failed/, and how their directories go."""

import errno
import json

import pytest

from apidanalytics import durable
from apidanalytics.upload.states import State

DIRECTORY = "acme~prod~20260101000000"


def put(data, *names, directory=DIRECTORY):
    (data.staging / directory).mkdir(exist_ok=True)
    for name in names:
        (data.staging / directory / name).write_bytes(name.encode())


def everything(data):
    return sorted(str(path.relative_to(data.root)) for path in data.root.rglob("*~*"))


def test_a_delivered_file_goes_and_the_last_one_takes_its_directory_along(data, shelves):
    put(data, "f1", "f2")
    shelves.discard((DIRECTORY, "f1"))
    assert shelves.names(DIRECTORY, State.STAGED) == {"f2"}
    shelves.discard((DIRECTORY, "f1"))
    shelves.discard((DIRECTORY, "f2"))
    assert everything(data) == []


def test_a_directory_in_which_packing_just_put_a_file_stays(data, shelves):
    put(data, "f1")
    put(data, "new")
    shelves.discard((DIRECTORY, "f1"))
    assert shelves.names(DIRECTORY, State.STAGED) == {"new"}


def test_files_move_to_failed_one_by_one_and_back(data, shelves):
    put(data, "f1", "f2", "f3")
    shelves.fail([(DIRECTORY, "f1"), (DIRECTORY, "f2")])
    assert shelves.names(DIRECTORY, State.STAGED) == {"f3"}
    assert shelves.names(DIRECTORY, State.FAILED) == {"f1", "f2"}
    shelves.revive([(DIRECTORY, "f1"), (DIRECTORY, "f2")])
    assert shelves.names(DIRECTORY, State.STAGED) == {"f1", "f2", "f3"}
    assert not (data.failed / DIRECTORY).exists()
    assert (data.staging / DIRECTORY / "f1").read_bytes() == b"f1"


def test_the_last_file_that_moves_takes_its_directory_along(data, shelves):
    put(data, "f1")
    shelves.fail([(DIRECTORY, "f1")])
    assert not (data.staging / DIRECTORY).exists()


def test_a_move_may_be_repeated_and_a_missing_file_is_passed_over(data, shelves):
    put(data, "f1", "f2")
    shelves.fail([(DIRECTORY, "f1")])
    shelves.fail([(DIRECTORY, "f1"), (DIRECTORY, "f2"), (DIRECTORY, "none"), ("b~c~20260101000000", "none")])
    assert shelves.names(DIRECTORY, State.FAILED) == {"f1", "f2"}
    assert shelves.where((DIRECTORY, "f2")) is State.FAILED
    assert shelves.where((DIRECTORY, "none")) is None


def test_a_move_is_synced_in_the_target_before_the_source(data, shelves, monkeypatch):
    put(data, "f1", "f2")
    synced = []
    real = durable.sync_directory
    monkeypatch.setattr(durable, "sync_directory", lambda path: (real(path), synced.append(path)))
    shelves.fail([(DIRECTORY, "f1")])
    assert synced == [data.failed / DIRECTORY, data.failed, data.staging / DIRECTORY, data.staging]


def test_a_disk_that_refuses_a_move_is_heard(data, shelves, monkeypatch):
    put(data, "f1")

    def refuse(path):
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr(durable, "sync_directory", refuse)
    with pytest.raises(OSError, match="no"):
        shelves.fail([(DIRECTORY, "f1")])


def test_what_must_not_be_delivered_is_kept_with_the_reason(data, shelves):
    put(data, "f1")
    shelves.set_aside((DIRECTORY, "f1"), State.STAGED, "too short")
    assert (data.damaged / "f1").read_bytes() == b"f1"
    note = json.loads((data.damaged / "f1.reason.json").read_bytes())
    assert note == {"reason": "too short", "was": f"staging/{DIRECTORY}/f1"}
    assert not (data.staging / DIRECTORY).exists()


def test_what_is_in_damaged_under_that_name_is_not_replaced(data, shelves):
    for content in (b"one", b"other"):
        put(data, "f1")
        (data.staging / DIRECTORY / "f1").write_bytes(content)
        shelves.set_aside((DIRECTORY, "f1"), State.STAGED, content.decode())
    kept = {name: (data.damaged / name).read_bytes() for name in ("f1", "f1.2")}
    assert kept == {"f1": b"one", "f1.2": b"other"}
    reasons = [json.loads((data.damaged / f"{name}.reason.json").read_bytes())["reason"] for name in kept]
    assert reasons == ["one", "other"]


def test_directories_of_both_places_are_found(data, shelves):
    put(data, "f1")
    put(data, "f2", directory="b~c~20260101000000")
    shelves.fail([("b~c~20260101000000", "f2")])
    (data.staging / "a file").touch()
    assert shelves.directories() == {DIRECTORY, "b~c~20260101000000"}
    assert shelves.names("none", State.FAILED) == set()
