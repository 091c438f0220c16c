"""SIGKILL of workers and of the agent at random moments, under load, start-up and recovery included."""

import os
import random
import signal
import time

import pytest

from tests.crash.load import Load, assert_books_balance, children, wait_settled
from tests.harness import wait_until

RESTART_SHARE = 0.45
"""Of the kills that hit the agent: the others hit a worker."""


class Killer:
    """Kills what a seeded generator says, and starts the agent anew when it was that."""

    def __init__(self, service, seed):
        self._service = service
        self._random = random.Random(seed)
        self.killed = {"agent": 0, "worker": 0, "everything": 0}

    def strike(self):
        time.sleep(self._random.expovariate(4))
        workers = children(self._service.pid)
        if workers and self._random.random() > RESTART_SHARE:
            kill(self._random.choice(workers))
            self.killed["worker"] += 1
            return
        if self._random.random() < 0.5:
            self._service.kill_agent()
            self.killed["agent"] += 1
        else:
            self._service.kill_all()
            self.killed["everything"] += 1
        # At once, while workers of the dead agent still finish. Sometimes the next kill comes before it serves.
        self._service.start(ready=self._random.random() < 0.6)


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it ended by itself just now


def play(service, seed, kills):
    killer = Killer(service, seed)
    with Load(service, seed=seed, connections=12, keyed_every=3) as load:
        for _ in range(kills):
            killer.strike()
        service.wait_ready()
        load.wait_acknowledged(200)
        load.stop()
    wait_settled(service)
    report = load.assert_conserved()
    assert_books_balance(service, report)
    print(f"kills: {killer.killed}; records: {report.total()}")


# Two shares, so that both cores have something to do.
@pytest.mark.parametrize("share", range(2))
@pytest.mark.timeout(240)
def test_fifty_kills_at_random_moments_lose_nothing_and_double_nothing(share, start_quick, crash_seed):
    play(start_quick(apidanalytics_workers=2), crash_seed + share, kills=25)


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("share", range(10))
def test_five_hundred_kills_lose_nothing_and_double_nothing(share, start_quick, crash_seed):
    play(start_quick(apidanalytics_workers=2), crash_seed + 100 + share, kills=50)


def test_a_kill_while_the_service_recovers_from_a_kill_loses_nothing(start_quick, crash_seed):
    service = start_quick(apidanalytics_workers=2)
    with Load(service, seed=crash_seed) as load:
        load.wait_acknowledged(100)
        for _ in range(3):
            service.kill_all()
            service.restart(ready=False)
            # As soon as it has begun: recovery comes before the workers.
            wait_until(
                lambda: list((service.directory / "ax" / "recovered").iterdir()) or children(service.pid), what=""
            )
        service.wait_ready()
        load.wait_acknowledged(100)
        load.stop()
    wait_settled(service)
    assert_books_balance(service, load.assert_conserved())
