"""Ready answers never say anything else than the tables, whatever changes after they were made."""

import itertools
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from apidanalytics.apigeesync.client import Downloaded
from apidanalytics.apigeesync.database import VersionFile
from apidanalytics.apigeesync.errors import SnapshotNeededError
from apidanalytics.apigeesync.store import VersionStore
from apidanalytics.apigeesync.wire import read_changes
from apidanalytics.clock import SystemClock
from apidanalytics.model import Tenant
from apidanalytics.scopes.lookup import CachedScopes
from apidanalytics.scopes.ready import FILE_NAME, HEADER, ReadyAnswers, ReadyFile
from apidanalytics.scopes.ready_build import build
from apidanalytics.scopes.tails import WITHOUT_KEY, tail_of
from tests.apigeesync import changes
from tests.apigeesync.accounts import APP, CLUSTER, example_database
from tests.apigeesync.changes import Question
from tests.apigeesync.oracle import oracle, selectors
from tests.apigeesync.snapshots import write_sqlite
from tests.apigeesync.values import TimestampForm
from tests.crash.test_apigeesync_model import ENVS, KEYS, ORGS, SCOPES, TENANTS, Upstream
from tests.steps import at_once
from tests.unit.scopes.samples import who

TENANT_IDS = [*TENANTS, "tenantid"]
API_KEYS = [*KEYS, "testapikey", "never"]


class World:
    """A database upstream, the version that follows it, and workers that read it."""

    def __init__(self, directory: Path, chance: random.Random) -> None:
        self.database = example_database()
        self.upstream = Upstream(self.database, chance)
        self.store = VersionStore(directory / "apigeesync", CLUSTER)
        self.chance = chance
        self.history: list[str] = []
        self.ready_answers = 0
        self.workers: list[CachedScopes] = []
        self.file = self._adopt()
        self.new_worker()

    def _adopt(self) -> VersionFile:
        target = self.store.clear_part()
        write_sqlite(target, self.database, selectors(self.database))
        downloaded = Downloaded(path=target, txid="", is_verified=True)
        file = self.store.adopt(downloaded, self.store.check(downloaded), 1.0)
        self.store.settle(file)
        return file

    def new_worker(self) -> None:
        max_keys = self.chance.choice([1, 6, 1000])  # what is remembered has to be forgotten in time, too
        self.workers.append(CachedScopes(self.file.path, max_keys=max_keys, refresh_interval=1e6, clock=SystemClock()))

    def drop_worker(self) -> None:
        if len(self.workers) > 1:
            self.workers.pop(0).close()

    def new_snapshot(self) -> None:
        former, self.file = self.file, self._adopt()
        for worker in self.workers:
            worker.switch(self.file.path)
        former.close()
        self.store.remove_old(())

    def make(self) -> None:
        assert build(self.file.path) is not None
        self._tick()

    def make_and_forget(self) -> None:
        assert build(self.file.path) is not None
        self.file.forget_changed()
        self._tick()

    def make_late(self) -> None:
        """Put one that was made long ago in the place of a newer one, as a process that nobody waits for may."""
        assert build(self.file.path) is not None
        old = self.file.path.with_name(FILE_NAME).read_bytes()
        self.change()
        self.make_and_forget()
        late = self.file.path.with_name("late")
        late.write_bytes(old)
        late.rename(self.file.path.with_name(FILE_NAME))
        self._tick()
        self.new_worker()  # all that it knows of what changed is what the file still has

    def change(self) -> None:
        self.history.append(self.upstream.step())
        question = Question(
            selectors=frozenset(self.file.selectors),
            since=self._since(),
            snapshot=changes._parse_snapshot(self.file.txid),
            limit=1000,
            block_seconds=0,
        )
        answer = changes.answer(self.database, question, TimestampForm.AS_FOUND)
        found = read_changes(json.dumps(answer).encode())
        try:
            news = self.file.apply(found.changes, found.last, 1.0)
        except SnapshotNeededError:
            self.new_snapshot()
            return
        for worker in self.workers:
            if self.chance.random() < 0.8:
                at_once(worker.renewal([news]))
            else:
                self._miss(worker)
        if self.file.is_outgrown:
            self.new_snapshot()

    def check(self) -> None:
        truth = oracle(self.database)
        for worker in self.workers:
            for scope in [*SCOPES, "testid", "never"]:
                assert worker.tenant(scope) == truth.tenant(scope), (scope, self.history[-20:])
            for name in itertools.product(ORGS, ENVS):
                assert worker.tenant_of(*name) == truth.tenant_of(*name), (name, self.history[-20:])
        for tenant_id in TENANT_IDS:
            tenant = Tenant(org="o", env="e", tenant_id=tenant_id)
            several = [*API_KEYS, None, "", *API_KEYS[:2], "never"]
            tails = [tail_of(truth.developer(tenant, key)) if key else WITHOUT_KEY for key in several]
            for worker in self.workers:
                assert worker.tails(tenant).of(several) == tails, (tenant_id, self.history[-20:])
            for key in API_KEYS:
                for worker in self.workers:
                    self.ready_answers += worker._ready.find(tenant_id, key) is not None
                    found = worker.tails(tenant)[key]
                    assert found == tail_of(truth.developer(tenant, key)), (tenant_id, key, self.history[-20:])

    def close(self) -> None:
        for worker in self.workers:
            worker.close()
        self.file.close()

    def _since(self) -> tuple[int, int]:
        sequence = self.file.sequence
        return changes.parse_sequence("" if sequence is None else str(sequence))

    def _miss(self, worker) -> None:
        """What was missed counts at the second tick: until then it may be on its way."""
        worker.tick()
        worker.tick()

    def _tick(self) -> None:
        for worker in self.workers:
            worker.tick()


