"""What a change concerns is looked for in steps, and requests have their turn between them."""

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec

from apidanalytics.clock import SystemClock
from apidanalytics.scopes.news import News
from apidanalytics.service.scope_feed import ScopeFeed


class Scopes:
    """Takes three steps to renew."""

    def __init__(self, seen: list[str]) -> None:
        self.seen = seen

    def renewal(self, news: Iterable[News]) -> Iterator[None]:
        last = [one.sequence for one in news]
        for _ in range(3):
            self.seen.append(f"searching {' '.join(last)}")
            yield
        self.seen.append(f"has {last[-1]}")

    def switch(self, path: Path) -> None:
        self.seen.append(f"switched to {path}")

    def tick(self) -> None:
        self.seen.append("tick")


def feed(seen: list[str]) -> ScopeFeed:
    made = ScopeFeed(SimpleNamespace(), SimpleNamespace(), SystemClock())
    made._scopes = Scopes(seen)
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
