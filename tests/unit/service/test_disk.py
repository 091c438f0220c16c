"""Leases of room: for every worker that writes, those of the agent before too."""

import pytest
from structlog.testing import capture_logs

from apidanalytics.quota.decide import Limits, Usage
from apidanalytics.service.disk import DiskKeeper
from apidanalytics.upload.dropping import Dropped

ROOM = 1000


async def leases_of(*workers, said=()):
    sent = {}
    usage = Usage(used_bytes=0, spooled_bytes=0, free_bytes=1 << 40)
    keeper = DiskKeeper(
        limits=Limits(max_bytes=2 * ROOM),
        measure=lambda: usage,
        workers=lambda: workers,
        send=lambda pid, message: sent.update({pid: message["allowed"]}),
        drop=None,
    )
    for pid, taken in said:
        keeper.hear({"type": "room", "pid": pid, "taken": taken, "needed": 0})
    await keeper.look()
    return sent


async def test_workers_of_before_a_change_share_the_room_with_the_new_ones():
    leases = await leases_of(
        {"pid": 1, "state": "running", "taken": 10},
        {"pid": 2, "state": "draining", "taken": 5000},
    )
    assert leases == {1: 10 + ROOM // 2, 2: 5000 + ROOM // 2}


async def test_a_lease_starts_at_what_the_worker_said_last():
    assert await leases_of({"pid": 1, "state": "running", "taken": 10}, said=[(1, 20)]) == {1: 20 + ROOM}


async def test_who_has_not_said_what_it_has_taken_gets_no_lease_and_its_share_is_kept():
    workers = {"pid": 1, "state": "running", "taken": 0}, {"pid": 2, "state": "draining"}
    assert await leases_of(*workers) == {1: ROOM // 2}
    assert await leases_of(*workers, {"pid": None, "state": "down"}) == {1: ROOM // 3}


@pytest.mark.parametrize(("drops", "says"), [(False, "nothing acknowledged is lost"), (True, "files are dropped")])
async def test_who_drops_the_oldest_says_so_when_the_disk_is_full(drops, says):
    async def drop(_size, _tenant):
        return Dropped(files=0, records=0, bytes=0, freed_bytes=0)

    keeper = DiskKeeper(
        limits=Limits(max_bytes=ROOM, drops_oldest=drops),
        measure=lambda: Usage(used_bytes=2 * ROOM, spooled_bytes=0, free_bytes=1 << 40),
        workers=list,
        send=lambda _pid, _message: None,
        drop=drop,
    )
    with capture_logs() as logs:
        await keeper.look()
    (full,) = [line for line in logs if line["event"] == "disk.full"]
    assert says in full["hint"]
