"""Queue and breaker together: order, probes, and whose attempts count."""

import pytest
from structlog.testing import capture_logs

from apidanalytics.backoff import Backoff
from apidanalytics.upload.decide import Defer, Done, GiveUp, Hold, Policy, Return
from apidanalytics.upload.dispatch import Dispatcher
from apidanalytics.upload.outcome import Delivered, Faulty, Party, Refused, Throttled, TokenRefused, Unreachable
from apidanalytics.upload.states import Waiting

POLICY = Policy(
    attempts=3,
    file_pauses=Backoff(first_seconds=2, factor=1, longest_seconds=2),
    tenant_pauses=Backoff(first_seconds=2, factor=1, longest_seconds=2),
    breaker_pauses=Backoff(first_seconds=2, factor=1, longest_seconds=2),
)
OK = Delivered()
S500 = Faulty(party=Party.STORE, reason="500")
E_GONE = Unreachable(party=Party.ENDPOINT, reason="gone")
S_GONE = Unreachable(party=Party.STORE, reason="gone")
TOKEN = TokenRefused(reason="401")
NO = Refused(party=Party.ENDPOINT, reason="404")


@pytest.fixture
def dispatcher():
    return Dispatcher(slots=4, policy=POLICY, random=lambda: 0.0)


def add(dispatcher, *files):
    for number, tenant in files:
        dispatcher.add(Waiting(id=number, tenant=tenant, start_at=number))


def attempt(dispatcher, outcome, now, attempts=0):
    sending = dispatcher.take(now)
    return sending.file.id, dispatcher.judge(sending, outcome, attempts=attempts, now=now)


def test_while_it_is_open_one_probe_at_a_time_goes_out_after_a_pause(dispatcher):
    add(dispatcher, (1, "a"), (2, "b"), (3, "c"))
    assert attempt(dispatcher, E_GONE, 0.0) == (1, Return(reason="gone"))
    assert dispatcher.take(0.9) is None
    assert dispatcher.next_at() == 1.0
    probe = dispatcher.take(1.0)
    assert probe.is_probe
    assert dispatcher.take(50.0) is None
    dispatcher.judge(probe, OK, attempts=0, now=50.0)
    assert dispatcher.open is None
    assert dispatcher.take(50.0) is not None
    assert dispatcher.take(50.0) is not None


E_SLOW = Throttled(party=Party.ENDPOINT, reason="429", retry_after_seconds=10)
S_SLOW = Throttled(party=Party.STORE, reason="503 SlowDown", retry_after_seconds=10)


@pytest.mark.parametrize("outcome", [E_SLOW, S_SLOW])
def test_who_throttles_two_tenants_is_left_alone_as_long_as_he_said_and_it_is_no_outage(dispatcher, outcome):
    add(dispatcher, *[(number, f"t{number % 3}") for number in range(10)])
    with capture_logs() as logs:
        assert isinstance(attempt(dispatcher, outcome, 0.0)[1], Hold)
        assert isinstance(attempt(dispatcher, outcome, 0.0)[1], Hold)
    assert [entry["event"] for entry in logs if entry["event"] == "upload.throttled"] == ["upload.throttled"]
    assert dispatcher.open is None
    assert dispatcher.take(9.9) is None
    assert not dispatcher.has_due(9.9)
    assert dispatcher.next_at() == 10.0
    assert dispatcher.take(10.0) is not None


def test_after_it_uploads_begin_one_at_a_time_and_each_delivery_lets_one_more_run(dispatcher):
    add(dispatcher, *[(number, f"t{number}") for number in range(20)])
    attempt(dispatcher, E_SLOW, 0.0)
    attempt(dispatcher, E_SLOW, 0.0)
    running, counts = [], []
    for now in range(20, 24):
        while (sending := dispatcher.take(float(now))) is not None:
            running.append(sending)
        counts.append(len(running))
        while running:
            dispatcher.judge(running.pop(), OK, attempts=0, now=float(now))
    assert counts == [1, 2, 4, 4]


@pytest.mark.parametrize("outcome", [E_SLOW, S_SLOW])
def test_who_throttles_one_tenant_is_not_left_alone_by_the_others(dispatcher, outcome):
    add(dispatcher, (1, "a"), (2, "b"), (3, "c"))
    assert attempt(dispatcher, outcome, 0.0) == (1, Hold(pause_seconds=10, reason=outcome.reason))
    assert attempt(dispatcher, OK, 0.0)[0] == 2
    assert attempt(dispatcher, OK, 0.0)[0] == 3
    assert dispatcher.take(9.0) is None
    assert attempt(dispatcher, OK, 10.0)[0] == 1


