"""A group that does not hold all that waits: tenants take turns."""

import asyncio

from apidanalytics.clock import SystemClock
from apidanalytics.layout import DataDirectory
from apidanalytics.model import Batch, Outcome
from apidanalytics.spool.fair import FairGroups
from apidanalytics.spool.limits import SpoolLimits
from apidanalytics.spool.writer import MAX_GROUP_BYTES, SpoolWriter


def batch(name: str, size: int = 10) -> Batch:
    return Batch(tenant=name[0], start_at=0, records=1, lines=name.encode().ljust(size))


def names(batches):
    return [batch.lines.decode().strip() for batch in batches]


def groups(waiting: str, max_bytes: int, little_bytes: int = 0) -> list[list[str]]:
    """Return what is cut out of a queue to which nothing is added, until it is empty."""
    fair = FairGroups[Batch](lambda one: one, little_bytes=little_bytes)
    left = [batch(name) for name in waiting.split()]
    found = []
    while left:
        group, left = fair.cut(left, max_bytes)
        found.append(names(group))
    return found


def test_tenants_take_turns_and_each_keeps_its_order():
    assert groups("a1 a2 a3 a4 b1 c1 b2", 50) == [["a1", "b1", "c1", "a2", "b2"], ["a3", "a4"]]


def test_what_is_left_stays_in_its_order():
    assert groups("a1 a2 b1 a3 b2 b3", 20) == [["a1", "b1"], ["a2", "b2"], ["a3", "b3"]]


def test_a_group_has_at_least_one_and_all_if_they_fit():
    assert groups("a1 b1", 1) == [["a1"], ["b1"]]
    assert groups("a1 b1", 1000) == [["a1", "b1"]]


def test_tenants_of_which_little_waits_have_a_group_of_their_own_first():
    assert groups("a1 a2 a3 b1 a4 a5 c1", 30, little_bytes=10) == [["b1", "c1"], ["a1", "a2", "a3"], ["a4", "a5"]]


def test_nobody_is_preferred_when_all_have_little_or_all_have_much():
    assert groups("a1 b1 c1", 20, little_bytes=10) == [["a1", "b1"], ["c1"]]
    assert groups("a1 a2 b1 b2", 20, little_bytes=10)[0] == ["a1", "b1"]


def test_a_large_tenant_has_its_turn_in_every_other_group_however_many_little_ones_come():
    fair = FairGroups[Batch](lambda one: one, little_bytes=10)
    left = [batch(f"a{number}") for number in range(9)]
    large = []
    for _ in range(6):
        group, left = fair.cut([*left, batch("b"), batch("c")], 20)
        large.append("a" in {one.tenant for one in group})
        left = [one for one in left if one.tenant == "a"]
    assert large == [False, True, False, True, False, True]


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
