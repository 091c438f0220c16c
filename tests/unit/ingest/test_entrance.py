"""What the disk has no room for waits, and is refused after a while; a tenant over its share waits alone."""

import pytest

from apidanalytics.ingest.entrance import Entrance
from apidanalytics.ingest.lease import Lease
from apidanalytics.ingest.waiting import WaitingLine
from apidanalytics.model import Batch, Outcome
from tests.unit.ingest.batches import FakeSpool, FakeTimers


class Door:
    """An entrance of ten seconds in front of a line, and what became of each batch."""

    def __init__(self, allowed: int = 0) -> None:
        self.spool = FakeSpool()
        self.timers = FakeTimers()
        self.lease = Lease(allowed)
        self.asked = 0
        self.lease.ask = self._ask
        line = WaitingLine(self.spool, self.timers, 10.0)
        self.entrance = Entrance(line, self.lease, self.timers, wait_seconds=10.0, max_over_share_bytes=100)
        self.log: list[str] = []

    def _ask(self, _needed: int) -> None:
        self.asked += 1

    def append(self, name: str, tenant: str = "a", size: int = 10) -> None:
        batch = Batch(tenant=tenant, start_at=0, records=1, lines=name.encode().ljust(size))

        def done(outcome: Outcome) -> None:
            self.log.append(f"{name} {outcome.value}")

        if not self.entrance.offer(batch, done):
            self.entrance.wait(batch, done, lambda: self.log.append(f"{name} given up"))

    def tell(self, allowed, *, is_full=False, share=None, **shares):
        self.lease.told(allowed=allowed, is_full=is_full, share=share, shares=shares)

    @property
    def kept(self) -> list[str]:
        return [batch.lines.decode().strip() for batch in self.spool.batches]


@pytest.fixture
def door() -> Door:
    return Door()


def test_with_room_a_batch_goes_straight_to_the_spool_and_is_counted():
    door = Door(allowed=20)
    door.append("one")
    assert door.log == ["one committed"]
    assert (door.lease.taken, door.asked) == (10, 0)


def test_a_lease_that_is_used_up_is_asked_for_once_and_what_waited_goes_in_order(door):
    for name in ("one", "two", "three"):
        door.append(name)
    assert (door.kept, door.asked) == ([], 1)
    door.tell(25)
    assert door.kept == ["one", "two"]
    door.append("four")
    assert door.kept == ["one", "two"]
    door.tell(100)
    assert door.kept == ["one", "two", "three", "four"]
    assert len(door.entrance) == 0


def test_on_a_full_disk_nobody_asks_and_whoever_waited_too_long_is_told_that_there_is_no_room(door):
    door.tell(0, is_full=True)
    door.append("one")
    door.timers.advance(5)
    door.append("two")
    door.timers.advance(5)
    assert door.log == ["one no room"]
    assert door.asked == 0
    door.tell(100)
    assert door.kept == ["two"]


def test_a_tenant_over_its_share_waits_and_the_others_go_past_it(door):
    door.tell(1000, share=50, a=0)
    door.append("first", tenant="a")
    door.append("other", tenant="b")
    assert door.kept == ["other"]
    door.tell(1000, share=50, a=5)
    assert door.kept == ["other", "first"]


def test_within_a_tenant_nobody_overtakes(door):
    door.tell(1000, share=50, a=0)
    door.append("first", tenant="a")
    door.lease.told(allowed=0, is_full=False, share=50, shares={})
    door.append("second", tenant="a")
    door.tell(1000, share=50)
    assert door.kept == ["first", "second"]


def test_a_share_of_the_lease_that_is_used_up_is_asked_for(door):
    door.tell(1000, share=15)
    for name in ("one", "two", "three"):
        door.append(name)
    assert door.kept == ["one", "two"]  # the second passes it: a batch may be larger than a share
    assert door.asked == 1


def test_only_a_few_bytes_of_tenants_over_their_share_may_wait(door):
    door.tell(10_000, share=1000, a=0)
    for number in range(12):
        door.append(f"batch {number}")
    door.timers.advance(0)
    assert door.log == ["batch 10 over its share", "batch 11 over its share"]
    door.append("other", tenant="b")
    assert door.kept == ["other"]


@pytest.mark.parametrize("share", [None, 1000])
def test_whoever_waits_behind_a_batch_for_which_there_is_no_room_is_not_over_its_share(door, share):
    door.tell(15, share=share)
    door.append("large", size=20)
    for number in range(12):
        door.append(f"batch {number}", tenant=f"tenant {number}")
    door.timers.advance(9)
    assert door.log == []
    door.tell(15, share=share)
    assert door.kept == ["batch 0"]
    door.timers.advance(1)
    assert door.log == ["batch 0 committed", "large no room", *(f"batch {number} no room" for number in range(1, 12))]


def test_of_a_tenant_over_its_share_that_waited_too_long_that_is_said(door):
    door.tell(1000, share=50, a=0)
    door.append("one")
    door.timers.advance(10)
    assert door.log == ["one over its share"]


def test_with_room_on_the_disk_but_none_in_the_buffer_a_batch_waits_in_the_line_behind():
    door = Door(allowed=20)
    door.spool.room = 0
    for name in ("one", "two", "three"):
        door.append(name)
    door.timers.advance(10)
    assert door.log == ["one given up", "two given up", "three no room"]
