"""Group commit on real files: acks after the sync, refusals that leave nothing, sealing by time and size."""

import asyncio
import errno
import os
import threading
from collections import Counter

import pytest

from apidanalytics.clock import SystemClock
from apidanalytics.layout import DataDirectory
from apidanalytics.model import Batch, Outcome
from apidanalytics.spool import committer as committer_module
from apidanalytics.spool.company import COMPANY_SECONDS
from apidanalytics.spool.limits import SpoolLimits
from apidanalytics.spool.segment import SegmentReader
from apidanalytics.spool.writer import ACKS_AT_ONCE, SpoolWriter


class ShiftedClock(SystemClock):
    """The system's clock, which the test may set."""

    def __init__(self):
        self.shift = 0.0

    def now(self):
        return super().now() + self.shift


class StoppedClock(ShiftedClock):
    """Its time of day goes on; nothing that is measured is over before the test says so."""

    seconds = 0.0

    def monotonic(self):
        return self.seconds


@pytest.fixture
def data(tmp_path):
    directory = DataDirectory(tmp_path / "ax")
    directory.create()
    return directory


def limits(**changes):
    base = {
        "durability": "disk",
        "capacity": 100,
        "linger_seconds": 0.001,
        "interval_seconds": 3600,
        "max_bytes": 1 << 30,
        "max_file_bytes": 1 << 30,
        "instance_id": "i",
    }
    return SpoolLimits(**{**base, **changes})


def batch(n, tenant="acme~prod"):
    return Batch(tenant=tenant, start_at=0, records=1, lines=b'{"n":%d}\n' % n)


class Acks:
    """Collects outcomes and waits for them."""

    def __init__(self):
        self.outcomes = []

    async def all(self, count):
        async with asyncio.timeout(60):
            while len(self.outcomes) < count:
                await asyncio.sleep(0.002)
        return Counter(self.outcomes)


def lines_in(directory):
    found = []
    for path in directory.iterdir():
        with SegmentReader.open(path) as reader:
            for entry in reader.entries():
                found += [(entry.tenant, line) for line in reader.read(entry).splitlines()]
    return sorted(found)


@pytest.mark.parametrize("durability", ["disk", "os", "memory"])
async def test_everything_acknowledged_is_in_the_sealed_spools_once(data, durability):
    acks, writer = Acks(), SpoolWriter(data, limits(durability=durability, capacity=10), SystemClock())
    writer.start()
    sent = []
    for n in range(300):
        mine = batch(n, f"t~{n % 3}")
        while not writer.append(mine, acks.outcomes.append):
            await asyncio.sleep(0.001)
        sent.append((mine.tenant, mine.lines.strip()))
    assert await acks.all(300) == {Outcome.COMMITTED: 300}
    await writer.stop()
    assert lines_in(data.sealed) == sorted(sent)
    assert list(data.tmp.iterdir()) == []


async def test_batches_that_wait_together_share_one_sync(data, monkeypatch):
    syncs = []
    monkeypatch.setitem(committer_module.SYNC, "disk", lambda fd: (syncs.append(fd), os.fdatasync(fd)))
    acks, writer = Acks(), SpoolWriter(data, limits(linger_seconds=0.3), SystemClock())
    writer.start()
    for n in range(50):
        writer.append(batch(n), acks.outcomes.append)
    await acks.all(50)
    assert len(syncs) <= 3
    await writer.stop()


async def test_a_full_buffer_takes_nothing_and_tells_when_there_is_room(data):
    room = []
    acks, writer = Acks(), SpoolWriter(data, limits(capacity=2), SystemClock())
    writer.on_room = lambda: room.append(True)
    assert [writer.append(batch(n), acks.outcomes.append) for n in range(3)] == [True, True, False]
    writer.start()
    await acks.all(2)
    assert room
    await writer.stop()
    assert len(lines_in(data.sealed)) == 2


async def test_batches_for_which_the_writer_was_woken_take_no_places_in_the_buffer(data, monkeypatch):
    acks, writer = Acks(), SpoolWriter(data, limits(capacity=2, linger_seconds=0), SystemClock())
    monkeypatch.setattr(writer._main._thread, "start", lambda: None)  # it has not had its turn yet
    writer.start()
    assert [writer.append(batch(n), acks.outcomes.append) for n in range(4)] == [True, True, True, False]
    group = writer._take(writer._main)
    assert len(group) == 3
    assert [writer.append(batch(n), acks.outcomes.append) for n in range(3)] == [True, True, False]
    writer._ack(group, Outcome.COMMITTED)
    assert [writer.append(batch(n), acks.outcomes.append) for n in range(3)] == [True, True, False]


