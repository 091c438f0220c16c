"""The suite can fail: with a mistake planted in the real service, the check that all crash tests share reports it.

What no killed process can show, a commit without a sync, is planted in ``test_fsync_before_200``.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest

from apidanalytics import failpoints
from apidanalytics.demo import lake
from apidanalytics.demo.report import Fault
from tests.crash.load import Load, amounts, first_true, settled
from tests.harness import ROOT, wait_until

PLANTED = Path(__file__).parent / "planted"
KILLS = 3


@dataclass(frozen=True)
class Mistake:
    """A mistake, what brings it to light, and what the check must call it."""

    name: str
    faults: tuple[Fault, ...] = ()
    """One of them must be found; none: records in the wrong bucket must be."""
    armed: str = ""
    victim: str = ""
    """``agent`` dies at the armed point; a ``worker`` is killed beside another one that lives."""
    workers: int = 1
    interval: int = 1
    keyed_every: int = 0
    """As in ``Load``; 1 where only a batch with a key shows it, so that no kill misses one."""


MISTAKES = (
    Mistake("ack_before_write", (Fault.LOST,), armed="spool.before_write=kill@10"),
    Mistake("spool_without_lock", (Fault.LOST,), victim="worker", workers=2, interval=3),
    Mistake("number_used_twice", (Fault.LOST,), workers=2),
    Mistake("sealed_under_another_number", (Fault.LOST,)),
    Mistake("failed_commit_not_cut_back", (Fault.REFUSED,), armed="spool.after_sync=error@9"),
    Mistake("group_in_two_writes", (Fault.TORN,), armed="spool.before_write=kill@10"),
    Mistake("bucket_of_the_packing_time"),
    Mistake("tenants_mixed", (Fault.MISPLACED,)),
    Mistake("names_drawn_anew", (Fault.DOUBLED,), armed="pack.after_ledger=kill", victim="agent"),
    Mistake("deleted_before_upload", (Fault.LOST,)),
    Mistake("claims_of_the_dead_forgotten", (Fault.DOUBLED,), armed="spool.after_sync=kill@7", keyed_every=1),
    Mistake("stored_before_the_commit", (Fault.LOST,), armed="spool.before_write=kill@10", keyed_every=1),
)
PLAYS = sorted({(mistake.armed, mistake.victim) for mistake in MISTAKES if "=kill" not in mistake.armed})
"""What is played without a mistake. A death at a point without one is what ``test_every_failpoint`` plays."""


def play(service, seed, victim, keyed_every):
    """Play, bring to light, wait until nothing is left to do; return what the check finds."""
    with Load(service, seed=seed, connections=12, keyed_every=keyed_every) as load:
        load.wait_acknowledged(1 if victim == "agent" else 1500)
        if victim == "worker":
            # A living worker loses only what it commits between the wrongful packing of its spool and the
            # next seal, so the load goes on after each kill, and no kill stands alone beside a seal.
            for _ in range(KILLS):
                wait_until(lambda: len(service.worker_pids()) == 2, what="there is one to kill and one to live")
                service.kill_worker()
                load.wait_acknowledged(500)
        elif victim == "agent":
            assert first_true(lambda: service.process.poll() is not None, 60), "the agent does not die there"
            del service.environment[failpoints.VARIABLE]
            service.restart()
            load.wait_acknowledged(500)
        load.stop()
    first_true(settled(service), 5)
    objects = lake.files(service.directory / "lake")
    return load.report(service.directory / "lake"), load.oracle.early_or_late(objects)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_planted_mistake_is_found(mistake, start_quick, crash_seed):
    environment = {
        "PYTHONPATH": f"{PLANTED}:{ROOT / 'src'}",
        "PLANTED_MISTAKE": mistake.name,
        failpoints.VARIABLE: mistake.armed,
    }
    service = start_quick(
        environment=environment,
        apidanalytics_workers=mistake.workers,
        apidanalytics_collection_interval=mistake.interval,
    )
    report, in_wrong_bucket = play(service, crash_seed, mistake.victim, mistake.keyed_every)
    assert amounts(service), "the service lives on"
    if mistake.faults:
        assert any(map(report.count, mistake.faults)), f"{dict(report.faults)}"
        assert not report.holds
    else:
        assert in_wrong_bucket


@pytest.mark.parametrize(("armed", "victim"), PLAYS)
def test_without_a_mistake_the_same_play_finds_nothing(armed, victim, start_quick, crash_seed):
    service = start_quick(environment={failpoints.VARIABLE: armed}, apidanalytics_workers=2)
    report, in_wrong_bucket = play(service, crash_seed, victim, keyed_every=3)
    assert report.holds, f"{dict(report.faults)}\n{report.examples}"
    assert not in_wrong_bucket
