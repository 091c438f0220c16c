"""How a worker takes its turn among other processes, and how long it was at work."""

import os
import threading
import time

import pytest

from apidanalytics.service import stepping
from apidanalytics.service.stepping import BusySeconds, step_back, step_forward


def test_threads_step_back_and_forward_together():
    seen: list[int] = []
    is_over = threading.Event()
    other = threading.Thread(target=is_over.wait)
    other.start()

    def work() -> None:
        for step in (step_back, step_forward):
            step(other.native_id or 0)
            seen.extend(map(os.sched_getscheduler, (0, other.native_id or 0)))

    worker = threading.Thread(target=work)  # not the thread of the tests
    worker.start()
    worker.join()
    is_over.set()
    other.join()
    assert seen == [os.SCHED_BATCH] * 2 + [os.SCHED_OTHER] * 2


def test_where_that_is_forbidden_nothing_happens(monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(stepping.os, "sched_setscheduler", refuse)
    step_back()
    step_forward(1)


def work_for(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@pytest.mark.parametrize("waiting_is_known", [True, False])
def test_the_work_of_a_thread_counts_and_that_of_others_does_not(waiting_is_known, monkeypatch):
    if not waiting_is_known:
        monkeypatch.setattr(stepping, "Path", lambda _: "/nowhere")
    busy = BusySeconds()
    before = busy()
    work_for(0.02)
    assert busy() - before >= 0.02
    if not waiting_is_known:
        before = busy()
        other = threading.Thread(target=work_for, args=(0.2,))
        other.start()
        other.join()
        assert busy() - before < 0.2


def test_waiting_for_a_core_counts(monkeypatch):
    monkeypatch.setattr(stepping.os, "pread", lambda *_: b"1 3000000000 5")
    assert BusySeconds()() >= 3.0