async def test_during_a_commit_the_buffer_holds_no_more_than_its_places(data, monkeypatch):
    acks, writer = Acks(), SpoolWriter(data, limits(capacity=2, linger_seconds=0), SystemClock())
    monkeypatch.setattr(writer._main._thread, "start", lambda: None)
    writer.start()
    assert writer.append(batch(0), acks.outcomes.append)
    before = writer._take(writer._main)
    writer._main.is_committing = True  # the next group is on its way, and its predecessor is told
    assert [writer.append(batch(n), acks.outcomes.append) for n in range(3)] == [True, True, False]
    writer._ack(before, Outcome.COMMITTED)
    assert not writer.append(batch(3), acks.outcomes.append)


async def test_no_ack_leaves_before_the_sync_has_returned(data, monkeypatch):
    order = []

    def slow_sync(descriptor):
        os.fdatasync(descriptor)
        order.append("synced")

    monkeypatch.setitem(committer_module.SYNC, "disk", slow_sync)
    writer = SpoolWriter(data, limits(), SystemClock())
    writer.start()
    done = asyncio.Event()
    writer.append(batch(1), lambda _: (order.append("acked"), done.set()))
    await asyncio.wait_for(done.wait(), 60)
    assert order == ["synced", "acked"]
    await writer.stop()


async def test_a_refused_batch_leaves_nothing_and_service_resumes_with_the_disk(data, monkeypatch):
    broken = True

    def sync(descriptor):
        if broken:
            raise OSError(errno.EIO, "broken")
        os.fdatasync(descriptor)

    monkeypatch.setitem(committer_module.SYNC, "disk", sync)
    acks, writer = Acks(), SpoolWriter(data, limits(), SystemClock())
    writer.start()
    writer.append(batch(1), acks.outcomes.append)
    assert await acks.all(1) == {Outcome.UNAVAILABLE: 1}
    assert not writer.is_writable
    broken = False
    async with asyncio.timeout(60):
        while not writer.is_writable:
            await asyncio.sleep(0.05)
    writer.append(batch(2), acks.outcomes.append)
    assert (await acks.all(2))[Outcome.COMMITTED] == 1
    await writer.stop()
    assert lines_in(data.sealed) == [("acme~prod", b'{"n":2}')]
    assert list(data.tmp.iterdir()) == []


async def test_when_not_even_the_cut_is_sure_the_answer_is_unknown(data, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "broken")

    acks, writer = Acks(), SpoolWriter(data, limits(), SystemClock())
    writer.start()
    writer.append(batch(1), acks.outcomes.append)
    await acks.all(1)
    writer._main.committer._spool._sync = fail
    monkeypatch.setattr(os, "ftruncate", fail)
    writer.append(batch(2), acks.outcomes.append)
    assert await acks.all(2) == {Outcome.COMMITTED: 1, Outcome.UNKNOWN: 1}
    monkeypatch.undo()
    await writer.stop()
    assert ("acme~prod", b'{"n":1}') in lines_in(data.sealed)


async def test_an_ack_before_the_write_is_only_given_with_durability_memory(data, monkeypatch):
    monkeypatch.setattr(committer_module.OpenSpool, "create", lambda *_, **__: (_ for _ in ()).throw(OSError("full")))
    for durability, expected in (("memory", Outcome.COMMITTED), ("os", Outcome.UNAVAILABLE)):
        acks, writer = Acks(), SpoolWriter(data, limits(durability=durability), SystemClock())
        writer.start()
        writer.append(batch(1), acks.outcomes.append)
        assert await acks.all(1) == {expected: 1}
        await writer.stop()


async def test_clients_who_post_again_share_a_commit_without_waiting_for_the_linger(data):
    acks, writer = Acks(), SpoolWriter(data, limits(linger_seconds=600.0), SystemClock())
    for n in range(8):  # before it starts: or else it might take some, and have the others wait
        writer.append(batch(n), acks.outcomes.append)
    writer.start()
    await acks.all(8)
    for count in range(16, 88, 8):
        for n in range(8):
            writer.append(batch(count + n), acks.outcomes.append)
        await acks.all(count)  # which gives up long before the linger is over
    assert writer.groups <= 12
    await writer.stop()


