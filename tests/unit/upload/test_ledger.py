"""The ledger remembers what became of every file, and its totals add up."""

import pytest

from apidanalytics.errors import DamagedError
from apidanalytics.layout import FILES_PER_SPOOL, FileName
from apidanalytics.upload.states import Chosen, Count, State
from tests.unit.upload.ledger_files import counts, number_of, opened, staged


@pytest.fixture
def path(tmp_path):
    (tmp_path / "damaged").mkdir()
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path):
    with opened(path) as ledger:
        yield ledger


def test_a_new_ledger_says_that_it_is_new_and_is_private(path):
    with opened(path) as ledger:
        assert ledger.is_new
        assert {p.stat().st_mode & 0o777 for p in path.parent.glob("ledger.db*")} == {0o600}
    with opened(path) as ledger:
        assert not ledger.is_new


def test_accepted_counts_once_per_spool(ledger):
    for _ in range(2):
        ledger.accepted(7, {"acme~prod": (5, 50), "zeta~test": (1, 9)})
    ledger.accepted(8, {"acme~prod": (1, 10)})
    assert ledger.totals()["acme~prod"] == {State.ACCEPTED: Count(6, 60, 0)}
    assert (ledger.is_accepted(7), ledger.is_accepted(9)) == (True, False)


def test_a_spool_is_packed_once_it_was_said(ledger):
    ledger.accepted(7, {})
    assert not ledger.is_packed(7)
    ledger.packed(7, 1.0)
    ledger.packed(7, 1.0)
    assert ledger.is_packed(7)
    ledger.packed(8, 1.0)
    assert ledger.is_packed(8)


def test_staging_twice_changes_nothing_and_keeps_the_state(ledger):
    ledger.stage([staged()], 1.0)
    ledger.uploaded({number_of(ledger): '"e"'}, 2.0)
    ledger.stage([staged(), staged("f2")], 3.0)
    assert counts(ledger) == {"staged": 3, "uploaded": 3}
    assert ledger.files_in("acme~prod~20260101000000")["f1"].etag == '"e"'


def test_a_name_with_other_content_is_refused_and_nothing_of_that_call_is_kept(ledger):
    ledger.stage([staged()], 1.0)
    with pytest.raises(DamagedError, match="f1"):
        ledger.stage([staged("f2"), staged(sha="11")], 2.0)
    assert counts(ledger) == {"staged": 3}


def test_known_are_the_files_that_need_not_be_made_again(ledger):
    directory = "acme~prod~20260101000000"
    ledger.stage([staged(f"f{n}") for n in range(4)], 1.0)
    ledger.uploaded({number_of(ledger, "f1"): None}, 2.0)
    ledger.failed(number_of(ledger, "f2"), 3, "403", 2.0)
    ledger.lost(number_of(ledger, "f3"), "gone", 2.0)
    assert ledger.known(directory, ["f0", "f1", "f2", "f3", "f4"]) == dict.fromkeys(("f0", "f1", "f2"), (3, 30))
    assert ledger.known(directory, []) == {}
    assert ledger.known("other~dir~20260101000000", ["f0"]) == {}


def test_waiting_files_come_oldest_start_first(ledger):
    ledger.stage([staged("new", start=300), staged("old", start=100)], 1.0)
    ledger.stage([staged("mid", start=200)], 1.0)
    names = [ledger.file(waiting.id).file.name for waiting in ledger.waiting()]
    assert names == ["old", "mid", "new"]


def test_what_is_new_is_found_by_its_number(ledger):
    ledger.stage([staged("f1"), staged("f2")], 1.0)
    last = max(waiting.id for waiting in ledger.waiting())
    assert ledger.waiting(last) == []
    ledger.stage([staged("f3")], 1.0)
    assert [ledger.file(waiting.id).file.name for waiting in ledger.waiting(last)] == ["f3"]


def test_finding_what_is_new_does_not_cost_what_there_is(ledger):
    ledger.stage([staged(f"f{n}") for n in range(2000)], 1.0)
    plan = ledger._reader.execute(
        "EXPLAIN QUERY PLAN SELECT id FROM files WHERE state = 'staged' AND id > 1990"
    ).fetchall()
    assert "INTEGER PRIMARY KEY" in plan[0][-1]


def test_a_file_that_was_set_aside_and_is_back_has_a_new_number(ledger):
    ledger.stage([staged()], 1.0)
    first = number_of(ledger)
    ledger.lost(first, "gone", 2.0)
    ledger.stage([staged(sha="11")], 3.0)
    assert number_of(ledger) > first
    assert counts(ledger) == {"staged": 3}


