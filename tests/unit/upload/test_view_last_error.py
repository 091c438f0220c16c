"""What the ledger's view says of what stands: the last error of each tenant, and how much is left of a flush."""

import pytest

from apidanalytics.layout import DataDirectory
from apidanalytics.model import StagedFile
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.states import Count, State
from apidanalytics.upload.view import LedgerView


def a_file(number: int, tenant: str) -> StagedFile:
    return StagedFile(
        directory=f"d{number}",
        name=f"0{number}_f",
        tenant=tenant,
        start_at=1_700_000_000 + number,
        records=number,
        bytes=100,
        size_bytes=50,
        sha256="0" * 64,
    )


@pytest.fixture
def view(tmp_path):
    data = DataDirectory(tmp_path / "ax")
    data.create()
    with Ledger.open(data.ledger, data.damaged, 1.0) as ledger:
        ledger.stage([a_file(1, "a~b"), a_file(2, "a~b"), a_file(3, "c~d"), a_file(4, "a~b")], 10.0)
        ledger.deferred(1, 1, 20.0, "403 long ago")
        ledger.deferred(2, 1, 20.0, "403 just now")
        ledger.pause("c~d", 5.0)
        view = LedgerView.open(data.ledger)
        yield view
        view.close()


def test_the_last_error_of_a_tenant_is_that_of_its_newest_file_with_one(view):
    backlog = view.backlog(State.STAGED)
    assert (backlog["a~b"].last_error_id, backlog["c~d"].last_error_id) == (2, None)
    assert view.reasons([1, 2, 3]) == {1: "403 long ago", 2: "403 just now"}
    assert view.reasons([]) == {}


def test_what_is_left_up_to_a_file_is_counted_also_of_some_tenants_only(view):
    assert view.last_id() == 4
    assert view.standing(State.STAGED, 3) == Count(6, 300, 3)
    assert view.standing(State.STAGED, 4, ["c~d"]) == Count(3, 100, 1)
    assert view.standing(State.STAGED, 4, []) == Count()
    assert view.standing(State.FAILED, 4) == Count()


def test_files_are_found_by_the_beginning_of_their_names_and_pauses_are_known(view):
    assert [file["id"] for file in view.files(name="02", offset=0, limit=9)] == [2]
    assert view.files(name="0%", offset=0, limit=9) == []
    assert [file["id"] for file in view.files(name="0", tenant="c~d", offset=0, limit=9)] == [3]
    assert view.pauses() == {"c~d": 5.0}


def test_where_there_is_no_ledger_nothing_is_known(tmp_path):
    view = LedgerView.open_stopped(tmp_path / "ledger.db")
    assert (view.sums(), view.pauses(), view.last_id()) == ({}, {}, 0)
    assert not (tmp_path / "ledger.db").exists()
    view.close()


def test_when_the_last_file_was_set_aside_or_dropped_is_known(tmp_path, view):
    assert view.last_settled_at(State.DROPPED) is None
    data = DataDirectory(tmp_path / "ax")
    with Ledger.open(data.ledger, data.damaged, 1.0) as ledger:
        ledger.dropped([1], "no room", 30.0)
        ledger.dropped([2], "no room", 31.0)
        ledger.lost(3, "gone", 32.0)
    assert (view.last_settled_at(State.DROPPED), view.last_settled_at(State.SET_ASIDE)) == (31.0, 32.0)
