"""Lanes in which very much is refused while others post are told, and no others."""

from types import SimpleNamespace

import pytest

from apidanalytics.ingest.lanes import UNNAMED_LANE
from apidanalytics.ingest.refused import MANY, Refused

FLOOD, CALM = b"/flood", b"/calm"


class World:
    def __init__(self):
        self.stored, self.posting, self.told, self.timers = 0, set(), [], []
        self.refused = Refused(
            lambda path, body: body.decode() or (UNNAMED_LANE if path == b"/" else path[1:].decode()),
            self.told.append,
            stored=lambda: self.stored,
            who_posts=lambda: self.posting,
            call_later=lambda _, call: self.timers.append(call),
        )

    def refuse(self, number, path=FLOOD, body=b"", weight=1):
        for _ in range(number):
            self.refused.saw(SimpleNamespace(path=path, body=body, weight=weight))

    def store(self, number, *tenants):
        self.stored += number
        self.posting |= set(tenants)

    def look(self):
        (call,) = self.timers
        self.timers.clear()
        call()


@pytest.fixture
def world():
    return World()


def test_who_is_refused_much_is_held_as_long_as_that_lasts_while_another_posts(world):
    for _ in range(3):
        world.refuse(1000)
        world.store(10, "calm")
        world.look()
    assert world.told == [{"flood"}]
    world.store(10)
    world.look()  # of the period before
    world.look()
    assert world.told == [{"flood"}, frozenset()]
    assert world.timers == []  # nothing is refused, so nothing is looked at


def test_beside_nobody_else_nobody_is_held(world):
    world.refuse(1000)
    world.look()
    world.refuse(1000)
    world.store(1000, "flood")  # its own
    world.look()
    assert world.told == []


def test_who_is_refused_now_and_then_is_not_held(world):
    world.refuse(MANY - 1)
    world.store(10, "calm")
    world.look()
    world.look()
    world.refuse(100)
    world.store(2000)
    world.look()
    assert world.told == []


def test_a_body_tells_whose_it_is_where_the_path_does_not(world):
    world.refuse(1000, b"/", b"acme~prod")
    world.refuse(1000, b"/")
    world.store(10, "calm")
    world.look()
    assert world.told == [{"acme~prod", UNNAMED_LANE}]


def test_what_takes_long_before_it_is_refused_counts_for_several(world):
    world.refuse(MANY // 4, weight=4)
    world.refuse(MANY // 4, path=b"/another")
    world.store(10, "calm")
    world.look()
    assert world.told == [{"flood"}]
