"""What a change concerns is looked for in steps, and requests have their turn between them."""

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec

from apidanalytics.clock import SystemClock
from apidanalytics.errors import LookupFailedError
from apidanalytics.scopes.compile import compile_entries
from apidanalytics.scopes.news import News
from apidanalytics.scopes.scopes_yaml import parse
from apidanalytics.service.scope_feed import ScopeFeed


class Scopes:
    """Takes three steps to renew."""

    def __init__(self, seen: list[str]) -> None:
        self.seen = seen
        self.cannot_open: set[str] = set()

    def renewal(self, news: Iterable[News]) -> Iterator[None]:
        last = [one.sequence for one in news]
        for _ in range(3):
            self.seen.append(f"searching {' '.join(last)}")
            yield
        self.seen.append(f"has {last[-1]}")

    def switch(self, path: Path) -> None:
        if str(path) in self.cannot_open:
            self.seen.append(f"cannot open {path}")
            raise LookupFailedError("too many open files")
        self.seen.append(f"switched to {path}")

    def tick(self) -> None:
        self.seen.append("tick")


class Clock(SystemClock):
    """Says what it is told."""

    at = 0.0

    def monotonic(self) -> float:
        return self.at


def feed(seen: list[str], clock: Clock | None = None, *cannot_open: str) -> ScopeFeed:
    made = ScopeFeed(SimpleNamespace(), SimpleNamespace(), clock or Clock())
    made._scopes = Scopes(seen)
    made._scopes.cannot_open.update(cannot_open)
    made.version = "1"
    return made


def message(version: str, after: str = "", sequence: str = "") -> dict[str, Any]:
    news = msgspec.to_builtins(News(after=after, sequence=sequence)) if sequence else None
    return {"type": "scopes", "version": version, "path": version, "news": news}


async def test_requests_have_their_turn_while_what_a_change_concerns_is_looked_for() -> None:
    seen: list[str] = []
    loading = asyncio.create_task(feed(seen).load(message("1", "a", "b")))
    while not loading.done():
        await asyncio.sleep(0)
        seen.append("a request")
    start = seen.index("searching b")
    assert seen[start : start + 6] == ["searching b", "a request"] * 3
    assert seen[start + 6] == "has b"


async def test_change_lists_that_wait_are_taken_up_at_once() -> None:
    """Or a stream of them, each with a search of its own, leaves a worker behind without bound."""
    seen: list[str] = []
    following = feed(seen)
    loading = [asyncio.create_task(following.load(message("1", "a", "b")))]
    while not seen:
        await asyncio.sleep(0)
    for after, sequence in ("bc", "cd", "de"):
        loading.append(asyncio.create_task(following.load(message("1", after, sequence))))
    await asyncio.gather(*loading)
    assert seen == ["searching b"] * 3 + ["has b"] + ["searching c d e"] * 3 + ["has e"]


async def test_a_version_overrules_the_change_lists_that_wait() -> None:
    seen: list[str] = []
    following = feed(seen)
    loading = [asyncio.create_task(following.load(message("1", "a", "b")))]
    while not seen:
        await asyncio.sleep(0)
    for next_ in (message("1", "b", "c"), message("2"), message("2", "x", "y")):
        loading.append(asyncio.create_task(following.load(next_)))
    await asyncio.gather(*loading)
    assert seen == ["searching b"] * 3 + ["has b", "switched to 2"]
    assert following.version == "2"


async def test_the_file_is_left_alone_meanwhile_and_looked_at_right_after() -> None:
    """Under a stream of change lists there is always one that is being taken up."""
    seen: list[str] = []
    following = feed(seen)
    first = asyncio.create_task(following.load(message("1", "a", "b")))
    while not seen:
        await asyncio.sleep(0)
    second = asyncio.create_task(following.load(message("1", "b", "c")))
    await following.poll()
    assert seen == ["searching b"]
    await asyncio.gather(first, second)
    assert seen == ["searching b"] * 3 + ["has b", "tick"] + ["searching c"] * 3 + ["has c"]
    await following.poll()
    assert seen[-1] == "tick"


async def test_a_version_that_is_served_already_is_not_read_again() -> None:
    """A new agent tells it to the workers of the one before, which remember much, and are busy."""
    seen: list[str] = []
    following = feed(seen)
    await following.load(message("1"))
    assert seen == []
    await asyncio.gather(following.load(message("1")), following.load(message("1", "a", "b")))
    assert seen == ["searching b"] * 3 + ["has b"]


async def test_a_version_that_cannot_be_opened_is_tried_again_until_it_can() -> None:
    seen: list[str] = []
    following = feed(seen, None, "2")
    await following.load(message("2"))
    assert (following.version, following.trouble) == ("1", "too many open files")
    await following.poll()
    following._scopes.cannot_open.clear()
    await following.poll()
    assert (following.version, following.trouble) == ("2", None)
    await following.poll()
    assert seen == ["cannot open 2", "cannot open 2", "tick", "switched to 2", "tick", "tick"]


async def test_a_change_list_of_a_version_that_cannot_be_opened_has_it_tried_again() -> None:
    seen: list[str] = []
    following = feed(seen, None, "2")
    await following.load(message("2"))
    following._scopes.cannot_open.clear()
    await following.load(message("2", "a", "b"))
    assert seen == ["cannot open 2", "switched to 2"]
    assert following.version == "2"


async def test_when_the_version_that_is_served_counts_again_the_other_one_is_tried_no_more() -> None:
    seen: list[str] = []
    following = feed(seen, None, "2")
    await following.load(message("2"))
    await following.load(message("1"))
    following._scopes.cannot_open.clear()
    await following.poll()
    assert (following.version, following.trouble) == ("1", None)
    await asyncio.gather(following.load(message("2")), following.load(message("1")))
    assert seen == ["cannot open 2", "tick"]


async def test_a_version_that_takes_long_to_fail_leaves_requests_nine_tenths_of_the_time() -> None:
    seen: list[str] = []
    clock = Clock()
    following = feed(seen, clock, "2")
    switch = following._scopes.switch

    def slow_switch(path: Path) -> None:
        clock.at += 2
        switch(path)

    following._scopes.switch = slow_switch
    await following.load(message("2"))
    for clock.at in (3, 19.9, 20):
        await following.poll()
    assert seen == ["cannot open 2", "tick", "tick", "cannot open 2", "tick"]


async def test_a_worker_whose_first_version_cannot_be_opened_serves_as_soon_as_it_can(tmp_path: Path) -> None:
    acceptor, settings = SimpleNamespace(scopes=None), SimpleNamespace(use_caching=False)
    following, path = ScopeFeed(settings, acceptor, SystemClock()), tmp_path / "scopes.db"
    await following.load({**message("1"), "path": str(path)})
    assert following.version is None
    assert "unable to open" in (following.trouble or "")
    await following.poll()
    compile_entries(path, parse(b"scopes:\n  - {id: testid, org: acme, env: prod, tenant_id: acme}\n"))
    following._not_before = 0.0
    await following.poll()
    assert acceptor.scopes.tenant("testid").name == "acme~prod"
    assert (following.version, following.trouble) == ("1", None)
    acceptor.scopes.close()
