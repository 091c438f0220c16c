"""The last packing pass of a service that stops, and the end of the passes before it."""

import asyncio
import threading
from pathlib import Path

from apidanalytics.clock import SystemClock
from apidanalytics.service.packing import Packing


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
