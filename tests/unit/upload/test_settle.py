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
