"""What a decision changes on disk, in the order that makes a crash harmless."""

import errno

import pytest

from apidanalytics import failpoints
from apidanalytics.layout import DataDirectory
from apidanalytics.upload.decide import Defer, Done, GiveUp
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.settle import Result, settle
from apidanalytics.upload.shelves import Shelves
from apidanalytics.upload.states import State
from tests.unit.upload.ledger_files import staged

DIRECTORY = "acme~prod~20260101000000"
NAMES = ["f1", "f2", "f3"]


@pytest.fixture
def data(tmp_path):
    data = DataDirectory(tmp_path)
    data.create()
    (data.staging / DIRECTORY).mkdir()
    for name in NAMES:
        (data.staging / DIRECTORY / name).write_bytes(b"12345")
    return data


@pytest.fixture
def ledger(data):
    with Ledger.open(data.ledger, data.damaged, 0.0) as ledger:
        ledger.stage([staged(name, directory=DIRECTORY, records=1) for name in NAMES], 1.0)
        yield ledger


def results(ledger, *decisions):
    return [Result(known=ledger.file(n), decision=decision) for n, decision in enumerate(decisions, start=1)]


def test_each_decision_is_carried_out_and_may_be_again(data, ledger):
    decided = results(
        ledger,
        Done(etag='"e"'),
        Defer(attempts=1, pause_seconds=5, reason="500"),
        GiveUp(attempts=3, reason="404"),
    )
    for _ in range(2):
        settle(ledger, Shelves(data), decided, 100.0)
        one, two, three = (ledger.file(number) for number in (1, 2, 3))
        assert (one.state, one.etag, one.settled_at) == (State.UPLOADED, '"e"', 100.0)
        assert (two.state, two.attempts, two.next_attempt_at) == (State.STAGED, 1, 105.0)
        assert (three.state, three.attempts, three.reason) == (State.FAILED, 3, "404")
        assert {p.name for p in (data.staging / DIRECTORY).iterdir()} == {"f2"}
        assert {p.name for p in (data.failed / DIRECTORY).iterdir()} == {"f3"}


def test_a_file_goes_only_after_the_ledger_has_committed(data, ledger, monkeypatch):
    def check(point):
        if point == "upload.after_ledger":
            assert len(list((data.staging / DIRECTORY).iterdir())) == 3
            assert ledger.file(1).state is State.UPLOADED
            raise OSError(errno.EIO, "stop here")

    monkeypatch.setattr(failpoints, "hit", check)
    with pytest.raises(OSError, match="stop here"):
        settle(ledger, Shelves(data), results(ledger, Done(etag=None)), 100.0)


def test_a_ledger_that_does_not_commit_keeps_the_file(data, ledger):
    decided = results(ledger, Done(etag=None), GiveUp(attempts=3, reason="no"))
    ledger._database.execute("PRAGMA query_only = ON")
    with pytest.raises(Exception, match="readonly"):
        settle(ledger, Shelves(data), decided, 100.0)
    assert len(list((data.staging / DIRECTORY).iterdir())) == 3


def test_a_file_that_cannot_be_deleted_does_not_stop_the_others(data, ledger, monkeypatch):
    real = Shelves.discard

    def refuse(self, key, *rest):
        if key[1] == "f1":
            raise PermissionError(errno.EPERM, "no")
        real(self, key, *rest)

    monkeypatch.setattr(Shelves, "discard", refuse)
    settle(ledger, Shelves(data), results(ledger, Done(etag=None), Done(etag=None)), 100.0)
    assert {p.name for p in (data.staging / DIRECTORY).iterdir()} == {"f1", "f3"}
    assert ledger.file(1).state is State.UPLOADED


def test_a_file_that_cannot_be_moved_to_failed_is_put_off_and_stops_no_other(data, ledger):
    ledger.stage([staged("f4", directory="zeta~prod~20260101000000", records=1)], 1.0)
    (data.staging / "zeta~prod~20260101000000").mkdir()
    (data.staging / "zeta~prod~20260101000000" / "f4").write_bytes(b"12345")
    (data.failed / DIRECTORY).write_bytes(b"no directory")
    gives_up = GiveUp(attempts=3, reason="404")
    decided = results(ledger, Done(etag=None), gives_up, gives_up, gives_up)
    done = {result.known.id: result.decision for result in settle(ledger, Shelves(data), decided, 100.0)}
    reason = "404; and it cannot be moved to failed/: File exists"
    assert done == {
        1: Done(etag=None),
        **dict.fromkeys((2, 3), Defer(attempts=2, pause_seconds=300.0, reason=reason)),
        4: gives_up,
    }
    states = {known.id: (known.state, known.attempts, known.reason) for known in map(ledger.file, (2, 3, 4))}
    assert states == {**dict.fromkeys((2, 3), (State.STAGED, 2, reason)), 4: (State.FAILED, 3, "404")}
    assert (data.failed / "zeta~prod~20260101000000" / "f4").exists()


def test_a_full_disk_is_no_trouble_of_one_directory(data, ledger, monkeypatch):
    def full(_self, _keys):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Shelves, "fail", full)
    with pytest.raises(OSError, match="No space"):
        settle(ledger, Shelves(data), results(ledger, GiveUp(attempts=3, reason="404")), 100.0)
