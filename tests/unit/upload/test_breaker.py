"""When the endpoint or the store as a whole is in trouble, and when it is one tenant's own."""

import pytest

from apidanalytics.backoff import Backoff
from apidanalytics.upload.breaker import Breaker
from apidanalytics.upload.decide import Policy
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

POLICY = Policy(breaker_pauses=Backoff(first_seconds=1, factor=2, longest_seconds=30))
OK = Delivered()
E500 = Faulty(party=Party.ENDPOINT, reason="endpoint 500")
S500 = Faulty(party=Party.STORE, reason="store 500")
S_GONE = Unreachable(party=Party.STORE, reason="store gone")
E_GONE = Unreachable(party=Party.ENDPOINT, reason="endpoint gone")
SLOW = Throttled(party=Party.STORE, reason="slow down", retry_after_seconds=50)
TOKEN = TokenRefused(reason="401")
E404 = Refused(party=Party.ENDPOINT, reason="404")
S403 = Refused(party=Party.STORE, reason="403")


def after(*steps, alone=False, breaker=None, probes=True):
    """Feed (tenant, outcome) steps, one a second; what is sent while it is open is a probe."""
    breaker = breaker or Breaker()
    for now, (tenant, outcome) in enumerate(steps):
        breaker = breaker.after(
            outcome,
            tenant,
            alone=alone,
            was_probe=probes and breaker.open is not None,
            now=float(now),
            random=1.0,
            policy=POLICY,
        )
    return breaker


@pytest.mark.parametrize("outcome", [E_GONE, TOKEN])
def test_an_endpoint_that_is_not_there_or_refuses_the_token_opens_it_at_once(outcome):
    breaker = after(("a", outcome))
    assert breaker.open is not None
    assert breaker.open.is_certain
    assert breaker.open.reason == outcome.reason


@pytest.mark.parametrize("outcome", [E500, S500, S_GONE])
def test_one_failure_is_the_tenants_own(outcome):
    assert after(("a", outcome)).open is None
    assert after(("a", outcome), alone=True).open is None


@pytest.mark.parametrize("outcome", [E500, S500, S_GONE])
def test_failures_of_two_tenants_in_a_row_open_it(outcome):
    assert after(("a", outcome), ("b", outcome)).open is not None


@pytest.mark.parametrize("outcome", [E500, S500, S_GONE])
def test_failures_of_one_tenant_among_others_never_open_it(outcome):
    assert after(*[("a", outcome)] * 50).open is None


@pytest.mark.parametrize("outcome", [E500, S500, S_GONE])
def test_two_failures_in_a_row_of_the_only_tenant_open_it(outcome):
    assert after(("a", outcome), ("a", outcome), alone=True).open is not None


def test_a_delivery_in_between_makes_failures_the_tenants_own():
    assert after(("a", S500), ("c", OK), ("b", S500), ("c", OK), ("a", S500)).open is None


@pytest.mark.parametrize("outcome", [E404, S403, SLOW, Unreadable(reason="EIO")])
def test_refusals_never_open_it(outcome):
    assert after(("a", outcome), ("b", outcome), ("c", outcome)) == Breaker()


@pytest.mark.parametrize("outcome", [E_GONE, TOKEN, E500, S500, S_GONE, SLOW])
def test_a_delivery_closes_it(outcome):
    assert after(("a", outcome), ("b", outcome), ("a", OK)) == Breaker()


def test_a_refusal_shows_that_the_endpoint_is_back_but_nothing_of_the_store():
    assert after(("a", E_GONE), ("a", E404)) == Breaker()
    assert after(("a", TOKEN), ("a", S403)) == Breaker()
    assert after(("a", S500), ("b", S500), ("a", S403)).open is not None


def test_the_pauses_between_probes_grow_up_to_the_longest():
    pauses = []
    for failed in range(8):
        breaker = after(("a", E_GONE), *[("a", E_GONE)] * failed)
        pauses.append(breaker.open.probe_at - failed)
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]


def test_it_remembers_since_when_it_is_open():
    breaker = after(("c", OK), ("a", S500), ("b", S500), ("a", S_GONE))
    assert (breaker.open.since, breaker.open.reason) == (2.0, "store gone")


def test_what_was_sent_before_it_opened_does_not_lengthen_the_pause():
    once = after(("a", E_GONE))
    assert after(("b", E_GONE), ("c", E_GONE), breaker=once, probes=False).open == once.open


def test_it_is_due_when_its_pause_is_over():
    breaker = after(("a", E_GONE))
    assert Breaker().is_due(0.0)
    assert [breaker.is_due(now) for now in (0.0, 0.99, 1.0, 500.0)] == [False, False, True, True]


def test_who_throttles_a_probe_is_back_but_says_nothing_of_the_other():
    e_slow = Throttled(party=Party.ENDPOINT, reason="429")
    assert after(("a", S500), ("b", S500), ("a", SLOW)) == Breaker()
    assert after(("a", E_GONE), ("a", e_slow)) == Breaker()
    assert after(("a", S500), ("b", S500), ("a", e_slow)).open is not None


def test_newcomers_are_tried_at_once_until_three_tenants_have_failed():
    two = after(("a", S500), ("b", S500))
    assert two.passes_newcomers
    assert not after(("c", S500), breaker=two).passes_newcomers
    assert not after(("a", E_GONE)).passes_newcomers
    assert not after(("a", TOKEN)).passes_newcomers
    assert not Breaker().passes_newcomers