async def wait_for_sealed(data, count=1):
    async with asyncio.timeout(60):
        while len(list(data.sealed.iterdir())) < count:
            await asyncio.sleep(0.01)


async def test_a_spool_is_sealed_at_the_end_of_its_interval(data):
    sealed = []
    acks = Acks()
    writer = SpoolWriter(data, limits(interval_seconds=1), SystemClock(), on_sealed=lambda: sealed.append(True))
    writer.start()
    writer.append(batch(1), acks.outcomes.append)
    await acks.all(1)
    await wait_for_sealed(data)
    writer.append(batch(2), acks.outcomes.append)
    await acks.all(2)
    await wait_for_sealed(data, 2)
    assert sealed
    await writer.stop()


async def test_a_spool_is_sealed_when_the_clock_jumps_over_its_end(data):
    acks, clock = Acks(), ShiftedClock()
    writer = SpoolWriter(data, limits(), clock)
    writer.start()
    writer.append(batch(1), acks.outcomes.append)
    await acks.all(1)
    clock.shift = 7200
    await wait_for_sealed(data)
    await writer.stop()


async def test_a_spool_over_its_size_is_sealed_at_once(data):
    acks, writer = Acks(), SpoolWriter(data, limits(max_bytes=500), SystemClock())
    writer.start()
    for n in range(20):
        writer.append(batch(n), acks.outcomes.append)
        await acks.all(n + 1)
    await writer.stop()
    assert len(list(data.sealed.iterdir())) > 1
    assert len(lines_in(data.sealed)) == 20


LINGER = 600
"""Seconds for which the main lane waits for more batches: what is answered in time came another way."""


async def in_company(data, clock=None, **changes):
    """Return a writer that knows ``heavy`` for a heavy tenant beside ``little``, its acks, and what it told."""
    acks, writer = Acks(), SpoolWriter(data, limits(linger_seconds=LINGER, **changes), clock or StoppedClock())
    told = []
    writer.on_company = told.append
    for n in range(20):
        assert writer.append(batch(n, "heavy"), acks.outcomes.append)
    assert writer.append(batch(0, "little"), acks.outcomes.append)
    writer.start()
    await acks.all(21)
    assert told == [{"heavy"}]
    return writer, acks, told


async def test_beside_a_heavy_tenant_anothers_batch_waits_for_no_more_and_it_is_told_who_is_heavy(data):
    writer, acks, _ = await in_company(data)
    assert not writer.is_awaited()
    assert writer.append(batch(1, "little"), acks.outcomes.append)
    assert writer.is_awaited()
    await acks.all(22)
    assert not writer.is_awaited()
    await writer.stop()


async def test_beside_a_heavy_tenant_anothers_batch_waits_for_no_sync_of_it(data):
    writer, acks, _ = await in_company(data)
    begun, may_go = threading.Event(), threading.Event()

    def stuck(descriptor):
        begun.set()
        assert may_go.wait(60)
        os.fdatasync(descriptor)

    writer._main.committer._spool._sync = stuck
    for n in range(20, 41):
        assert writer.append(batch(n, "heavy"), acks.outcomes.append)
    await asyncio.to_thread(begun.wait, 60)
    for n in range(1, 4):
        assert writer.append(batch(n, "little"), acks.outcomes.append)
        await acks.all(21 + n)
    assert sum(writer.counters()["group_batches"]["counts"]) == writer.groups
    may_go.set()
    await acks.all(45)
    await writer.stop()
    assert writer.records == 45
    assert len(list(data.sealed.iterdir())) == 2
    assert len(lines_in(data.sealed)) == 45
    assert list(data.tmp.iterdir()) == []


