"""The ledger remembers what became of every file, and its totals add up."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule
from structlog.testing import capture_logs

from apidanalytics.errors import DamagedError, NewerFormatError
from apidanalytics.model import StagedFile
from apidanalytics.upload import schema
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.states import Chosen, Count, State


def staged(name="f1", *, directory="acme~prod~20260101000000", tenant="acme~prod", start=0, records=3, sha="00"):
    return StagedFile(
        directory=directory,
        name=name,
        tenant=tenant,
        start_at=start,
        records=records,
        bytes=records * 10,
        size_bytes=records,
        sha256=sha,
    )


@pytest.fixture
def path(tmp_path):
    (tmp_path / "damaged").mkdir()
    return tmp_path / "ledger.db"


def opened(path):
    return Ledger.open(path, path.parent / "damaged", 1_000.0)


@pytest.fixture
def ledger(path):
    with opened(path) as ledger:
        yield ledger


def damage(path, begin, length=None):
    """Write over a stretch of the database, or all from ``begin`` on, with no log beside it that could heal it."""
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    content = bytearray(path.read_bytes())
    length = length or len(content) - begin
    content[begin : begin + length] = b"\xa5" * length
    path.write_bytes(content)
    return content


def number_of(ledger, name="f1", directory="acme~prod~20260101000000"):
    return ledger.files_in(directory)[name].id


def counts(ledger, tenant="acme~prod"):
    return {state.value: count.records for state, count in ledger.totals()[tenant].items() if count != Count()}


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
    assert ledger.known(directory, ["f0", "f1", "f2", "f3", "f4"]) == {"f0", "f1", "f2"}
    assert ledger.known(directory, []) == set()
    assert ledger.known("other~dir~20260101000000", ["f0"]) == set()


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
    assert ledger.failed_directories(2) == ["b~x~20260101000000", "a~x~20260101000000"]
    assert ledger.failed_directories(-1) == ["b~x~20260101000000", "a~x~20260101000000", "c~y~20260101000000"]
    assert ledger.failed_directories(5, Chosen(tenant="c~y")) == ["c~y~20260101000000"]


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


def test_a_newer_format_is_left_alone(path):
    opened(path).close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 3")
    database.close()
    before = path.read_bytes()
    with pytest.raises(NewerFormatError, match="format 3"):
        opened(path)
    assert path.read_bytes() == before


def test_a_ledger_of_the_first_format_is_brought_to_this_one_with_all_it_knows(path):
    opened(path).close()
    with sqlite3.connect(path) as database:
        database.execute("ALTER TABLE files DROP COLUMN md5")
        database.execute("PRAGMA user_version = 1")
        database.execute(
            "INSERT INTO files"
            " (directory, name, tenant, start_at, records, bytes, size_bytes, sha256, state, staged_at)"
            " VALUES ('d', 'old', 'acme~prod', 0, 3, 30, 3, '00', 'staged', 1.0)"
        )
        database.execute("INSERT INTO totals VALUES ('acme~prod', 'staged', 3, 30, 1)")
    database.close()
    with opened(path) as ledger:
        assert not ledger.is_new
        ledger.stage([replace(staged("new"), md5="11")], 1.0)
        assert {known.file.name: known.file.md5 for known in ledger.files(State.STAGED)} == {"old": None, "new": "11"}
        assert counts(ledger) == {"staged": 6}
    with opened(path) as ledger:
        assert len(ledger.files(State.STAGED)) == 2


@pytest.mark.parametrize("begin", [0, 4096, 12288])
def test_a_damaged_ledger_is_moved_away_loudly_and_a_new_one_begins(path, begin):
    with opened(path) as ledger:
        ledger.stage([staged(f"f{n}") for n in range(500)], 1.0)
    content = damage(path, begin)
    with capture_logs() as logs, opened(path) as ledger:
        assert ledger.totals() == {}
        ledger.stage([staged()], 1.0)
    (moved,) = path.parent.glob("damaged/ledger.db.*[0-9]")
    assert moved.read_bytes() == content
    assert moved.with_name(moved.name + ".reason.json").exists()
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("upload.ledger_damaged", "error")]


def test_damage_found_while_running_has_the_ledger_checked_at_the_next_start(path, monkeypatch):
    monkeypatch.setattr(schema, "_CHECKED_BYTES", 0)  # as if it were too large to be checked every time
    opened(path).close()
    with sqlite3.connect(path) as database:
        page = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'files_uploaded'").fetchone()[0]
    database.close()
    damage(path, (page - 1) * 4096, 4096)
    with opened(path) as ledger, pytest.raises(sqlite3.DatabaseError, match="malformed"):
        ledger.forget(1e12)
    with opened(path) as ledger:
        assert ledger.is_new
    assert len(list(path.parent.glob("damaged/*.reason.json"))) == 1
    assert not list(path.parent.glob("*.suspect"))


def test_the_log_keeps_its_room_from_one_start_to_the_next(path):
    for _ in range(3):
        with opened(path) as ledger:
            for number in range(300):
                ledger.set_aside("x", 0, 0, f"{number}", 1.0)
        assert path.with_name("ledger.db-wal").stat().st_size < 2 * (1 << 20)
        assert path.with_name("ledger.db-wal").stat().st_size >= 1 << 20


def test_a_file_that_is_no_ledger_is_moved_away(path):
    path.write_bytes(b"this is not a database, whatever its name says" * 100)
    with opened(path) as ledger:
        assert ledger.is_new
    assert len(list(path.parent.glob("damaged/*"))) == 2


def test_another_programs_database_is_moved_away(path):
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE files (x)")
        database.execute("PRAGMA user_version = 1")
    database.close()
    with opened(path) as ledger:
        ledger.stage([staged()], 1.0)
        assert counts(ledger) == {"staged": 3}


def test_trouble_of_the_disk_is_no_reason_to_begin_anew(path):
    path.mkdir()
    with pytest.raises(sqlite3.OperationalError):
        opened(path)
    assert list(path.parent.glob("damaged/*")) == []


def test_a_failed_call_leaves_nothing_and_the_next_one_works(ledger):
    with pytest.raises(AttributeError):
        ledger.stage([staged(), None], 1.0)
    ledger.stage([staged("f2")], 1.0)
    assert counts(ledger) == {"staged": 3}


def test_every_commit_is_synced(ledger):
    assert ledger._database.execute("PRAGMA synchronous").fetchone() == (2,)
    assert ledger._database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


NAMES = [f"f{n}" for n in range(6)]
FOREVER = 1e12
TENANTS = ["a~x", "b~y"]


class LedgerMachine(RuleBasedStateMachine):
    """The ledger against a dictionary, with restarts in between."""

    files = Bundle("files")

    @initialize(path=st.just(None))
    def open(self, path):
        import tempfile

        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "ledger.db"
        (self.path.parent / "damaged").mkdir()
        self.ledger = opened(self.path)
        self.model = {}
        self.accepted = dict.fromkeys(TENANTS, 0)
        self.spools = {}
        self.packed = set()
        self.aside = {}
        self.gone = dict.fromkeys(TENANTS, 0)
        self.now = 10.0

    def key(self, name, tenant):
        return (f"{tenant}~20260101000000", name)

    @rule(target=files, names=st.sets(st.sampled_from(NAMES), min_size=1), tenant=st.sampled_from(TENANTS))
    def stage(self, names, tenant):
        self.now += 1
        directory = self.key("", tenant)[0]
        self.ledger.stage(
            [staged(name, directory=directory, tenant=tenant, start=NAMES.index(name)) for name in sorted(names)],
            self.now,
        )
        for name in names:
            known = self.model.get((directory, name))
            if known is None or known["state"] == "set_aside":
                self.model[directory, name] = {"state": "staged", "tenant": tenant, "attempts": 0, "next": 0.0}
        return multiple(*((directory, name) for name in sorted(names)))

    @rule(number=st.integers(1, 3), counts=st.dictionaries(st.sampled_from(TENANTS), st.integers(0, 9)))
    def accept(self, number, counts):
        self.ledger.accepted(number, {tenant: (records, records) for tenant, records in counts.items()})
        if number not in self.spools:
            self.spools[number] = counts
            for tenant, records in counts.items():
                self.accepted[tenant] += records

    @rule(number=st.integers(1, 3))
    def pack(self, number):
        self.ledger.packed(number, FOREVER)
        self.packed.add(number)
        self.spools.setdefault(number, {})

    @rule(name=st.sampled_from(NAMES), tenant=st.sampled_from(TENANTS), records=st.integers(0, 9))
    def set_aside(self, name, tenant, records):
        self.ledger.set_aside(name, records, records, "why", self.now, tenant)
        self.aside.setdefault(name, (tenant, records))

    def number(self, file):
        known = self.ledger.files_in(file[0]).get(file[1])
        return known.id if known else 10**9

    @rule(some=st.lists(files, max_size=3))
    def upload(self, some):
        self.now += 1
        self.ledger.uploaded({self.number(file): None for file in some}, self.now)
        for file in some:
            known = self.model.get(file)
            if known and known["state"] in {"staged", "failed"}:
                known.update(state="uploaded", at=self.now)

    @rule(file=files, attempts=st.integers(1, 2))
    def defer(self, file, attempts):
        self.ledger.deferred(self.number(file), attempts, self.now + 5, "why")
        known = self.model.get(file)
        if known and known["state"] == "staged":
            known.update(attempts=attempts, next=self.now + 5)

    @rule(file=files)
    def fail(self, file):
        self.now += 1
        self.ledger.failed(self.number(file), 3, "why", self.now)
        known = self.model.get(file)
        if known and known["state"] == "staged":
            known.update(state="failed", attempts=3, next=0.0, at=self.now)

    @rule(some=st.lists(files, max_size=3, unique=True))
    def revive(self, some):
        back = self.ledger.revived([self.number(file) for file in some], 2, self.now)
        failed = [file for file in some if self.model.get(file, {}).get("state") == "failed"]
        assert [waiting.id for waiting in back] == [self.number(file) for file in failed]
        for file in failed:
            self.model[file].update(state="staged", attempts=2, next=0.0)

    @rule(file=files)
    def lose(self, file):
        known = self.model.get(file)
        is_news = bool(known) and known["state"] in {"staged", "failed"}
        assert self.ledger.lost(self.number(file), "gone", self.now) is is_news
        if is_news:
            known.update(state="set_aside", at=self.now)

    @rule()
    def forget(self):
        old = [file for file, known in self.model.items() if known["state"] == "uploaded" and known["at"] < self.now]
        assert self.ledger.forget(self.now) == len(old)
        for file in old:
            self.gone[self.model.pop(file)["tenant"]] += 3

    @rule()
    def reopen(self):
        self.ledger.close()
        self.ledger = opened(self.path)

    @invariant()
    def files_are_as_in_the_model(self):
        for tenant in TENANTS:
            directory = self.key("", tenant)[0]
            found = {
                (directory, name): (known.state.value, known.attempts, known.next_attempt_at)
                for name, known in self.ledger.files_in(directory).items()
            }
            assert found == {
                file: (known["state"], known["attempts"], known["next"] if known["state"] == "staged" else 0.0)
                for file, known in self.model.items()
                if known["tenant"] == tenant
            }

    @invariant()
    def waiting_is_what_is_staged_oldest_first(self):
        waiting = self.ledger.waiting()
        assert len(waiting) == sum(known["state"] == "staged" for known in self.model.values())
        assert [w.start_at for w in waiting] == sorted(w.start_at for w in waiting)

    @invariant()
    def totals_are_the_sums(self):
        totals = self.ledger.totals()
        for tenant in TENANTS:
            states = dict.fromkeys(("staged", "failed", "uploaded", "set_aside"), 0)
            for known in self.model.values():
                if known["tenant"] == tenant:
                    states[known["state"]] += 3
            states["uploaded"] += self.gone[tenant]
            states["set_aside"] += sum(records for of, records in self.aside.values() if of == tenant)
            states["accepted"] = self.accepted[tenant]
            found = totals.get(tenant, {})
            assert {state: found.get(State(state), Count()).records for state in states} == states

    @invariant()
    def spools_are_as_in_the_model(self):
        for number in range(1, 4):
            assert self.ledger.is_packed(number) is (number in self.packed)
            assert self.ledger.is_accepted(number) is (number in self.spools)

    def teardown(self):
        if hasattr(self, "ledger"):
            self.ledger.close()
            self.directory.cleanup()


LedgerMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestLedgerAgainstAModel = LedgerMachine.TestCase