def test_attempts_and_the_next_one_survive_a_restart(path):
    with opened(path) as ledger:
        ledger.stage([staged()], 1.0)
        number = number_of(ledger)
        ledger.deferred(number, 2, 99.5, "500")
    with opened(path) as ledger:
        (waiting,) = ledger.waiting()
        known = ledger.file(waiting.id)
    assert waiting.next_attempt_at == 99.5
    assert (known.attempts, known.reason, known.state) == (2, "500", State.STAGED)


def test_a_file_fails_and_comes_back(ledger):
    ledger.stage([staged()], 1.0)
    number = number_of(ledger)
    ledger.failed(number, 3, "404", 5.0)
    known = ledger.file(number)
    assert (known.state, known.attempts, known.reason, known.settled_at) == (State.FAILED, 3, "404", 5.0)
    assert ledger.waiting() == []
    (waiting,) = ledger.revived([number], 2, 6.0)
    assert (waiting.id, waiting.tenant) == (number, "acme~prod")
    assert (ledger.file(number).state, ledger.file(number).attempts) == (State.STAGED, 2)
    assert ledger.revived([number], 2, 7.0) == []


def test_a_deferral_that_comes_too_late_changes_nothing(ledger):
    ledger.stage([staged()], 1.0)
    number = number_of(ledger)
    ledger.uploaded({number: None}, 2.0)
    ledger.deferred(number, 1, 50.0, "late")
    ledger.failed(number, 3, "late", 3.0)
    assert ledger.lost(number, "late", 3.0) is False
    assert ledger.file(number).state is State.UPLOADED
    assert counts(ledger) == {"uploaded": 3}


def test_failed_directories_come_in_the_order_in_which_they_failed(ledger):
    for number, directory in enumerate(["b~x~20260101000000", "a~x~20260101000000", "c~y~20260101000000"]):
        tenant = directory[:3]
        ledger.stage([staged(f"{n}", directory=directory, tenant=tenant) for n in range(3)], 1.0)
        for known in ledger.files_in(directory).values():
            ledger.failed(known.id, 3, "no", 10.0 + number)
    assert ledger.failed_directories(2, now=99.0) == ["b~x~20260101000000", "a~x~20260101000000"]
    assert ledger.failed_directories(-1, now=99.0) == ["b~x~20260101000000", "a~x~20260101000000", "c~y~20260101000000"]
    assert ledger.failed_directories(5, Chosen(tenant="c~y"), now=99.0) == ["c~y~20260101000000"]


def test_what_failed_before_the_clock_was_set_back_counts_as_failed_longest_ago(ledger):
    for at, directory in [(50.0, "a~x~20260101000000"), (86_450.0, "b~x~20260101000000"), (60.0, "c~x~20260101000000")]:
        ledger.stage([staged("1", directory=directory, tenant=directory[:3])], 1.0)
        (known,) = ledger.files_in(directory).values()
        ledger.failed(known.id, 3, "no", at)
    assert [name[0] for name in ledger.failed_directories(-1, now=100.0)] == ["b", "a", "c"]
    earlier = Chosen(before=55.0)
    assert [name[0] for name in ledger.failed_directories(-1, earlier, now=100.0)] == ["b", "a"]
    (ahead,) = ledger.files_in("b~x~20260101000000").values()
    assert earlier.has(ahead, 100.0)
    assert not earlier.has(ahead, 86_451.0)


def test_files_of_a_state_can_be_listed(ledger):
    ledger.stage([staged("f1", start=2), staged("f2", start=1), staged("f3", tenant="z~z")], 1.0)
    assert [known.file.name for known in ledger.files(State.STAGED)] == ["f3", "f2", "f1"]
    assert [known.file.name for known in ledger.files(State.STAGED, tenant="acme~prod", limit=1)] == ["f2"]
    assert ledger.files(State.FAILED) == []


def test_unfinished_directories_are_those_that_should_hold_files(ledger):
    ledger.stage([staged("f1", directory="a"), staged("f2", directory="b"), staged("f3", directory="c")], 1.0)
    ledger.uploaded({number_of(ledger, "f1", "a"): None}, 2.0)
    ledger.failed(number_of(ledger, "f2", "b"), 3, "no", 2.0)
    assert ledger.unfinished_directories() == {"b", "c"}


def test_set_aside_counts_once_per_name_and_reason(ledger):
    for _ in range(2):
        ledger.set_aside("spool", 4, 40, "checksum at 17", 1.0, "acme~prod")
    ledger.set_aside("spool", 1, 10, "checksum at 99", 1.0, "acme~prod")
    ledger.set_aside("junk", 0, 500, "no spool at all", 1.0)
    assert ledger.totals() == {
        "acme~prod": {State.SET_ASIDE: Count(5, 50, 2)},
        "": {State.SET_ASIDE: Count(0, 500, 1)},
    }


