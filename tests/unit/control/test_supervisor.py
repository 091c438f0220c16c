"""Decisions about workers."""

from apidanalytics.control.supervisor import LONGEST_PAUSE_SECONDS, restart_pause


def test_a_worker_that_dies_once_is_replaced_at_once():
    assert restart_pause(0) == restart_pause(1) == 0


def test_a_worker_that_keeps_dying_young_waits_longer_each_time_up_to_a_limit():
    pauses = [restart_pause(n) for n in range(1, 20)]
    assert pauses == sorted(pauses)
    assert pauses[1] == 0.5
    assert pauses[-1] == LONGEST_PAUSE_SECONDS
