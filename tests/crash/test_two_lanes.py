"""SIGKILL while a worker writes two spools: one for a tenant that floods, one for those that post beside it."""

import os
import signal

from tests.crash.load import TENANTS, Load, assert_books_balance, children, wait_settled
from tests.crash.test_planted_mistakes import PLANTED
from tests.harness import ROOT, wait_until

IN_COMPANY = {"PYTHONPATH": f"{PLANTED}:{ROOT / 'src'}", "PLANTED_MISTAKE": "one_tenant_is_large"}


def open_spools(service):
    return [path for path in (service.directory / "ax" / "tmp").iterdir() if path.suffix == ".spool"]


def kill_worker(service):
    first = children(service.pid)
    os.kill(first[0], signal.SIGKILL)
    wait_until(lambda: children(service.pid) not in ([], first), what="it is replaced")


def kill_everything(service):
    service.kill_all()
    service.restart()


def test_kills_with_the_spools_of_both_lanes_open_lose_nothing_and_double_nothing(start_quick, crash_seed):
    service = start_quick(environment=IN_COMPANY)
    with Load(service, seed=crash_seed, connections=12, keyed_every=3) as load:
        for kill in (kill_worker, kill_everything):
            load.wait_acknowledged(100)
            wait_until(lambda: len(open_spools(service)) >= len(TENANTS), what="both lanes have a spool")
            kill(service)
        load.wait_acknowledged(100)
        load.stop()
    wait_settled(service)
    assert_books_balance(service, load.assert_conserved())
    assert load.replays
