"""Whatever happens upstream, and whatever goes wrong on the way: look-ups end up as the tables upstream say.

A sequence of steps is drawn from a seed: rows of every table are added, changed and removed, moved to other scopes and
put into transactions; snapshots are forced, the log is purged or lost, answers are spoiled, the collector is killed
and restarted. In between every look-up is held against the rules of look-ups over the rows upstream.
"""

import itertools
import random
from collections.abc import Iterator

import pytest

from tests.apigeesync import faults
from tests.apigeesync.accounts import APP, DEVELOPER, MAPPER, PRODUCT, SCOPE
from tests.apigeesync.database import FIRST_LSN, Database, Transaction
from tests.apigeesync.oracle import oracle
from tests.apigeesync.tables import SELECTOR
from tests.integration.synced import TOO_OLD, Following, collecting

SCOPES = [f"scope{number}" for number in range(6)]
TENANTS = [f"t{number}" for number in range(4)]
KEYS = [f"key{number}" for number in range(5)]
IDS = ["a", "b", "c"]
ORGS, ENVS = ["o1", "o2", ""], ["prod", None]
FAULTS = {
    "changes": [
        faults.status(500), faults.status(304), faults.status(400), faults.garbage(), faults.hang_up(), faults.cut(20),
        TOO_OLD, faults.headers(Content_Type="text/plain"), faults.slow(0.2),
    ],
    "data": [
        faults.status(500), faults.cut(3000), faults.shortened(9000), faults.headers(ETag='"' + "0" * 64 + '"'),
        faults.garbage(), faults.hang_up(),
    ],
    "snapshots": [faults.status(500), faults.hang_up(), faults.status(404)],
    "token": [faults.status(500), faults.garbage(), faults.document({})],
}  # fmt: skip


class Upstream:
    """Does one random thing after the other to the tables."""

    def __init__(self, database: Database, chance: random.Random) -> None:
        self.database = database
        self._chance = chance
        self._texts = 0

    def step(self) -> str:
        """Do something, in one transaction; return what it was."""
        with self.database.transaction() as transaction:
            self._touched: set[tuple[str, tuple[str, ...]]] = set()
            done = [self._change(transaction) for _ in range(self._chance.choice([1, 1, 1, 2, 5]))]
        return ", ".join(done)

    def _change(self, transaction: Transaction) -> str:
        kind = self._chance.choice([self._scope, self._mapper, self._mapper, self._part, self._part, self._part])
        return kind(transaction)

    def _scope(self, transaction: Transaction) -> str:
        values = {"scope": self._pick(TENANTS), "org": self._pick(ORGS), "env": self._pick(ENVS)}
        key = (self._pick(SCOPES),)
        cluster = self.database.rows("edgex.apid_cluster")[0]["id"]
        return self._put(transaction, SCOPE, key, {**values, "apid_cluster_id": cluster, SELECTOR: cluster}, ("id",))

    def _mapper(self, transaction: Transaction) -> str:
        tenant = self._pick(TENANTS)
        key = (tenant, self._pick(KEYS), self._pick(IDS), self._pick(IDS))
        columns = ("tenant_id", "appcred_id", "app_id", "apiprdt_id")
        return self._put(transaction, MAPPER, key, {"status": self._text(), SELECTOR: tenant}, columns)

    def _part(self, transaction: Transaction) -> str:
        tenant = self._pick(TENANTS)
        table, values = self._chance.choice(
            [
                (PRODUCT, {"name": self._text(), "is_public": self._pick([True, False, None])}),
                (APP, {"name": self._text(), "developer_id": self._pick([*IDS, None, ""])}),
                (DEVELOPER, {"username": self._text(), "email": self._pick([self._text(), None, ""])}),
            ]
        )
        selector = tenant if self._chance.random() < 0.8 else "foreign"
        return self._put(
            transaction, table, (tenant, self._pick(IDS)), {**values, SELECTOR: selector}, ("tenant_id", "id")
        )

    def _put(self, transaction, table, key, values, columns) -> str:
        """Insert, update or delete the row with this key, as it is there or not; each row once in a transaction."""
        if (table, key) in self._touched:
            return "nothing"
        self._touched.add((table, key))
        row = self.database.get(table, *key)
        if row is None:
            transaction.insert(table, **{**values, **dict(zip(columns, key, strict=True))})
            return f"insert {table} {key} {values}"
        if row[SELECTOR] == "foreign":  # what becomes of it no longer concerns us: nobody tells us of its return
            return "nothing"
        if self._chance.random() < 0.4:
            transaction.delete(table, *key)
            return f"delete {table} {key}"
        return self._update(transaction, table, key, values)

    def _update(self, transaction, table, key, values) -> str:
        unchanged = tuple(column for column in ("name", "email") if column in values and self._chance.random() < 0.2)
        values = {column: value for column, value in values.items() if column not in unchanged}
        transaction.update(table, *key, unchanged=unchanged, **values)
        return f"update {table} {key} {values}"

    def _pick(self, values):
        return self._chance.choice(values)

    def _text(self) -> str:
        self._texts += 1
        return self._chance.choice([f"text {self._texts}", "", "ä'\"\\ \u2028 \U0001f600", f"{self._texts}"])


