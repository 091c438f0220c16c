"""What is remembered of attempts to deliver."""

from apidanalytics.upload.attempts import RESULTS, Attempts, WatchedCollection
from apidanalytics.upload.client import Delivery
from apidanalytics.upload.content import Content
from apidanalytics.upload.outcome import Delivered, Outcome, Party, Refused, TokenRefused
from apidanalytics.upload.turns import Turns


class Clock:
    def __init__(self):
        self.at = 1000.0

    def now(self):
        return self.at

    def monotonic(self):
        return self.at


class Collection:
    def __init__(self, clock, outcomes):
        self.clock, self.outcomes = clock, outcomes

    async def deliver(self, delivery):
        self.clock.at += 2.0
        return self.outcomes.pop(0)


NO = Refused(party=Party.STORE, reason="the object store answered 403")


async def deliver(*outcomes, tenant="a~b"):
    clock, attempts = Clock(), Attempts()
    watched = WatchedCollection(Collection(clock, list(outcomes)), attempts, clock)
    for number, outcome in enumerate(outcomes):
        content, turn = Content.of(b"12345"), Turns(1).turn()
        delivery = Delivery(tenant=tenant, start_at=0, name=f"f{number}", content=content, md5="", turn=turn)
        assert await watched.deliver(delivery) is outcome
    return attempts


def test_every_outcome_has_a_name():
    assert set(RESULTS) == set(Outcome.__args__)
    assert len(set(RESULTS.values())) == len(RESULTS)


async def test_attempts_are_counted_by_result():
    attempts = await deliver(NO, TokenRefused(reason="401"), Delivered())
    assert {result: number for result, number in attempts.by_result.items() if number} == {
        "refused": 1,
        "token_refused": 1,
        "delivered": 1,
    }
    assert attempts.bytes == 5
    assert attempts.seconds.sum == 2.0
    assert attempts.last_delivered_at == 1006.0


async def test_a_tenants_trouble_begins_with_its_first_failure_and_ends_with_a_success():
    attempts = await deliver(NO, NO)
    trouble = attempts.troubles["a~b"]
    assert (trouble.since, trouble.failures, trouble.reason) == (1000.0, 2, NO.reason)
    assert (await deliver(NO, Delivered())).troubles == {}


async def test_the_attempts_of_one_file_are_found_again():
    attempts = await deliver(NO, Delivered())
    assert [attempt.result for attempt in attempts.of_file("f0")] == ["refused"]
    assert attempts.of_file("other") == []
