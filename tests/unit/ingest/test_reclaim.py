"""Whose connections close when there are too many."""

from dataclasses import dataclass
from math import inf

from apidanalytics.ingest.reclaim import to_close


@dataclass(frozen=True)
class Held:
    name: str
    peer: str
    quiet_since: float
    is_within_request: bool = False


def closed(*connections: Held, since: float = 100.0, at_most: int = 10) -> list[str]:
    return [one.name for one in to_close(connections, quiet_since=since, at_most=at_most)]


def test_the_address_that_has_most_goes_first_and_of_one_address_the_longest_quiet():
    few = Held("few", "10.0.0.2", 1.0)
    many = [Held(f"many-{number}", "10.0.0.1", 50.0 - number) for number in range(3)]
    assert closed(few, *many) == ["many-2", "many-1", "many-0", "few"]
    assert closed(few, *many, at_most=2) == ["many-2", "many-1"]


def test_whoever_is_between_two_requests_goes_before_whoever_sends_one():
    slow = Held("slow", "10.0.0.1", 1.0, is_within_request=True)
    idle = Held("idle", "10.0.0.1", 9.0)
    assert closed(slow, idle) == ["idle", "slow"]


def test_who_was_heard_of_a_moment_ago_or_waits_for_us_stays():
    assert closed(Held("new", "a", 101.0), Held("waits", "a", inf), Held("old", "a", 100.0)) == ["old"]
