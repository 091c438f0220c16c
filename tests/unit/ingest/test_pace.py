"""How fast large tenants' requests are handled: deciding alone, on clocks that the test moves."""

import pytest

from apidanalytics.ingest.pace import AWAITED_REST_SECONDS, LONGEST_REST_SECONDS, SAVED_SECONDS, Pace

LOOK = 0.001


class Worker:
    """Looks every millisecond whether a slice may go ahead; others keep it busy for a part of the time."""

    def __init__(self, share: float, *, slice_seconds: float = LOOK, others: float = 0.0) -> None:
        self.pace = Pace(share)
        self.slice_seconds = slice_seconds
        self.others = others
        self.is_awaited = False
        self.now = 1000.0
        self.busy = 30.0
        self.went_at: list[float] = []

    def run(self, seconds: float, *, wants: bool = True) -> "Worker":
        end = self.now + seconds
        while self.now < end:
            took = LOOK
            if wants and self.pace.may_go(self.now, self.busy, is_awaited=self.is_awaited):
                self.went_at.append(self.now)
                took = max(self.slice_seconds, LOOK)
                self.busy += self.slice_seconds
            self.busy += self.others * took
            self.now += took
        return self


@pytest.mark.parametrize("share", [0.1, 0.5, 0.7, 0.95])
@pytest.mark.parametrize("slice_seconds", [0.0005, 0.001, 0.003, 0.02])
def test_the_worker_is_busy_for_the_share_of_the_time_and_no_more(share, slice_seconds):
    worker = Worker(share, slice_seconds=slice_seconds).run(20)
    possible = min(share, slice_seconds / LOOK)
    longest = slice_seconds / (slice_seconds + LONGEST_REST_SECONDS)  # after that a slice may always go
    assert (worker.busy - 30.0) / 20 == pytest.approx(max(possible, longest), rel=0.1)


def test_others_time_counts_too():
    worker = Worker(0.7, others=0.4).run(20)
    own = len(worker.went_at) * worker.slice_seconds / 20
    assert own == pytest.approx(0.3, rel=0.1)


@pytest.mark.parametrize("others", [0.7, 1.0])
def test_even_when_others_leave_no_time_a_slice_goes_ahead_now_and_then(others):
    worker = Worker(0.7, others=others).run(1)
    rests = [after - before for before, after in zip(worker.went_at, worker.went_at[1:], strict=False)]
    assert max(rests) <= LONGEST_REST_SECONDS + 2 * LOOK
    assert len(rests) < 1 / LONGEST_REST_SECONDS + 10


def test_a_worker_with_time_to_spare_lets_everything_go_at_once():
    worker = Worker(0.7, slice_seconds=0.0005).run(1)
    assert len(worker.went_at) == pytest.approx(1 / LOOK, abs=2)


def test_only_a_little_of_the_time_in_which_nothing_was_wanted_is_saved():
    worker = Worker(0.5).run(1).run(100, wants=False)
    before = len(worker.went_at)
    worker.run(0.1)
    assert len(worker.went_at) - before <= 0.05 / LOOK + 2 * SAVED_SECONDS / LOOK + 2


def test_what_was_used_too_much_is_made_up_for_only_for_a_while():
    pace = Pace(0.5)
    assert pace.may_go(0.0, 0.0)
    assert not pace.may_go(0.001, 5.0)
    assert not pace.may_go(0.001 + LONGEST_REST_SECONDS / 2, 5.0)
    assert pace.may_go(0.002 + LONGEST_REST_SECONDS, 5.0)
    assert pace.may_go(0.002 + 3 * LONGEST_REST_SECONDS, 5.0)


def test_while_another_one_waits_for_the_disk_a_slice_goes_ahead_after_a_moment_only():
    worker = Worker(1.0, slice_seconds=0.0002)
    worker.is_awaited = True
    worker.run(1)
    assert 1 / (AWAITED_REST_SECONDS + 3 * LOOK) < len(worker.went_at) < 1 / AWAITED_REST_SECONDS
    worker.is_awaited = False
    assert len(worker.run(1).went_at) > 1 / (2 * LOOK)
