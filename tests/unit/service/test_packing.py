"""The last packing pass of a service that stops, and the end of the passes before it."""

import asyncio
import threading
from pathlib import Path

from apidanalytics.clock import SystemClock
from apidanalytics.service.packing import FIRST_PAUSE_SECONDS, Packing


async def test_a_stop_begins_no_spool_once_its_time_is_over_and_finishes_the_one_in_hand():
    packed, may_go_on = [], threading.Event()

    def pack(path):
        may_go_on.wait()
        packed.append(path.name)

    packing = Packing(
        sweep=lambda: None,
        waiting=lambda: [Path(f"{number}.spool") for number in range(3)],
        pack=pack,
        on_staged=lambda: None,
        clock=SystemClock(),
    )
    await packing.drain(0.2)
    may_go_on.set()
    await packing.aclose()
    assert packed == ["0.spool"]


async def test_a_stop_with_enough_time_packs_all():
    packed = []
    packing = Packing(
        sweep=lambda: None,
        waiting=lambda: [Path(f"{number}.spool") for number in range(3)],
        pack=lambda path: packed.append(path.name),
        on_staged=lambda: None,
        clock=SystemClock(),
    )
    await packing.drain(60)
    await packing.aclose()
    assert packed == ["0.spool", "1.spool", "2.spool"]


async def test_a_spool_that_is_sealed_in_the_moment_of_the_stop_does_not_hold_it_up():
    passes = []
    packing = Packing(
        sweep=lambda: passes.append("pass"),
        waiting=list,
        pack=lambda path: None,
        on_staged=lambda: None,
        clock=SystemClock(),
    )
    running = asyncio.create_task(packing.run())
    while not passes:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)  # it has gone to rest
    packing.wake()
    running.cancel()
    ended, _ = await asyncio.wait({running}, timeout=30)
    running.cancel()
    assert ended
    assert running.cancelled()
    await packing.aclose()


class LaterClock(SystemClock):
    ahead = 0.0

    def monotonic(self):
        return self.ahead


async def test_a_spool_that_cannot_be_packed_is_put_off_and_named_until_it_can():
    failing, packed = {"0.spool"}, []

    def pack(path):
        if path.name in failing:
            raise PermissionError(13, "Permission denied")
        packed.append(path.name)

    clock = LaterClock()
    packing = Packing(
        sweep=lambda: None,
        waiting=lambda: [Path(f"{number}.spool") for number in range(2) if f"{number}.spool" not in packed],
        pack=pack,
        on_staged=lambda: None,
        clock=clock,
    )
    before = clock.now()
    await packing.run_pass()
    first = packing.put_off["0.spool"]
    assert before <= first.since <= clock.now()
    assert "Permission denied" in first.error
    assert packed == ["1.spool"]
    await packing.run_pass()  # it is not due yet
    assert packing.put_off == {"0.spool": first}
    failing.clear()
    clock.ahead = FIRST_PAUSE_SECONDS
    await packing.run_pass()
    assert packing.put_off == {}
    assert packed == ["1.spool", "0.spool"]
    await packing.aclose()


async def test_it_is_known_since_when_and_why_nothing_can_be_packed_and_that_it_is_over():
    troubles = [OSError("no listing"), OSError("still none"), None]

    def sweep():
        if trouble := troubles.pop(0):
            raise trouble

    packing = Packing(sweep=sweep, waiting=list, pack=lambda path: None, on_staged=lambda: None, clock=SystemClock())
    await packing.run_pass()
    since = packing.blocked.since
    await packing.run_pass()
    assert (packing.blocked.since, packing.blocked.error) == (since, "still none")
    await packing.run_pass()
    assert packing.blocked is None
    await packing.aclose()
