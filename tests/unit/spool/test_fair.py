"""A group that does not hold all that waits: tenants take turns."""

import asyncio

from apidanalytics.clock import SystemClock
from apidanalytics.layout import DataDirectory
from apidanalytics.model import Batch, Outcome
from apidanalytics.spool.fair import fair_group
from apidanalytics.spool.limits import SpoolLimits
from apidanalytics.spool.writer import MAX_GROUP_BYTES, SpoolWriter


def batch(name: str, size: int = 10) -> Batch:
    return Batch(tenant=name[0], start_at=0, records=1, lines=name.encode().ljust(size))


def names(batches):
    return [batch.lines.decode().strip() for batch in batches]


def chosen(waiting: str, max_bytes: int):
    group, left = fair_group([batch(name) for name in waiting.split()], lambda one: one, max_bytes)
    return names(group), names(left)


def test_tenants_take_turns_and_each_keeps_its_order():
    assert chosen("a1 a2 a3 a4 b1 c1 b2", 50) == (["a1", "b1", "c1", "a2", "b2"], ["a3", "a4"])


def test_what_is_left_stays_in_its_order():
    assert chosen("a1 a2 b1 a3 b2 b3", 20) == (["a1", "b1"], ["a2", "a3", "b2", "b3"])


def test_a_group_has_at_least_one_and_all_if_they_fit():
    assert chosen("a1 b1", 1) == (["a1"], ["b1"])
    assert chosen("a1 b1", 1000) == (["a1", "b1"], [])


async def test_behind_a_flood_that_fills_groups_another_tenants_batch_is_in_the_first_one(tmp_path):
    data = DataDirectory(tmp_path)
    data.create()
    limits = SpoolLimits(
        durability="os",
        capacity=100,
        linger_seconds=0,
        interval_seconds=60,
        max_bytes=1 << 30,
        max_file_bytes=1 << 30,
        instance_id="i",
        owner=1,
    )
    writer = SpoolWriter(data, limits, SystemClock())
    told: list[str] = []
    all_told = asyncio.Event()

    def done(name: str, outcome: Outcome) -> None:
        assert outcome is Outcome.COMMITTED
        told.append(name)
        if len(told) == 10:
            all_told.set()

    waiting = [*(f"a{n}" for n in range(9)), "b"]
    for name in waiting:
        assert writer.append(batch(name, MAX_GROUP_BYTES // 3), lambda outcome, name=name: done(name, outcome))
    writer.start()
    await asyncio.wait_for(all_told.wait(), 30)
    await writer.stop()
    assert "b" in told[:3]
    assert [name for name in told if name != "b"] == waiting[:9]
