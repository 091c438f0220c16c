"""The service killed at every point between the first byte and the delete after upload: nothing lost or doubled."""

import ast
import os
import signal
from dataclasses import dataclass

import pytest

from apidanalytics import failpoints
from tests.crash.load import Load, assert_books_balance, children, first_true, wait_settled
from tests.harness import ROOT, wait_until


@dataclass(frozen=True)
class Death:
    """Who dies at a point, and at its how-manieth passing of it."""

    who: str
    hit: int = 1
    after_a_worker: bool = False
    """The point is passed only when a worker has died before."""
    with_open_claims: bool = False
    """That worker has committed batches with a key, and has not settled their claims."""


# A worker is started anew with the point still armed, so it must be able to serve before it gets there.
WORKER = Death("worker", hit=7)
AGENT = Death("agent")
BETWEEN_FILES = Death("agent", hit=2)  # one tenant's file is through, the other's is not
DEATHS = {
    "keys.before_claim": WORKER,
    "keys.after_claim": WORKER,
    "ingest.before_append": Death("worker", hit=40),
    "spool.before_create": Death("worker", hit=2),
    "spool.after_create": Death("worker", hit=2),
    "spool.before_write": WORKER,
    "spool.before_sync": WORKER,
    "spool.after_sync": WORKER,
    "keys.before_settle": WORKER,
    "keys.after_settle": WORKER,
    "spool.before_seal": Death("worker"),
    "spool.after_seal": Death("worker"),
    "pack.before_read": AGENT,
    "pack.before_write": BETWEEN_FILES,
    "pack.before_publish": BETWEEN_FILES,
    "pack.after_publish": AGENT,
    "pack.before_ledger": AGENT,
    "pack.after_ledger": AGENT,
    "keys.before_spool_goes": AGENT,
    "keys.after_spool_goes": AGENT,
    "pack.before_remove_spool": AGENT,
    "pack.after_remove_spool": AGENT,
    "upload.before_sign": BETWEEN_FILES,
    "upload.before_put": BETWEEN_FILES,
    "upload.after_put": BETWEEN_FILES,
    "upload.after_ledger": BETWEEN_FILES,
    "upload.after_delete": BETWEEN_FILES,
    "recover.before_rename": Death("agent", after_a_worker=True),
    "recover.after_rename": Death("agent", after_a_worker=True),
    "keys.before_close": Death("agent", with_open_claims=True),
    "keys.after_close": Death("agent", with_open_claims=True),
}


FEED = tuple(point for point in failpoints.POINTS if point.startswith("sync."))
"""Those of the scope data, which no record passes: see ``test_apigeesync_kills``."""


def points_in_the_code():
    found = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "failpoints.hit":
                assert isinstance(node.args[0], ast.Constant), f"{path}:{node.lineno} names no point"
                found.add(node.args[0].value)
    return found


def test_every_point_of_the_list_is_passed_by_the_code_and_every_one_in_the_code_is_in_the_list():
    assert points_in_the_code() == set(failpoints.POINTS)


def test_the_service_is_killed_at_every_point_of_the_list():
    assert set(DEATHS) | set(FEED) == set(failpoints.POINTS)


@pytest.mark.parametrize("point", DEATHS)
def test_a_process_that_dies_here_loses_nothing_and_doubles_nothing(point, start_quick, crash_seed):
    death = DEATHS[point]
    armed = f"{point}=kill@{death.hit}"
    if death.with_open_claims:
        armed += ",spool.after_sync=kill@7"
    service = start_quick(environment={failpoints.VARIABLE: armed})
    with Load(service, seed=crash_seed, keyed_every=1 if death.with_open_claims else 3) as load:
        if death.who == "worker":
            wait_for_a_workers_death(service)
            load.wait_acknowledged(50)
        else:
            if death.after_a_worker:
                kill_workers_until_the_agent_dies(service, load)
            wait_for_the_agents_death(service)
            service.environment.clear()
            service.restart(ready=False)
            load.wait_acknowledged(50)
        load.stop()
    wait_settled(service)
    assert_books_balance(service, load.assert_conserved())
    assert load.replays


def wait_for_a_workers_death(service):
    first = children(service.pid)
    wait_until(
        lambda: "worker.died" in service.log() and children(service.pid) not in ([], first), what="a worker dies there"
    )
    assert '"how": "SIGKILL"' in service.log()


def kill_workers_until_the_agent_dies(service, load):
    """Kill worker after worker: one that has just sealed its spool leaves nothing to recover."""
    for _ in range(5):
        load.wait_acknowledged(50)
        for worker in children(service.pid):  # none, where the agent or the worker has just died
            os.kill(worker, signal.SIGKILL)
        if first_true(lambda: service.process.poll() is not None, 3):
            return


def wait_for_the_agents_death(service):
    wait_until(lambda: service.process.poll() is not None, what="the agent dies there")
    assert service.process.returncode == -9
