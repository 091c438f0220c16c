"""The ledger against a dictionary, whatever is said to it."""

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from apidanalytics.upload.states import Count, State
from tests.unit.upload.ledger_files import opened, staged

NAMES = [f"f{n}" for n in range(6)]
FOREVER = 1e12
TENANTS = ["a~x", "b~y"]


class LedgerMachine(RuleBasedStateMachine):
    """The ledger against a dictionary, with restarts in between."""

    files = Bundle("files")

    @initialize(path=st.just(None))
    def open(self, path):
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
