"""Results wait for each other, and not for longer than there may be more."""

import asyncio

import pytest

from apidanalytics.clock import SystemClock
from apidanalytics.upload import settler
from apidanalytics.upload.disk import DiskWatch


@pytest.fixture
async def settling(monkeypatch):
    """Return a settler that lingers for ever, and the groups that it settled."""
    groups = []

    def settle(_ledger, _shelves, results, _now):
        groups.append(list(results))
        return results

    monkeypatch.setattr(settler, "settle", settle)
    monkeypatch.setattr(settler, "_LINGER_SECONDS", 3600.0)
    made = settler.Settler(None, None, clock=SystemClock(), disk=DiskWatch(), is_busy=lambda: True, on_settled=len)
    running = asyncio.create_task(made.run())
    yield made, groups
    made.close()
    await running


async def some_turns():
    for _ in range(10):
        await asyncio.sleep(0)


async def settled(made):
    async with asyncio.timeout(30):
        while not made.is_idle:
            await asyncio.sleep(0.01)


async def test_they_are_settled_together_once_no_more_are_on_their_way(settling):
    made, groups = settling
    for result in "abc":
        made.submit(result)
        await some_turns()
    assert groups == []
    made.hurry()
    await settled(made)
    assert groups == [["a", "b", "c"]]


async def test_many_are_settled_though_more_are_on_their_way(settling):
    made, groups = settling
    for result in range(settler._MANY - 1):
        made.submit(result)
    await some_turns()
    assert groups == []
    made.submit("the last")
    await settled(made)
    assert len(groups) == 1
    assert len(groups[0]) == settler._MANY