@pytest.fixture(name="world")
def a_world(tmp_path: Path, request: pytest.FixtureRequest):
    seed = getattr(request, "param", 1)
    world = World(tmp_path, random.Random(seed))
    world.history.append(f"seed {seed}")
    yield world
    world.close()


@pytest.mark.parametrize("world", range(2), indirect=True)
def test_look_ups_are_those_of_the_tables_whatever_happens_after_answers_were_made(world: World) -> None:
    actions = [world.change] * 12 + [world.make, world.make_and_forget, world.make_late]
    actions += [world.new_worker, world.drop_worker, world.new_snapshot]
    for _ in range(70):
        action = world.chance.choice(actions)
        world.history.append(action.__name__)
        action()
        world.check()
    assert world.ready_answers > 50


def test_a_key_that_is_ready_is_not_asked_of_the_database(world: World) -> None:
    world.make()
    (worker,) = world.workers
    asked: list[str] = []
    worker._database._connection.set_trace_callback(asked.append)
    found = who(worker, Tenant(org="o", env="e", tenant_id="tenantid"), "testapikey")
    assert found is not None
    assert found.developer_app == "testapp"
    assert asked == []


@pytest.mark.parametrize("content", [b"", b"apaTAILS", b"x" * 4096, HEADER.pack(b"apaTAILS", 1 << 20, 1, 0)])
def test_what_is_no_file_of_answers_is_not_used(world: World, content: bytes) -> None:
    world.file.path.with_name(FILE_NAME).write_bytes(content)
    world.workers[0].tick()
    world.check()
    assert world.ready_answers == 0


def test_a_damaged_entry_is_asked_of_the_database(world: World) -> None:
    world.make()
    path = world.file.path.with_name(FILE_NAME)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 8)
    world.check()


@pytest.mark.parametrize(("first", "last", "is_taken"), [(0, 0, False), (0, 1, True), (1, 5, True), (2, 5, False)])
def test_answers_are_taken_when_they_are_neither_too_old_nor_ahead(world: World, first, last, is_taken) -> None:
    world.database.update(APP, "tenantid", "testappid", status="seen")
    world.change()
    world.make()
    path = world.file.path.with_name(FILE_NAME)
    file = ReadyFile(path)
    file.close()
    ready = ReadyAnswers()
    ready.take(path, first=first - 1 + file.lists, last=last - 1 + file.lists)
    assert ready.is_taken(path) == is_taken
    ready.close()


def test_a_process_makes_it_and_leaves_nothing_else(world: World) -> None:
    command = [sys.executable, "-m", "apidanalytics.scopes.ready_build", str(world.file.path)]
    assert subprocess.run(command, check=False, timeout=60).returncode == 0
    assert {path.name for path in world.file.path.parent.glob(f"{FILE_NAME}*")} == {FILE_NAME}
    assert world.file.path.with_name(FILE_NAME).stat().st_mode & 0o777 == 0o600
    world.check()


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "apidanalytics.scopes.ready_build", str(tmp_path / "none.db")]
    done = subprocess.run(command, check=False, timeout=60, capture_output=True, text=True)
    assert done.returncode == 1
    assert "ready answers cannot be made" in done.stderr
    assert "Traceback" not in done.stderr
