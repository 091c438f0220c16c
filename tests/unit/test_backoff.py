"""Pauses after failures."""

import pytest

from apidanalytics.backoff import Backoff, growing
from apidanalytics.control.supervisor import LONGEST_PAUSE_SECONDS, restart_pause


def test_pauses_grow_from_the_first_to_the_longest():
    assert [growing(n, first=0.5, longest=30, factor=4) for n in range(6)] == [0, 0.5, 2, 8, 30, 30]


@pytest.mark.parametrize("failures", [511, 512, 1024, 1025, 10_000])
def test_whatever_has_failed_for_weeks_still_has_its_longest_pause(failures):
    assert growing(failures, first=2.0, longest=3600.0, factor=4.0) == 3600.0
    assert restart_pause(failures) == LONGEST_PAUSE_SECONDS


def test_random_pauses_lie_in_the_upper_half_of_the_growth():
    pauses = Backoff(first_seconds=2, factor=4, longest_seconds=300)
    assert [(pauses.after(n, 0.0), pauses.after(n, 1.0)) for n in range(5)] == [
        (1, 2),
        (1, 2),
        (4, 8),
        (16, 32),
        (64, 128),
    ]
    assert pauses.after(10**9, 1.0) == 300