def test_a_probe_that_is_throttled_shows_that_the_store_is_back(dispatcher):
    add(dispatcher, *[(number, f"t{number}") for number in range(10)])
    attempt(dispatcher, S500, 0.0)
    attempt(dispatcher, S500, 0.0)
    assert dispatcher.open is not None
    attempt(dispatcher, S_SLOW, 5.0)
    assert dispatcher.open is None


def test_what_crawls_gives_its_slot_also_to_those_who_were_taken_ahead():
    dispatcher = Dispatcher(slots=2, ahead=2, policy=POLICY, random=lambda: 0.0)
    add(dispatcher, (1, "slow"), (2, "slower"), (3, "calm"))
    crawling, _, waits = (dispatcher.take(0.0) for _ in range(3))
    assert dispatcher.take(0.0) is None
    assert len(dispatcher) == 0, "nobody stands in the queue"
    assert dispatcher.crawls(crawling)
    dispatcher.judge(waits, OK, attempts=0, now=1.0)
    assert not dispatcher.crawls(crawling), "nobody needs a slot any more"


def test_one_tenant_that_crawls_gives_its_slots_to_those_who_wait(dispatcher):
    add(dispatcher, *[(number, "crawler") for number in range(10)])
    crawling = [dispatcher.take(0.0) for _ in range(3)]
    assert dispatcher.take(0.0) is None
    assert not dispatcher.crawls(crawling[0]), "nobody needs the slot"
    add(dispatcher, *[(number, f"t{number % 5}") for number in range(100, 120)])
    assert all(dispatcher.crawls(sending) for sending in crawling)
    taken = [dispatcher.take(0.0) for _ in range(4)]
    assert "crawler" not in {sending.file.tenant for sending in taken}
    assert dispatcher.take(0.0) is None
    for sending in taken:
        dispatcher.judge(sending, OK, attempts=0, now=1.0)
    for sending in crawling:
        dispatcher.judge(sending, OK, attempts=0, now=1.0)
    taken = [dispatcher.take(2.0).file.tenant for _ in range(4)]
    assert taken.count("crawler") <= 1, "it crawled last time"


def test_after_an_outage_the_order_is_as_it_was(dispatcher):
    add(dispatcher, *[(number, "a") for number in range(1, 8)])
    now = 0.0
    for _ in range(5):
        attempt(dispatcher, TOKEN, now)
        now += 1.0
    attempt(dispatcher, OK, now)
    order = []
    while (sending := dispatcher.take(now)) is not None:
        order.append(sending.file.id)
        dispatcher.judge(sending, OK, attempts=0, now=now)
    assert order == sorted(order)
    assert len(order) == 6


def test_one_bad_file_cannot_keep_it_open(dispatcher):
    add(dispatcher, (1, "a"))
    attempt(dispatcher, S_GONE, 0.0)
    attempt(dispatcher, S_GONE, 1.0)
    assert dispatcher.open is not None
    add(dispatcher, (2, "a"))
    assert attempt(dispatcher, S_GONE, 2.0)[0] == 1
    assert attempt(dispatcher, OK, 3.0) == (2, Done(etag=None))
    assert dispatcher.open is None


def test_when_all_files_were_probes_the_first_comes_again(dispatcher):
    add(dispatcher, (1, "a"), (2, "a"))
    assert [attempt(dispatcher, TOKEN, float(now))[0] for now in range(5)] == [1, 1, 2, 1, 2]
    assert len(dispatcher) == 2


def test_no_attempts_are_counted_while_everybody_is_in_trouble(dispatcher):
    add(dispatcher, (1, "a"), (2, "b"), (3, "c"))
    assert attempt(dispatcher, S500, 0.0) == (1, Defer(attempts=1, pause_seconds=1, reason="500"))
    assert attempt(dispatcher, S500, 0.0) == (2, Return(reason="500"))
    assert attempt(dispatcher, S500, 0.0) == (3, Return(reason="500"))  # a newcomer, tried at once
    assert attempt(dispatcher, S500, 9.0, attempts=2)[1] == Return(reason="500")


def test_a_tenants_own_refusals_count_even_while_it_is_open(dispatcher):
    add(dispatcher, (1, "a"), (2, "b"), (3, "c"))
    attempt(dispatcher, S500, 0.0)
    attempt(dispatcher, S500, 0.0)
    assert attempt(dispatcher, NO, 9.0, attempts=2)[1] == GiveUp(attempts=3, reason="404")
    assert dispatcher.open is not None