def act(following: Following, chance: random.Random) -> str:
    """Let something go wrong, or something unusual happen; return what it was."""
    endpoint = chance.choice(list(FAULTS))
    actions = {
        f"fault {endpoint}": lambda: following.faults.add(endpoint, chance.choice(FAULTS[endpoint])),
        "too old": lambda: following.faults.add("changes", TOO_OLD),
        "revoke": following.stand_in.tokens.revoke,
        "away": lambda: (following.collector.upstream.stop(), following.collector.upstream.serve()),
        "reset": lambda: reset(following),
    }
    name = chance.choice(list(actions))
    actions[name]()
    return name


def reset(following: Following) -> None:
    """Lose the log while it is followed to its end. (What is lost unseen can hide behind equal sequences, for ever.)"""
    if following.database.last_sequence[0] < FIRST_LSN:
        return  # once is enough, see Following.reset
    following.faults.clear()
    following.wake()
    following.wait_polling()
    following.reset()
    following.wait_polling()


def away_and_purged(following: Following, upstream: Upstream) -> str:
    """Be away while something changes, and come back without the changes."""
    following.wake()
    following.wait_polling()
    following.collector.upstream.stop()
    done = upstream.step()
    following.database.purge()
    following.wake()
    following.collector.upstream.serve()
    return f"away, purged: {done}"


def restart(following: Following, chance: random.Random) -> str:
    service = following.service
    if chance.random() < 0.5:
        service.kill_all()
    else:
        code = service.terminate()
        assert code == 0, f"exit code {code}"
    service.restart()
    return "restart"


def check(following: Following) -> None:
    """Hold every look-up against the rows upstream."""
    following.collector.wait_in_step([*SCOPES, "testid", "never"], [*KEYS, "testapikey", "never"])
    truth = oracle(following.database)
    for org, env in itertools.product(ORGS, ENVS):
        if org and env:
            is_known = truth.tenant_of(org, env) is not None
            assert following.collector.look_up_tenant(org, env) == is_known, (org, env)


def play(free_port, seed: int, steps: int, restarts: int) -> None:
    chance = random.Random(seed)
    restart_at = set(chance.sample(range(1, steps), restarts))
    history = [f"seed {seed}"]
    with collecting(free_port, apidanalytics_use_caching=chance.random() < 0.8) as collector:
        try:
            for did in events(Following(collector), chance, steps, restart_at):
                history.append(did)
        except (AssertionError, TimeoutError) as error:
            raise AssertionError("\n".join([*history[-30:], str(error), collector.service.log()[-3000:]])) from error


def events(following: Following, chance: random.Random, steps: int, restart_at: set[int]) -> Iterator[str]:
    """Let one thing happen after the other, tell of each, and look in between whether all is in step."""
    upstream = Upstream(following.database, chance)
    for step in range(steps):
        yield upstream.step()
        if chance.random() < 0.3:
            yield act(following, chance)
        if chance.random() < 0.03:
            yield away_and_purged(following, upstream)
        if step in restart_at:
            yield restart(following, chance)
        if chance.random() < 0.3:
            check(following)
            following.faults.clear()
    following.faults.clear()
    check(following)


def test_look_ups_end_up_as_the_tables_upstream_say(free_port, crash_seed):
    play(free_port, crash_seed, steps=60, restarts=2)


@pytest.mark.soak
@pytest.mark.parametrize("number", range(20))
def test_look_ups_end_up_as_the_tables_upstream_say_in_long_runs(free_port, crash_seed, number):
    play(free_port, crash_seed + number, steps=1500, restarts=15)
