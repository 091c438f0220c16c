"""Killed at every step of a snapshot and of a change list: the next start serves, and ends up in step."""

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import dataclass

import pytest

from apidanalytics import failpoints
from tests.apigeesync.accounts import add_key, add_scope, example_database, remove_key
from tests.apigeesync.alone import Alone
from tests.apigeesync.oracle import oracle
from tests.apigeesync.server import StandIn
from tests.harness import ROOT
from tests.integration.synced import TOO_OLD

SCOPES = ["testid", "new", "never"]
KEYS = ["testapikey", "new-key", "second", "never"]
POINTS = [point for point in failpoints.POINTS if point.startswith("sync.")]


@dataclass(frozen=True)
class Death:
    """At its how-manieth passing of a point the process dies, and after what."""

    hit: int = 1
    is_prepared: bool = True
    """An earlier process has left a version."""


FIRST_START = Death(is_prepared=False)
OF_CHANGES = {
    "sync.before_apply",
    "sync.before_commit",
    "sync.after_commit",
    "sync.before_announce",
    "sync.after_announce",
}
DEATHS = {
    # The first download of a first start is the boot snapshot, the second one the data snapshot: two requests each.
    "sync.before_download": [FIRST_START, Death(hit=3, is_prepared=False), Death()],
    "sync.before_verify": [FIRST_START, Death(hit=2, is_prepared=False)],
    "sync.before_state": [FIRST_START, Death()],
    "sync.after_publish": [FIRST_START, Death()],
}
"""What differs from one death of a process that has taken up an earlier version."""


def cases():
    return [pytest.param(point, death, id=f"{point}-{death.hit}{'' if death.is_prepared else '-first'}")
            for point in POINTS for death in DEATHS.get(point, [Death()])]  # fmt: skip


@pytest.mark.parametrize(("point", "death"), cases())
async def test_a_process_that_dies_here_starts_again_and_ends_up_in_step(killed_at, tmp_path, point, death):
    database = example_database()
    stand_in = StandIn(database)
    await stand_in.start()
    try:
        if death.is_prepared:
            async with Alone(tmp_path, stand_in.base_url) as alone:
                await in_step(alone, database)
                await followed(stand_in, database)
        change_everything(database)
        if point not in OF_CHANGES:
            stand_in.faults.add("changes", TOO_OLD)
        code = await asyncio.to_thread(killed_at, tmp_path, stand_in.base_url, f"{point}=kill@{death.hit}")
        assert code == -signal.SIGKILL
        stand_in.faults.clear()
        async with Alone(tmp_path, stand_in.base_url) as alone:
            if death.is_prepared:
                assert alone.scopes is not None, "the version that was left is not served at once"
            await in_step(alone, database)
            remove_key(database, "new-key", "t1")
            await in_step(alone, database)
            if "remove" in point:
                await only_one_version_is_left(tmp_path)
    finally:
        await stand_in.stop()


def change_everything(database):
    """A key of a tenant that is there, and a new scope with its data."""
    add_key(database, "second", "tenantid", product="p2", app="testapp")
    add_scope(database, "new", "acme", "prod", "t1")
    add_key(database, "new-key", "t1", product="gold", app="shop", developer="ann", email="ann@acme.example")


@pytest.fixture(scope="module")
def killed_at():
    """Return a function that runs a process until it dies at a failpoint, and returns its exit code."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    command = [sys.executable, "-m", "tests.apigeesync.alone"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes) as nursery:

        def run(directory, base_url, armed):
            nursery.stdin.write(f"{directory} {base_url} {armed}\n")
            nursery.stdin.flush()
            while not (line := nursery.stdout.readline()).strip().lstrip("-").isdigit():
                assert line, "the process that is to be forked has ended"
            return int(line)

        yield run


async def until(is_so, what):
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0.005)


async def in_step(alone, database):
    """Wait until every look-up answers what the tables upstream say."""

    def differences():
        if alone.scopes is None:
            return ["nothing is served"]
        truth, found = oracle(database), alone.scopes
        wrong = [name for name in SCOPES if found.tenant(name) != truth.tenant(name)]
        tenants = [tenant for tenant in map(truth.tenant, SCOPES) if tenant]
        return wrong + [
            (tenant, key, found.tails(tenant)[key], truth.tails(tenant)[key])
            for tenant in tenants for key in KEYS if found.tails(tenant)[key] != truth.tails(tenant)[key]
        ]  # fmt: skip

    try:
        await until(lambda: not differences(), "in step")
    except TimeoutError:
        raise AssertionError(f"not in step: {differences()}, {alone.status()}") from None


async def followed(stand_in, database):
    """Wait until the last sequence is stored."""
    await until(lambda: any(r.values("since") for r in stand_in.asked("changes")), "changes are followed")


async def only_one_version_is_left(directory):
    await until(lambda: len(list((directory / "apigeesync").glob("[0-9]*_*"))) == 1, "old versions are removed")