def test_a_newcomer_need_not_wait_for_the_pause_while_the_doubt_lasts(dispatcher):
    add(dispatcher, (1, "a"))
    attempt(dispatcher, S_GONE, 0.0)
    attempt(dispatcher, S_GONE, 1.0)
    assert dispatcher.take(1.0) is None
    add(dispatcher, (2, "b"))
    assert attempt(dispatcher, OK, 1.0)[0] == 2
    assert dispatcher.open is None


def test_a_tenant_whose_store_does_not_answer_is_held_and_others_go_on(dispatcher):
    add(dispatcher, (1, "a"), (2, "b"), (3, "a"), (4, "b"))
    assert attempt(dispatcher, S_GONE, 0.0) == (1, Hold(pause_seconds=1, reason="gone"))
    assert attempt(dispatcher, OK, 0.0)[0] == 2
    assert attempt(dispatcher, OK, 0.0)[0] == 4
    assert dispatcher.take(0.9) is None
    assert dispatcher.next_at() == 1.0
    assert attempt(dispatcher, OK, 1.0)[0] == 1


def test_probe_now_skips_the_pause(dispatcher):
    add(dispatcher, (1, "a"))
    dispatcher.probe_now()
    attempt(dispatcher, TOKEN, 100.0)
    assert dispatcher.take(100.0) is None
    dispatcher.probe_now()
    assert dispatcher.take(100.0).is_probe


def test_a_skipped_file_frees_its_slot_and_its_probe(dispatcher):
    add(dispatcher, (1, "a"), (2, "a"))
    attempt(dispatcher, TOKEN, 0.0)
    dispatcher.skipped(dispatcher.take(5.0))
    assert dispatcher.take(5.0).is_probe


def test_changes_are_said_once(dispatcher):
    add(dispatcher, *[(number, "ab"[number % 2]) for number in range(20)])
    with capture_logs() as logs:
        for now in range(5):
            attempt(dispatcher, TOKEN, float(now))
        for _ in range(5):
            attempt(dispatcher, OK, 5.0)
        attempt(dispatcher, NO, 6.0)
        attempt(dispatcher, NO, 6.0)
        attempt(dispatcher, NO, 6.0)
        for _ in range(4):
            attempt(dispatcher, OK, 6.0)
    assert [entry["event"] for entry in logs] == [
        "upload.breaker_opened",
        "upload.breaker_closed",
        "upload.tenant_trouble",
        "upload.tenant_trouble",
        "upload.tenant_recovered",
        "upload.tenant_recovered",
    ]


def test_what_was_got_ready_when_it_opened_goes_back_to_its_place():
    dispatcher = Dispatcher(slots=1, ahead=1, policy=POLICY, random=lambda: 0.0)
    add(dispatcher, (1, "a"), (2, "b"), (3, "c"))
    first, ready = dispatcher.take(0.0), dispatcher.take(0.0)
    assert dispatcher.may_go(ready, 0.0)
    dispatcher.judge(first, E_GONE, attempts=0, now=0.0)
    assert not dispatcher.may_go(ready, 0.0)
    dispatcher.postponed(ready)
    probe = dispatcher.take(10.0)
    assert probe.is_probe
    assert dispatcher.may_go(probe, 10.0)
    dispatcher.judge(probe, OK, attempts=0, now=10.0)
    assert sorted([probe.file.id, *(dispatcher.take(10.0).file.id for _ in range(2))]) == [1, 2, 3]


THROTTLED = Throttled(party=Party.STORE, reason="503", retry_after_seconds=10)


@pytest.fixture
def taken():
    """Return a dispatcher with four files of a tenant taken, the first of which is being sent, and these four."""
    dispatcher = Dispatcher(slots=4, ahead=8, policy=POLICY, random=lambda: 0.0)
    add(dispatcher, (1, "a"), (2, "a"), (3, "a"), (4, "a"), (5, "a"))
    taken = [dispatcher.take(0.0) for _ in range(4)]
    assert dispatcher.lets_go(taken[0], 0.0)
    return dispatcher, taken


