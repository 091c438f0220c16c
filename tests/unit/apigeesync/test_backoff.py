"""Pauses grow, are random, and have a bound."""

from apidanalytics.apigeesync.backoff import pause_seconds, resync_seconds


def test_the_first_attempt_comes_at_once_and_the_second_after_a_fifth_of_a_second() -> None:
    assert pause_seconds(0, 120, lambda: 1.0) == 0
    assert pause_seconds(1, 120, lambda: 1.0) == 0.2


def test_the_longest_pause_doubles_with_each_failure_up_to_the_cap() -> None:
    assert [round(pause_seconds(n, 3, lambda: 1.0), 3) for n in range(1, 8)] == [0.2, 0.4, 0.8, 1.6, 3, 3, 3]
    assert pause_seconds(10**9, 120, lambda: 1.0) == 120


def test_a_pause_lies_anywhere_between_the_first_one_and_the_longest() -> None:
    assert pause_seconds(5, 120, lambda: 0.0) == 0.2
    assert pause_seconds(5, 120, lambda: 0.5) == 0.2 + (3.2 - 0.2) / 2


def test_a_cap_below_the_first_pause_holds() -> None:
    assert pause_seconds(3, 0.05, lambda: 0.0) == 0.05


def test_snapshots_that_do_not_help_come_more_and_more_seldom() -> None:
    assert resync_seconds(0, 120, lambda: 1.0) == 0
    assert [resync_seconds(n, 120, lambda: 1.0) for n in (1, 2, 3, 30)] == [1, 2, 4, 1200]