async def test_where_no_thread_is_to_be_had_all_share_the_main_lane_until_one_is(data, monkeypatch):
    start, is_short = threading.Thread.start, True

    def start_or_not(thread):
        if is_short and thread.name == "spool-express":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_or_not)
    clock, acks, told = StoppedClock(), Acks(), []
    writer = SpoolWriter(data, limits(), clock)
    writer.on_company = told.append
    writer.start()

    async def post(tenant, count):
        so_far = len(acks.outcomes)
        for n in range(count):
            assert writer.append(batch(so_far + n, tenant), acks.outcomes.append)
        await acks.all(so_far + count)

    await post("heavy", 20)
    await post("little", 1)
    assert told == [{"heavy"}]
    await post("little", 1)  # by the main lane
    assert not writer._express.is_started
    clock.seconds = COMPANY_SECONDS
    await post("little", 1)
    assert told == [{"heavy"}, frozenset()]
    is_short = False
    await post("heavy", 20)
    await post("little", 1)
    assert told[2:] == [{"heavy"}]
    assert writer._express.is_started
    await post("little", 1)
    await writer.stop()
    assert len(lines_in(data.sealed)) == len(acks.outcomes) == 45


async def test_when_the_heavy_tenant_has_gone_it_is_told_though_the_main_lane_has_nothing_to_do(data):
    clock = StoppedClock()
    writer, acks, told = await in_company(data, clock)
    writer.append(batch(1, "little"), acks.outcomes.append)
    await acks.all(22)
    assert told == [{"heavy"}]
    clock.seconds = COMPANY_SECONDS
    writer.append(batch(2, "little"), acks.outcomes.append)
    await acks.all(23)
    assert told == [{"heavy"}, frozenset()]
    writer.append(batch(3, "little"), acks.outcomes.append)  # waits for more, like everybody
    assert writer.waiting == 1
    await writer.stop()
    assert len(lines_in(data.sealed)) == 24


@pytest.mark.parametrize("step", ["create", "sync"])
async def test_a_disk_that_refuses_one_lane_leaves_the_other_at_work_and_both_come_back(data, monkeypatch, step):
    writer, acks, _ = await in_company(data)
    create = committer_module.OpenSpool.create
    is_broken = True

    def refuse():
        if is_broken and threading.current_thread().name == "spool-express":
            raise OSError(errno.ENOSPC, "full")

    def sync(descriptor):
        refuse()
        os.fdatasync(descriptor)

    if step == "sync":
        writer._express.committer._sync = sync
    else:
        monkeypatch.setattr(committer_module.OpenSpool, "create", lambda *a, **k: refuse() or create(*a, **k))
    writer.append(batch(1, "little"), acks.outcomes.append)
    assert (await acks.all(22))[Outcome.UNAVAILABLE] == 1
    assert step == "sync" or not writer.is_writable  # a spool that is empty may well be made again at once
    for n in range(20, 41):
        writer.append(batch(n, "heavy"), acks.outcomes.append)
    assert (await acks.all(43))[Outcome.UNAVAILABLE] == 1
    is_broken = False
    async with asyncio.timeout(60):
        while not writer.is_writable:
            await asyncio.sleep(0.02)
    writer.append(batch(2, "little"), acks.outcomes.append)
    assert (await acks.all(44))[Outcome.UNAVAILABLE] == 1
    await writer.stop()
    assert ("little", b'{"n":1}') not in lines_in(data.sealed)
    assert len(lines_in(data.sealed)) == 43


async def test_both_spools_are_sealed_when_that_is_wanted_and_when_the_interval_ends(data):
    writer, acks, _ = await in_company(data)
    writer.append(batch(1, "little"), acks.outcomes.append)
    await acks.all(22)
    writer.seal_soon()
    await wait_for_sealed(data, 2)
    assert len(lines_in(data.sealed)) == 22
    writer.append(batch(2, "little"), acks.outcomes.append)
    await acks.all(23)
    writer._clock.shift = 7200
    await wait_for_sealed(data, 3)
    await writer.stop()


async def test_acks_of_a_heavy_tenant_come_a_few_at_a_time_and_all_of_them_before_a_stop_is_over(data):
    writer, acks, _ = await in_company(data)
    turns = []

    def done(outcome):
        turns.append(turn)
        acks.outcomes.append(outcome)

    turn = 0
    for n in range(20, 41):
        writer.append(batch(n, "heavy"), done)
    async with asyncio.timeout(60):
        while len(turns) < 21:
            turn += 1
            await asyncio.sleep(0)
    assert max(Counter(turns).values()) <= 2 * ACKS_AT_ONCE
    await writer.stop()
    writer._ack([(batch(n, "heavy"), acks.outcomes.append) for n in range(41, 90)], Outcome.COMMITTED)  # its last group
    assert len(acks.outcomes) == 91
