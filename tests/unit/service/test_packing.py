"""The last packing pass of a service that stops, and the end of the passes before it."""

import asyncio
import os
import threading
from pathlib import Path
from types import SimpleNamespace

from apidanalytics.clock import SystemClock
from apidanalytics.service import stepping
from apidanalytics.service.packing import FIRST_PAUSE_SECONDS, GIVES_WAY_SECONDS, Packing


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


async def packed_at(gives_way, *, waited: float = 0.0, place: Path = Path("nowhere"), now: float = 0.0) -> list[int]:
    """Return the nicenesses with which three spools were packed that were first seen so long ago."""
    clock, found = SimpleNamespace(time=1000.0, now=lambda: now), []
    clock.monotonic = lambda: clock.time
    may_pack = [not waited]

    def pack(_):
        if not may_pack[0]:
            raise OSError("not yet")
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    packing = Packing(
        sweep=lambda: None,
        waiting=lambda: [place / f"{number}.spool" for number in range(3)],
        pack=pack,
        on_staged=lambda: None,
        clock=clock,
        gives_way=gives_way,
    )
    try:
        if waited:
            await packing.run_pass()
            clock.time += waited
            may_pack[0] = True
        await packing.run_pass()
    finally:
        await packing.aclose()
    return found


async def test_packing_gives_way_while_workers_hold_floods_back_and_only_then():
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    assert await packed_at(lambda: False) == [usual] * 3
    assert await packed_at(lambda: True) == [max(usual, stepping.ASIDE_NICENESS)] * 3
    turns = iter([True, False, True])
    assert len(set(await packed_at(lambda: next(turns)))) == 2 - (usual >= stepping.ASIDE_NICENESS)


async def test_a_spool_that_has_waited_for_a_while_gives_way_to_nobody():
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    assert await packed_at(lambda: True, waited=GIVES_WAY_SECONDS + 0.1) == [usual] * 3


async def test_that_counts_from_when_it_was_sealed_also_if_it_is_seen_later(tmp_path):
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    aside = max(usual, stepping.ASIDE_NICENESS)
    for number in range(3):
        written = tmp_path / f"{number}.new"
        written.write_bytes(b"written long ago")
        os.utime(written, (1, 1))
        written.rename(tmp_path / f"{number}.spool")
    sealed_at = (tmp_path / "0.spool").stat().st_ctime
    assert await packed_at(lambda: True, place=tmp_path, now=sealed_at + GIVES_WAY_SECONDS + 60) == [usual] * 3
    assert await packed_at(lambda: True, place=tmp_path, now=sealed_at + GIVES_WAY_SECONDS / 2) == [aside] * 3
    set_back = {"now": sealed_at - 3600}
    assert await packed_at(lambda: True, place=tmp_path, **set_back) == [aside] * 3
    assert await packed_at(lambda: True, place=tmp_path, **set_back, waited=GIVES_WAY_SECONDS + 0.1) == [usual] * 3
