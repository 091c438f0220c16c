"""What a change concerns is looked for in steps, and requests have their turn between them."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec

from apidanalytics.clock import SystemClock
from apidanalytics.scopes.news import News
from apidanalytics.service.build_worker import _ScopeFeed


class Scopes:
    """Takes three steps to renew."""

    def __init__(self, seen: list[str]) -> None:
        self.seen = seen

    def renewal(self, news: News) -> Iterator[None]:
        for _ in range(3):
            self.seen.append(f"searching {news.sequence}")
            yield
        self.seen.append(f"has {news.sequence}")

    def switch(self, path: Path) -> None:
        self.seen.append(f"switched to {path}")

    def tick(self) -> None:
        self.seen.append("tick")


def feed(seen: list[str]) -> _ScopeFeed:
    made = _ScopeFeed(SimpleNamespace(), SimpleNamespace(), SystemClock())
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
    assert seen[:6] == ["searching b", "a request"] * 3
    assert seen[6] == "has b"


async def test_messages_are_followed_one_after_another_and_the_file_is_left_alone_meanwhile() -> None:
    seen: list[str] = []
    following = feed(seen)
    loading = [asyncio.create_task(following.load(message("1", "a", "b")))]
    await asyncio.sleep(0)
    loading += [asyncio.create_task(following.load(next_)) for next_ in (message("1", "b", "c"), message("2"))]
    await following.poll()
    await asyncio.gather(*loading)
    assert seen == ["searching b"] * 3 + ["has b"] + ["searching c"] * 3 + ["has c", "switched to 2"]
    assert following.version == "2"
    await following.poll()
    assert seen[-1] == "tick"
