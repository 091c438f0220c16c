"""After any crash, the ledger is brought to what stands in the directories."""

import pytest
from structlog.testing import capture_logs

from apidanalytics.upload.reconcile import reconcile
from apidanalytics.upload.shelves import Shelves
from apidanalytics.upload.states import State
from tests.unit.upload.ledger_files import staged

DIRECTORY = "acme~prod~20260101000000"


def write(data, name, place="staging", directory=DIRECTORY):
    path = data.root / place / directory / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"12345")
    return path


def stage(ledger, *names, directory=DIRECTORY):
    ledger.stage([staged(name, directory=directory, records=1) for name in names], 1.0)
    return [ledger.files_in(directory)[name].id for name in names]


def states(ledger):
    return {name: known.state for name, known in ledger.files_in(DIRECTORY).items()}


def test_nothing_is_done_where_all_is_as_it_should_be(data, shelves, ledger):
    write(data, "f1")
    write(data, "f2", "failed")
    _, second = stage(ledger, "f1", "f2")
    ledger.failed(second, 3, "404", 1.0)
    with capture_logs() as logs:
        found = reconcile(ledger, shelves, 2.0)
    assert (found.removed, found.moved, found.missing, found.unknown) == (0, 0, 0, [])
    assert states(ledger) == {"f1": State.STAGED, "f2": State.FAILED}
    assert logs == []


@pytest.mark.parametrize("place", ["staging", "failed"])
def test_an_uploaded_file_that_is_still_there_is_removed(data, shelves, ledger, place):
    path = write(data, "f1", place)
    (number,) = stage(ledger, "f1")
    ledger.uploaded({number: None}, 1.0)
    assert reconcile(ledger, shelves, 2.0).removed == 1
    assert not path.parent.exists()


def test_a_move_to_failed_that_was_cut_off_is_finished(data, shelves, ledger):
    write(data, "f1", "failed")
    (number,) = stage(ledger, "f1")
    ledger.deferred(number, 2, 9.0, "500")
    assert reconcile(ledger, shelves, 2.0).moved == 1
    known = ledger.file(number)
    assert (known.state, known.attempts, known.reason) == (State.FAILED, 2, "500")


def test_a_move_back_that_was_cut_off_is_finished(data, shelves, ledger):
    write(data, "f1")
    (number,) = stage(ledger, "f1")
    ledger.failed(number, 3, "404", 1.0)
    reconcile(ledger, shelves, 2.0)
    assert ledger.file(number).state is State.STAGED
    assert [waiting.id for waiting in ledger.waiting()] == [number]


def test_a_file_that_is_gone_is_set_aside_and_said_aloud(data, shelves, ledger):
    stage(ledger, "f1", "f2")
    write(data, "f1")
    with capture_logs() as logs:
        assert reconcile(ledger, shelves, 2.0).missing == 1
    assert states(ledger) == {"f1": State.STAGED, "f2": State.SET_ASIDE}
    assert [entry["event"] for entry in logs] == ["upload.files_missing"]


def test_a_whole_directory_that_is_gone_is_noticed(shelves, ledger):
    stage(ledger, "f1", "f2")
    assert reconcile(ledger, shelves, 2.0).missing == 2
    assert reconcile(ledger, shelves, 2.0).missing == 0


def test_a_file_that_packing_stages_meanwhile_is_not_missed(data, shelves, ledger, monkeypatch):
    stage(ledger, "f1")
    real = Shelves.names

    def names_then_publish(self, directory, state):
        found = real(self, directory, state)
        if state is State.STAGED:
            write(data, "f1")
        return found

    monkeypatch.setattr(Shelves, "names", names_then_publish)
    assert reconcile(ledger, shelves, 2.0).missing == 0
    assert states(ledger) == {"f1": State.STAGED}


def test_unknown_files_and_strange_directories_are_left_alone(data, shelves, ledger):
    paths = [write(data, "f1"), write(data, "f2", directory="lost+found"), write(data, "f3", "failed", "a~b")]
    assert reconcile(ledger, shelves, 2.0).unknown == [f"{DIRECTORY}/f1"]
    assert all(path.exists() for path in paths)


def test_a_file_that_was_set_aside_and_is_back_is_left_to_packing(data, shelves, ledger):
    (number,) = stage(ledger, "f1")
    ledger.lost(number, "gone", 1.0)
    write(data, "f1")
    assert reconcile(ledger, shelves, 2.0).unknown == [f"{DIRECTORY}/f1"]
    assert states(ledger) == {"f1": State.SET_ASIDE}


def test_an_empty_directory_goes(data, shelves, ledger):
    (data.staging / DIRECTORY).mkdir()
    (data.failed / DIRECTORY).mkdir()
    reconcile(ledger, shelves, 2.0)
    assert shelves.directories() == {}


def test_an_empty_twin_of_a_directory_goes_and_what_is_as_known_stays(data, shelves, ledger):
    path = write(data, "f1")
    (data.failed / DIRECTORY).mkdir()
    stage(ledger, "f1")
    reconcile(ledger, shelves, 2.0)
    assert shelves.directories() == {DIRECTORY: [State.STAGED]}
    assert path.exists()


def test_beside_a_file_as_known_one_that_is_elsewhere_is_followed(data, shelves, ledger):
    write(data, "f1")
    write(data, "f2")
    _, second = stage(ledger, "f1", "f2")
    ledger.failed(second, 3, "404", 1.0)
    assert reconcile(ledger, shelves, 2.0).moved == 1
    assert states(ledger) == {"f1": State.STAGED, "f2": State.STAGED}


def test_a_directory_that_cannot_be_looked_into_keeps_no_other_waiting(data, shelves, ledger):
    first, last = "aaaa~prod~20260101000000", "zeta~prod~20260101000000"
    stage(ledger, "f1", directory=first)
    (data.failed / first).write_bytes(b"no directory")
    (delivered,) = stage(ledger, "f1", directory=last)
    path = write(data, "f1", directory=last)
    ledger.uploaded({delivered: None}, 1.0)
    with capture_logs() as logs:
        found = reconcile(ledger, shelves, 2.0)
    assert (found.stuck, found.removed, found.missing) == ([first], 1, 0)
    assert not path.exists()
    assert ("upload.directory_stuck", "Not a directory") in {(log["event"], log.get("reason")) for log in logs}