@pytest.mark.parametrize(
    ("stop", "resume"),
    [
        pytest.param(
            lambda dispatcher: dispatcher.set_paused(frozenset(), everybody=True),
            lambda dispatcher: dispatcher.set_paused(frozenset(), everybody=False),
            id="all paused by hand",
        ),
        pytest.param(
            lambda dispatcher: dispatcher.set_paused(frozenset({"a"}), everybody=False),
            lambda dispatcher: dispatcher.set_paused(frozenset(), everybody=False),
            id="its tenant paused by hand",
        ),
        pytest.param(lambda dispatcher: dispatcher.stop(), None, id="stopping"),
    ],
)
def test_what_was_got_ready_does_not_go_once_somebody_stopped_it_and_keeps_its_place(taken, stop, resume):
    dispatcher, (sent, *ready) = taken
    assert dispatcher.may_go(ready[0], 0.0)
    stop(dispatcher)
    for sending in ready[:2]:
        assert not dispatcher.lets_go(sending, 0.0)
        dispatcher.postponed(sending)
    assert dispatcher.take(0.0) is None, "nobody asks again and again"
    assert dispatcher.next_at() is None
    assert not dispatcher.has_due(0.0)
    assert dispatcher.judge(sent, OK, attempts=0, now=0.0) == Done(etag=None)
    assert len(dispatcher) == 3
    if resume is not None:
        resume(dispatcher)
        assert dispatcher.lets_go(ready[2], 0.0)
        assert [dispatcher.take(0.0).file.id for _ in range(3)] == [2, 3, 5]


@pytest.mark.parametrize("outcome", [THROTTLED, S_GONE], ids=["told to wait", "its store is gone"])
def test_what_was_got_ready_does_not_go_while_its_tenant_is_held(taken, outcome):
    dispatcher, (sent, ready, *_) = taken
    add(dispatcher, (10, "b"))  # so that it is not everybody's trouble
    assert isinstance(dispatcher.judge(sent, outcome, attempts=0, now=0.0), Hold)
    held_until = dispatcher.next_at()
    assert not dispatcher.may_go(ready, held_until - 0.1)
    assert dispatcher.may_go(ready, held_until)
    dispatcher.postponed(ready)
    assert [dispatcher.take(0.0).file.id] == [10]
    assert dispatcher.take(0.0) is None


def test_a_probe_does_not_go_once_its_tenant_was_paused_and_another_one_does(dispatcher):
    add(dispatcher, (1, "a"), (2, "b"))
    attempt(dispatcher, TOKEN, 0.0)
    probe = dispatcher.take(10.0)
    dispatcher.set_paused(frozenset({probe.file.tenant}), everybody=False)
    assert not dispatcher.lets_go(probe, 10.0)
    dispatcher.postponed(probe)
    other = dispatcher.take(10.0)
    assert (other.is_probe, other.file.tenant == probe.file.tenant) == (True, False)
    assert dispatcher.lets_go(other, 10.0)


def test_an_upload_that_crawls_may_try_again_beside_the_others(taken):
    dispatcher, (sent, *_) = taken
    add(dispatcher, (10, "b"))
    assert dispatcher.crawls(sent)
    assert dispatcher.lets_go(sent, 5.0)
    assert dispatcher.judge(sent, OK, attempts=0, now=5.0) == Done(etag=None)


def test_a_tenant_that_is_alone_does_not_crawl_in_its_own_way(taken):
    dispatcher, (sent, *others) = taken
    for sending in others:
        dispatcher.lets_go(sending, 0.0)
    add(dispatcher, *[(number, "a") for number in range(10, 20)])
    while dispatcher.take(0.0):
        pass
    assert not dispatcher.crawls(sent)


def test_while_all_slots_are_busy_nobody_asks_again_and_again_for_a_file_whose_time_has_come():
    dispatcher = Dispatcher(slots=1, policy=POLICY, random=lambda: 0.0)
    add(dispatcher, (1, "a"))
    sending = dispatcher.take(0.0)
    dispatcher.add(Waiting(id=2, tenant="b", start_at=2), at=5.0)
    assert dispatcher.take(0.0) is None
    assert dispatcher.next_at() == 5.0
    assert dispatcher.take(5.0) is None
    assert dispatcher.next_at() is None
    dispatcher.judge(sending, OK, attempts=0, now=6.0)
    assert dispatcher.take(6.0).file.id == 2


def test_while_the_breaker_is_open_nobody_asks_again_and_again_for_a_probe_of_paused_tenants(dispatcher):
    add(dispatcher, (1, "a"))
    attempt(dispatcher, TOKEN, 0.0)
    dispatcher.set_paused(frozenset({"a"}), everybody=False)
    assert dispatcher.next_at() == 1.0
    assert dispatcher.take(1.0) is None
    assert dispatcher.next_at() is None
    dispatcher.set_paused(frozenset(), everybody=False)
    assert dispatcher.take(1.5).is_probe
