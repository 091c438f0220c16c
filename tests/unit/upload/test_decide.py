"""What follows from an attempt: contract 4, as a table."""

import pytest

from apidanalytics.backoff import Backoff
from apidanalytics.upload.decide import (
    LONGEST_WAIT_SECONDS,
    Defer,
    Done,
    GiveUp,
    Hold,
    Policy,
    Return,
    decide,
)
from apidanalytics.upload.outcome import (
    Delivered,
    Faulty,
    Party,
    Refused,
    Throttled,
    TokenRefused,
    Unreachable,
    Unreadable,
)

POLICY = Policy(
    attempts=3,
    file_pauses=Backoff(first_seconds=2, factor=4, longest_seconds=300),
    tenant_pauses=Backoff(first_seconds=10, factor=2, longest_seconds=100),
)
REFUSED = Refused(party=Party.STORE, reason="403")
FAULTY = Faulty(party=Party.STORE, reason="500")
UNREACHABLE = Unreachable(party=Party.STORE, reason="gone")
THROTTLED = Throttled(party=Party.STORE, reason="429", retry_after_seconds=77)
TOKEN = TokenRefused(reason="401")
PERMANENT = Refused(party=Party.ENDPOINT, reason="400", is_permanent=True)
UNREADABLE = Unreadable(reason="EIO")


def decided(outcome, attempts=0, failures=1, is_open=False, random=0.5):
    return decide(outcome, attempts=attempts, tenant_failures=failures, is_open=is_open, random=random, policy=POLICY)


@pytest.mark.parametrize(
    ("outcome", "is_open", "decision"),
    [
        (Delivered(etag="e"), False, Done(etag="e")),
        (Delivered(), True, Done(etag=None)),
        (REFUSED, False, Defer(attempts=1, pause_seconds=1.5, reason="403")),
        (REFUSED, True, Defer(attempts=1, pause_seconds=1.5, reason="403")),
        (UNREADABLE, False, Defer(attempts=1, pause_seconds=1.5, reason="EIO")),
        (UNREADABLE, True, Defer(attempts=1, pause_seconds=1.5, reason="EIO")),
        (FAULTY, False, Defer(attempts=1, pause_seconds=1.5, reason="500")),
        (FAULTY, True, Return(reason="500")),
        (UNREACHABLE, False, Hold(pause_seconds=7.5, reason="gone")),
        (UNREACHABLE, True, Return(reason="gone")),
        (THROTTLED, False, Hold(pause_seconds=77, reason="429")),
        (THROTTLED, True, Hold(pause_seconds=77, reason="429")),
        (PERMANENT, False, GiveUp(attempts=1, reason="400")),
        (PERMANENT, True, GiveUp(attempts=1, reason="400")),
        (TOKEN, True, Return(reason="401")),
    ],
)
def test_every_outcome_has_its_decision(outcome, is_open, decision):
    assert decided(outcome, is_open=is_open) == decision


@pytest.mark.parametrize("outcome", [REFUSED, UNREADABLE, FAULTY])
def test_the_third_attempt_that_counts_gives_up(outcome):
    assert isinstance(decided(outcome, attempts=1), Defer)
    assert decided(outcome, attempts=2) == GiveUp(attempts=3, reason=outcome.reason)


@pytest.mark.parametrize("outcome", [UNREACHABLE, THROTTLED])
def test_what_may_be_everybodys_trouble_never_gives_up(outcome):
    assert isinstance(decided(outcome, attempts=2), Hold)
    assert isinstance(decided(outcome, attempts=2, is_open=True), Hold | Return)


def test_the_pauses_grow_and_are_random_within_a_half():
    pauses = [[POLICY.file_pauses.after(n, random) for random in (0.0, 0.999999)] for n in range(1, 6)]
    assert [low for low, _ in pauses] == [1, 4, 16, 64, 150]
    assert [round(high) for _, high in pauses] == [2, 8, 32, 128, 300]


def test_the_pause_after_very_many_failures_is_the_longest():
    assert POLICY.tenant_pauses.after(100_000, 0.999999) == pytest.approx(100)


@pytest.mark.parametrize(("told", "pause"), [(None, 7.5), (0, 7.5), (-5, 7.5), (40, 40), (10**9, LONGEST_WAIT_SECONDS)])
def test_throttled_waits_as_long_as_it_was_told_and_at_least_its_own_pause(told, pause):
    outcome = Throttled(party=Party.STORE, reason="429", retry_after_seconds=told)
    assert decided(outcome) == Hold(pause_seconds=pause, reason="429")


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 2), (2, 2), (3, 8), (4, 32), (6, 300), (1000, 300)])
def test_no_file_is_put_off_for_longer_than_before_its_last_attempt(attempts, seconds):
    assert Policy(attempts=attempts).longest_deferral_seconds == seconds
    if attempts > 1:
        last = decide(
            REFUSED, attempts=attempts - 2, tenant_failures=1, is_open=False, random=1, policy=Policy(attempts=attempts)
        )
        assert isinstance(last, Defer)
        assert last.pause_seconds == seconds