def test_an_adopted_file_is_accepted_too_and_once(ledger):
    for _ in range(2):
        ledger.adopted(staged(), State.FAILED, 1.0)
    assert counts(ledger) == {"accepted": 3, "failed": 3}


def test_a_file_that_was_missing_and_is_adopted_is_not_accepted_again(ledger):
    ledger.accepted(1, {"acme~prod": (3, 30)})
    ledger.stage([staged()], 1.0)
    ledger.lost(number_of(ledger), "gone", 2.0)
    ledger.adopted(staged(), State.STAGED, 3.0)
    assert counts(ledger) == {"accepted": 3, "staged": 3}


def test_what_is_long_uploaded_is_forgotten_and_its_totals_stay(ledger):
    ledger.accepted(1, {"acme~prod": (6, 60)})
    ledger.stage([staged("f1"), staged("f2"), staged("f3")], 1.0)
    ledger.uploaded({number_of(ledger, "f1"): None}, 10.0)
    ledger.uploaded({number_of(ledger, "f2"): None}, 20.0)
    assert ledger.forget(15.0) == 1
    assert set(ledger.files_in("acme~prod~20260101000000")) == {"f2", "f3"}
    assert counts(ledger) == {"accepted": 6, "staged": 3, "uploaded": 6}


def test_what_was_made_of_a_spool_is_remembered_until_all_of_it_is_packed(ledger):
    files = {
        number: str(FileName(hash="00ff", start_at=0, end_at=120, instance_id="i", n=number * FILES_PER_SPOOL))
        for number in (7, 77)
    }
    for number, name in files.items():
        ledger.accepted(number, {"acme~prod": (3, 30)})
        ledger.stage([staged(name)], 1.0)
        ledger.uploaded({number_of(ledger, name): None}, 2.0)
    ledger.packed(77, 3.0)
    assert ledger.forget(1_000.0) == 1
    assert ledger.known("acme~prod~20260101000000", list(files.values())) == {files[7]: (3, 30)}
    ledger.packed(7, 3.0)
    assert ledger.forget(1_000.0) == 1


def test_what_was_made_of_any_of_a_thousand_half_packed_spools_is_remembered(ledger):
    for number in range(1, 1001):
        ledger.accepted(number, {})
    names = [
        str(FileName(hash="00ff", start_at=0, end_at=120, instance_id="i", n=number * FILES_PER_SPOOL))
        for number in (1, 500, 1000, 1001)
    ]
    ledger.stage([staged(name) for name in [*names, "what-the-original-left"]], 1.0)
    ledger.uploaded({waiting.id: None for waiting in ledger.waiting()}, 2.0)
    assert ledger.forget(1_000.0) == 2
    assert set(ledger.files_in("acme~prod~20260101000000")) == set(names[:3])


def test_what_was_made_of_a_spool_that_was_set_aside_is_forgotten_in_time_and_it_is_never_called_packed(ledger):
    name = str(FileName(hash="00ff", start_at=0, end_at=120, instance_id="i", n=7 * FILES_PER_SPOOL))
    ledger.accepted(7, {"acme~prod": (3, 30)})
    ledger.stage([staged(name)], 1.0)
    ledger.uploaded({number_of(ledger, name): None}, 2.0)
    ledger.given_up(7, 50.0)
    ledger.given_up(8, 50.0)
    assert (ledger.is_packed(7), ledger.is_accepted(7), ledger.is_accepted(8)) == (False, True, False)
    assert ledger.forget(10.0) == 1
    assert ledger.is_accepted(7)
    ledger.packed(7, 60.0)  # somebody mended it and put it back
    assert ledger.is_packed(7)
    ledger.given_up(7, 70.0)
    assert ledger.is_packed(7)
    ledger.forget(61.0)
    assert not ledger.is_accepted(7)


def test_forgetting_many_leaves_none_behind(ledger):
    ledger.stage([staged(f"f{n}") for n in range(2500)], 1.0)
    ledger.uploaded({waiting.id: None for waiting in ledger.waiting()}, 2.0)
    assert ledger.forget(3.0) == 2500


def test_packed_spools_are_forgotten_too(ledger):
    ledger.packed(7, 100.0)
    ledger.accepted(8, {})
    ledger.packed(9, 102.0)
    ledger.forget(101.0)
    assert (ledger.is_packed(7), ledger.is_accepted(8), ledger.is_packed(9)) == (False, True, True)


def test_a_failed_call_leaves_nothing_and_the_next_one_works(ledger):
    with pytest.raises(AttributeError):
        ledger.stage([staged(), None], 1.0)
    ledger.stage([staged("f2")], 1.0)
    assert counts(ledger) == {"staged": 3}


def test_every_commit_is_synced(ledger):
    assert ledger._database.execute("PRAGMA synchronous").fetchone() == (2,)
    assert ledger._database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
