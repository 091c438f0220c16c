"""Pauses that somebody asked for."""

from pathlib import Path

import pytest

from apidanalytics.clock import SystemClock
from apidanalytics.upload.decide import Policy
from apidanalytics.upload.dispatch import Dispatcher
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.outcome import Delivered, Party, Unreachable
from apidanalytics.upload.pausing import EVERYBODY, Pausing
from apidanalytics.upload.states import Waiting


@pytest.fixture
def ledger(tmp_path: Path):
    (tmp_path / "damaged").mkdir()
    with Ledger.open(tmp_path / "ledger.db", tmp_path / "damaged", 0.0) as ledger:
        yield ledger


@pytest.fixture
def dispatcher():
    return Dispatcher(slots=4, policy=Policy(), random=lambda: 0.0)


@pytest.fixture
def pausing(ledger, dispatcher):
    return Pausing(ledger, dispatcher, clock=SystemClock(), on_change=lambda: None)


def add(dispatcher, *files):
    for number, tenant in files:
        dispatcher.add(Waiting(id=number, tenant=tenant, start_at=number))


def take_all(dispatcher, now=0.0):
    taken = []
    while (sending := dispatcher.take(now)) is not None:
        taken.append(sending.file.tenant)
        dispatcher.judge(sending, Delivered(), attempts=0, now=now)
    return taken


async def test_nothing_of_a_paused_tenant_is_sent_until_it_is_resumed(pausing, dispatcher):
    add(dispatcher, (1, "a"), (2, "b"))
    await pausing.pause("a")
    add(dispatcher, (3, "a"))
    assert take_all(dispatcher) == ["b"]
    assert not dispatcher.has_due(0.0)
    assert len(dispatcher) == 2
    await pausing.resume("a")
    assert take_all(dispatcher) == ["a", "a"]


async def test_a_pause_of_everybody_leaves_nothing_due_and_nothing_to_wake_up_for(pausing, dispatcher):
    add(dispatcher, (1, "a"))
    dispatcher.add(Waiting(id=2, tenant="b", start_at=2), at=5.0)
    await pausing.pause(EVERYBODY)
    assert take_all(dispatcher, now=9.0) == []
    assert not dispatcher.has_due(9.0)
    assert dispatcher.next_at() is None
    await pausing.resume(EVERYBODY)
    assert sorted(take_all(dispatcher, now=9.0)) == ["a", "b"]


async def test_a_pause_outlives_the_agent(pausing, ledger, dispatcher):
    await pausing.pause("a")
    since = pausing.in_force["a"]
    await pausing.pause("a")
    again = Pausing(ledger, dispatcher, clock=SystemClock(), on_change=lambda: None)
    await again.load()
    assert again.in_force == {"a": since}
    add(dispatcher, (1, "a"))
    assert take_all(dispatcher) == []


async def test_whoever_is_alone_beside_paused_tenants_is_judged_as_the_only_one(pausing, dispatcher):
    add(dispatcher, (1, "a"), (2, "b"), (3, "b"))
    await pausing.pause("a")
    for _ in range(2):
        sending = dispatcher.take(100.0)
        dispatcher.judge(sending, Unreachable(party=Party.STORE, reason="gone"), attempts=0, now=0.0)
    assert dispatcher.open is not None


async def test_resuming_what_is_not_paused_is_fine(pausing):
    await pausing.resume("a")
    assert pausing.in_force == {}
    assert repr(pausing) == "<Pausing nobody>"
