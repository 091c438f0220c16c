"""How busy a worker is: the time of all its threads, for floods make work for each of them."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from apidanalytics.service import stepping


def test_the_work_of_every_thread_counts_as_busy():
    busy = stepping.BusySeconds()
    before = busy()

    def work() -> None:
        end = time.thread_time() + 0.05
        while time.thread_time() < end:
            pass

    with ThreadPoolExecutor(1) as thread:
        thread.submit(work).result()
    assert busy() - before >= 0.05


def test_who_steps_aside_is_nicer_and_nobody_else():
    def stepped() -> tuple[int, int]:
        stepping.step_aside()
        thread = threading.get_native_id()
        return os.getpriority(os.PRIO_PROCESS, thread), os.sched_getscheduler(thread)

    own = threading.get_native_id()
    before = os.getpriority(os.PRIO_PROCESS, own), os.sched_getscheduler(own)
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(stepped).result() == (max(before[0], stepping.ASIDE_NICENESS), os.SCHED_BATCH)
    assert (os.getpriority(os.PRIO_PROCESS, own), os.sched_getscheduler(own)) == before
