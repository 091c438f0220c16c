"""When files from failed/ get another chance."""

import pytest

from apidanalytics.upload.revive import Revival


@pytest.fixture
def revival():
    return Revival(interval_seconds=5, slow_seconds=600, now=0.0)


def test_without_a_success_only_the_slow_clock_brings_files_back(revival):
    assert not revival.is_due(599.9)
    assert revival.is_due(600.0)
    assert revival.next_at() == 600.0


def test_after_a_success_they_come_back_at_the_next_look(revival):
    revival.settled(1, delivered=True)
    assert revival.next_at() == 5.0
    assert not revival.is_due(4.9)
    assert revival.is_due(5.0)


def test_a_failure_is_no_success(revival):
    revival.settled(1, delivered=False)
    assert not revival.is_due(100.0)


def test_while_one_pass_is_under_way_no_other_begins(revival):
    revival.settled(1, delivered=True)
    revival.begun([7, 8], 5.0)
    revival.settled(2, delivered=True)
    revival.settled(7, delivered=False)
    assert not revival.is_due(500.0)
    assert revival.next_at() == 605.0  # nobody asks again and again until then
    revival.settled(8, delivered=False)
    assert revival.is_due(500.0)


def test_as_long_as_it_goes_well_one_pass_follows_the_other_at_once(revival):
    revival.begun([7, 8], 5.0)
    revival.settled(7, delivered=True)
    revival.settled(8, delivered=False)
    assert revival.is_due(5.1)


def test_a_pass_that_failed_waits_for_another_success_and_the_next_look(revival):
    revival.begun([7], 5.0)
    revival.settled(7, delivered=False)
    assert not revival.is_due(100.0)
    revival.settled(9, delivered=True)
    assert not revival.is_due(9.9)
    assert revival.is_due(10.0)


def test_a_pass_that_gets_stuck_ends_with_the_slow_clock(revival):
    revival.begun([7], 5.0)
    assert revival.is_due(605.0)


def test_what_is_stuck_is_tried_again_by_the_slow_clock_however_many_passes_go_well(revival):
    revival.begins(5.0)
    revival.stuck["first"] = PermissionError()
    revival.begun([7], 5.0)
    for now in range(10, 605, 5):
        revival.settled(now, delivered=True)
        revival.begins(float(now))
        revival.begun([now], float(now))
        assert list(revival.stuck) == ["first"]
    revival.begins(605.0)
    assert revival.stuck == {}
    revival.stuck["first"] = PermissionError()
    revival.begun([], 605.0)
    revival.begins(1_204.0)
    assert list(revival.stuck) == ["first"]
    revival.begins(1_205.0)
    assert revival.stuck == {}
