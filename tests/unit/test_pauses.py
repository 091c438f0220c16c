"""Pauses after failures."""

import pytest

from apidanalytics.control.supervisor import LONGEST_PAUSE_SECONDS, restart_pause
from apidanalytics.pauses import growing


def test_pauses_grow_from_the_first_to_the_longest():
    assert [growing(n, first=0.5, longest=30, factor=4) for n in range(6)] == [0, 0.5, 2, 8, 30, 30]


@pytest.mark.parametrize("failures", [511, 512, 1024, 1025, 10_000])
def test_whatever_has_failed_for_weeks_still_has_its_longest_pause(failures):
    assert growing(failures, first=2.0, longest=3600.0, factor=4.0) == 3600.0
    assert restart_pause(failures) == LONGEST_PAUSE_SECONDS
