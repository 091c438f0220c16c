"""When a worker's threads get a core, as the kernel tells it."""

import ctypes
import os
import platform
import struct
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from apidanalytics.service import stepping

SCHED_GETATTR = {"x86_64": 315, "aarch64": 275}
SIZE = 48


def attributes(thread: int = 0) -> tuple[int, int, int]:
    """Return policy, niceness and slice, in nanoseconds."""
    place = ctypes.create_string_buffer(SIZE)
    assert ctypes.CDLL(None).syscall(SCHED_GETATTR[platform.machine()], thread, place, SIZE, 0) == 0
    _, policy, _, niceness, _, runtime, _, _ = struct.unpack("=IIQiIQQQ", place.raw)
    return policy, niceness, runtime


@pytest.fixture
def interval():
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def threads(interval):
    """Two threads of their own, so that this one stays as it is: who steps, and another one."""
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as another:
        yield one, another.submit(threading.get_native_id).result()


@pytest.mark.skipif(platform.machine() not in SCHED_GETATTR, reason="the number of the system call is not known")
def test_who_serves_others_beside_a_flood_has_short_slices_and_only_as_long_as_that_lasts(threads):
    one, another = threads
    usual = one.submit(attributes).result()
    assert usual == attributes(another)
    if not usual[2]:
        pytest.skip("this kernel has no slices of one's own")
    one.submit(stepping.step_forward, (), [another]).result()
    short = int(stepping.SLICE_SECONDS * 1e9)
    assert one.submit(attributes).result() == attributes(another) == (os.SCHED_OTHER, usual[1], short)
    assert sys.getswitchinterval() == pytest.approx(stepping.SWITCH_SOON_SECONDS)
    one.submit(stepping.step_back, [another]).result()
    assert one.submit(attributes).result() == attributes(another) == (os.SCHED_BATCH, *usual[1:])
    assert sys.getswitchinterval() == pytest.approx(stepping.SWITCH_SECONDS)


def test_what_floods_take_part_in_keeps_its_slices(threads):
    one, another = threads
    one.submit(stepping.step_back, [another]).result()
    before = attributes(another)
    one.submit(stepping.step_forward, [another], []).result()
    assert attributes(another) == (os.SCHED_OTHER, *before[1:])


def test_where_it_is_forbidden_or_unknown_nothing_changes(threads, monkeypatch):
    one, another = threads
    before = attributes(another)
    monkeypatch.setattr(os, "sched_setscheduler", lambda *_: (_ for _ in ()).throw(PermissionError()))
    monkeypatch.setattr(platform, "machine", lambda: "unknown")
    one.submit(stepping.step_forward, [another], [another]).result()
    monkeypatch.undo()
    assert attributes(another) == before


def test_the_work_of_every_thread_counts_as_busy(threads):
    busy = stepping.BusySeconds()
    before = busy()

    def work() -> None:
        end = time.thread_time() + 0.05
        while time.thread_time() < end:
            pass

    threads[0].submit(work).result()
    assert busy() - before >= 0.05
