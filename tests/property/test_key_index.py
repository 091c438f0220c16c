"""The index of keys against a model: any order of claims, fates, repeats and passing time, from several ways in."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from apidanalytics.idempotency.index import IndexLimits, KeyIndex
from apidanalytics.model import Claim, Fate, Verdict, Wish

WINDOW = 100
MAX_KEYS = 6
LIMITS = IndexLimits(window_seconds=WINDOW, max_keys=MAX_KEYS, is_synced=False)

tenants = st.sampled_from(["acme~prod", "globex~prod"])
keys = st.sampled_from(["a", "b", "c", "~"])
bodies = st.sampled_from([b"1" * 16, b"2" * 16])


@dataclass
class Row:
    body: bytes
    at: int
    owner: int
    claim: Claim
    fate: Fate | None = None
    may_be_gone: bool = False
    """Its time was over once, before the clock was set back."""


class KeysAgainstAModel(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        path = Path(self.directory.name) / "index.db"
        # Workers 1 and 2, and last the agent.
        KeyIndex.create(path, LIMITS)
        self.ways = [KeyIndex.open(path, LIMITS) for _ in range(3)]
        self.now = 1_000_000
        self.ticket = 0
        self.rows: dict[tuple[str, str], Row] = {}
        self.old: list[Claim] = []

    def teardown(self):
        for way in self.ways:
            way.close()
        self.directory.cleanup()

    def row_of(self, name):
        row = self.rows.get(name)
        return row if row is not None and self.is_kept(row) else None

    def is_kept(self, row):
        return row.fate is not Fate.STORED or self.now - row.at < WINDOW

    def bring_back(self):
        for row in self.rows.values():
            row.at = min(row.at, self.now)
            row.may_be_gone |= not self.is_kept(row)

    @rule(tenant=tenants, key=keys, body=bodies, worker=st.integers(1, 2))
    def claim(self, tenant, key, body, worker):
        self.ticket += 1
        self.bring_back()
        wish = Wish(tenant=tenant, key=key, body=body, ticket=self.ticket)
        ((verdict, claim),) = self.ways[worker - 1].claim([wish], [], worker, self.now)
        row = self.row_of((tenant, key))
        if row is not None and row.may_be_gone and verdict in {Verdict.GRANTED, Verdict.FULL}:
            row = None
        assert (verdict is Verdict.GRANTED) == (claim is not None)
        if row is None:
            fresh = [row for row in self.rows.values() if self.is_kept(row)]
            assert verdict in ({Verdict.GRANTED} if len(fresh) < MAX_KEYS else {Verdict.GRANTED, Verdict.FULL})
            if claim is not None:
                if (tenant, key) in self.rows:
                    self.old.append(self.rows[tenant, key].claim)
                self.rows[tenant, key] = Row(body, self.now, worker, claim)
        elif row.fate is not Fate.STORED:
            assert verdict is Verdict.IN_USE
        else:
            assert verdict is (Verdict.REPLAYED if row.body == body else Verdict.REUSED)

    def open_rows(self):
        return [(name, row) for name, row in self.rows.items() if row.fate is None]

    @precondition(lambda self: self.open_rows())
    @rule(data=st.data(), fate=st.sampled_from(list(Fate)), spool=st.sampled_from([0, 77]))
    def settle(self, data, fate, spool):
        name, row = data.draw(st.sampled_from(self.open_rows()))
        row.claim.spool = spool
        self.ways[row.owner - 1].claim([], [(row.claim, fate)], row.owner, self.now)
        if fate is Fate.RELEASED or (fate is Fate.IN_DOUBT and not spool):
            del self.rows[name]
        else:
            row.fate = fate

    @precondition(lambda self: self.old)
    @rule(data=st.data(), fate=st.sampled_from(list(Fate)))
    def settle_what_is_long_over(self, data, fate):
        claim = data.draw(st.sampled_from(self.old))
        self.ways[0].claim([], [(claim, fate)], 1, self.now)
        self.ways[2].spool_goes(5, [claim])

    @rule(worker=st.integers(1, 2), data=st.data())
    def worker_dies_and_its_spools_are_looked_into(self, worker, data):
        mine = [(name, row) for name, row in self.open_rows() if row.owner == worker]
        found = data.draw(st.lists(st.sampled_from(mine), unique_by=lambda one: one[0])) if mine else []
        self.ways[2].close_claims(worker, [row.claim for _, row in found])
        self.close(mine, found)

    @rule(worker=st.integers(1, 2), data=st.data())
    def worker_dies_and_not_all_of_its_spools_can_be_read(self, worker, data):
        mine = [(name, row) for name, row in self.open_rows() if row.owner == worker]
        found = data.draw(st.lists(st.sampled_from(mine), unique_by=lambda one: one[0])) if mine else []
        self.ways[2].close_old_claims(worker, [row.claim for _, row in found], self.now)
        self.bring_back()
        old = [(name, row) for name, row in mine if self.now - row.at >= WINDOW]
        self.close([one for one in mine if one in found or one in old], found)

    @rule(data=st.data())
    def spool_goes(self, data):
        doubtful = [(name, row) for name, row in self.rows.items() if row.fate is Fate.IN_DOUBT]
        found = data.draw(st.lists(st.sampled_from(doubtful), unique_by=lambda one: one[0])) if doubtful else []
        self.ways[2].spool_goes(77, [row.claim for _, row in found])
        self.close(doubtful, found)

    def close(self, concerned, found):
        for name, row in concerned:
            if (name, row) in found:
                row.fate = Fate.STORED
            else:
                del self.rows[name]

    @rule(seconds=st.sampled_from([1, 50, WINDOW - 1, WINDOW, 3 * WINDOW]))
    def time_passes(self, seconds):
        self.now += seconds

    @rule(seconds=st.sampled_from([1, 50, WINDOW, 3 * WINDOW]))
    def the_clock_is_set_back(self, seconds):
        self.now -= seconds

    @rule()
    def a_worker_comes_anew(self):
        self.ways[0].close()
        self.ways[0] = KeyIndex.open(Path(self.directory.name) / "index.db", LIMITS)

    @invariant()
    def its_size_is_bounded(self):
        (count,) = self.ways[2]._database.execute("SELECT count(*) FROM keys").fetchone()
        assert count <= MAX_KEYS + 1

    @invariant()
    def the_agent_sees_whose_claims_are_open(self):
        expected = {
            -77 if row.fate is Fate.IN_DOUBT else row.owner for row in self.rows.values() if row.fate is not Fate.STORED
        }
        assert expected <= set(self.ways[2].owners())


TestKeysAgainstAModel = KeysAgainstAModel.TestCase
TestKeysAgainstAModel.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
