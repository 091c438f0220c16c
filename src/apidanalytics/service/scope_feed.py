"""What a worker does when the agent tells it of scope data: the latest counts, and what waits is taken up together.

A version that cannot be opened (no descriptor is left, say) is tried again with every ``poll`` until it can, or another
one counts: who stays behind sends records to tenants that others have left.
"""

import asyncio
from pathlib import Path
from typing import Final

import msgspec
import structlog

from apidanalytics.clock import Clock
from apidanalytics.config import Settings
from apidanalytics.control.channel import Message
from apidanalytics.errors import LookupFailedError
from apidanalytics.ingest.accept import Acceptor
from apidanalytics.scopes.lookup import CachedScopes, UncachedScopes
from apidanalytics.scopes.news import News
from apidanalytics.scopes.trouble import Trouble

PAUSE_FACTOR: Final = 9
"""A version that took so long to fail is left alone for this many times as long: requests wait meanwhile."""

log = structlog.get_logger()


class ScopeFeed:
    """Gives the acceptor the scope data that the agent published last."""

    def __init__(self, settings: Settings, acceptor: Acceptor, clock: Clock) -> None:
        self._settings = settings
        self._acceptor = acceptor
        self._clock = clock
        self._scopes: CachedScopes | UncachedScopes | None = None
        self._turn = asyncio.Lock()
        self._waiting: list[Message] = []
        self._next: asyncio.Task[None] | None = None
        """Takes up what waits."""
        self._is_tick_due = False
        self.version: str | None = None
        self._wanted: tuple[str, Path] | None = None
        """The version that counts, while it is not this one, and where it is."""
        self._not_before = float("-inf")
        """Monotonic time until which it is not tried again."""
        self._trouble = Trouble("worker.scopes", "what was read last stays in use; it is tried again until it can be")

    @property
    def sequence(self) -> str:
        """The sequence of the last change list that counts; empty: none."""
        return "" if self._scopes is None else self._scopes.sequence

    @property
    def trouble(self) -> str | None:
        """Why answers do not come from the version that counts; None: they do."""
        return self._trouble.now.reason if self._trouble.now else None

    async def load(self, message: Message) -> None:
        """Answer from this version, or as of this change list, from now on, between two requests.

        What comes while something else is taken up waits, and is taken up at once after it, however much it is.
        """
        self._waiting.append(message)
        if self._next is None:
            self._next = asyncio.create_task(self._take_turn())
        await self._next

    async def poll(self) -> None:
        """Take up what changed inside the published file: now, or after what is being taken up."""
        self._is_tick_due = True
        if not self._turn.locked():
            self._tick()

    async def _take_turn(self) -> None:
        async with self._turn:
            waiting, self._waiting, self._next = self._waiting, [], None
            try:
                await self._take_up(waiting)
            finally:
                if self._is_tick_due:
                    self._tick()

    async def _take_up(self, waiting: list[Message]) -> None:
        latest = waiting[-1]
        if self._scopes is None or latest["version"] != self.version:
            # Read as it is now, it contains all change lists that were told of.
            self._want(latest["version"], Path(latest["path"]))
            return
        # A new agent tells all workers what counts, also those that answer from it. What they missed while they had
        # no agent the next looks at the file find.
        self._arrive()
        news = [msgspec.convert(one["news"], News) for one in waiting if self._is_news(one)]
        if news:
            for _ in self._scopes.renewal(news):
                await asyncio.sleep(0)  # requests have their turn

    def _is_news(self, message: Message) -> bool:
        return message["version"] == self.version and message.get("news") is not None

    def _want(self, version: str, path: Path) -> None:
        is_left_alone = (version, path) == self._wanted and self._clock.monotonic() < self._not_before
        if not is_left_alone:
            self._move(version, path)

    def _move(self, version: str, path: Path) -> None:
        began = self._clock.monotonic()
        try:
            if self._scopes is None:
                self._scopes = self._acceptor.scopes = self._open(path)
            else:
                self._scopes.switch(path)
        except LookupFailedError as error:
            finished = self._clock.monotonic()
            self._wanted, self._not_before = (version, path), finished + PAUSE_FACTOR * (finished - began)
            self._trouble.begin(str(error), version=version)
            return
        self.version = version
        log.info("worker.scopes", version=version)
        self._arrive()

    def _arrive(self) -> None:
        self._wanted = None
        self._trouble.end(version=self.version)

    def _tick(self) -> None:
        self._is_tick_due = False
        if self._wanted is not None and self._clock.monotonic() >= self._not_before:
            self._move(*self._wanted)
        if self._scopes is not None:
            self._scopes.tick()

    def _open(self, path: Path) -> CachedScopes | UncachedScopes:
        if not self._settings.use_caching:
            return UncachedScopes(path)
        return CachedScopes(
            path,
            max_keys=self._settings.cache_max_keys,
            refresh_interval=self._settings.cache_refresh_interval,
            clock=self._clock,
        )
