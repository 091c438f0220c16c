import pytest

from apidanalytics.telemetry.logs import Repeated


class FakeClock:
    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> float:
        raise AssertionError("the time of day may jump")

    def monotonic(self) -> float:
        return self.passed


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_the_first_one_goes_through_and_the_next_ones_do_not(clock):
    repeated = Repeated(60, clock)
    assert repeated.allow("disk.full") == 0
    clock.passed = 59.9
    assert repeated.allow("disk.full") is None
    assert repeated.allow("disk.full") is None


def test_after_the_interval_one_goes_through_and_says_how_many_did_not(clock):
    repeated = Repeated(60, clock)
    for clock.passed in (0.0, 1.0, 30.0, 59.9):
        repeated.allow("disk.full")
    clock.passed = 60.0
    assert repeated.allow("disk.full") == 3
    assert repeated.allow("disk.full") is None
    clock.passed = 120.0
    assert repeated.allow("disk.full") == 1
    clock.passed = 500.0
    assert repeated.allow("disk.full") == 0


def test_keys_do_not_hold_each_other_back(clock):
    repeated = Repeated(60, clock)
    assert repeated.allow("disk.full") == 0
    assert repeated.allow("store.down") == 0


def test_it_remembers_a_bounded_number_of_keys_and_forgets_the_oldest(clock):
    repeated = Repeated(60, clock, max_keys=2)
    for key in ("a", "b", "a", "c"):
        repeated.allow(key)
    assert repeated.allow("b") is None
    assert repeated.allow("c") is None
    assert repeated.allow("a") == 0
