"""What a worker does when the agent tells it of scope data: the latest counts, and what waits is taken up together."""

import asyncio
from pathlib import Path

import msgspec
import structlog

from apidanalytics.clock import Clock
from apidanalytics.config import Settings
from apidanalytics.control.channel import Message
from apidanalytics.ingest.accept import Acceptor
from apidanalytics.scopes.lookup import CachedScopes, UncachedScopes
from apidanalytics.scopes.news import News

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

    @property
    def sequence(self) -> str:
        """The sequence of the last change list that counts; empty: none."""
        return "" if self._scopes is None else self._scopes.sequence

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
        versions = [message for message in waiting if self._is_version(message)]
        news = [msgspec.convert(message["news"], News) for message in waiting if message.get("news") is not None]
        if versions:
            self._move(versions[-1]["version"], Path(versions[-1]["path"]))
        elif self._scopes is not None and news:
            for _ in self._scopes.renewal(news):
                await asyncio.sleep(0)  # requests have their turn

    def _is_version(self, message: Message) -> bool:
        """Return whether everything has to be read, which then contains all change lists that were told of.

        A new agent tells all workers of the version that counts, also those that answer from it. What they missed while
        they had no agent the next looks at the file find.
        """
        return self._scopes is None or message["version"] != self.version

    def _move(self, version: str, path: Path) -> None:
        if self._scopes is None:
            self._scopes = self._acceptor.scopes = self._open(path)
        else:
            self._scopes.switch(path)
        self.version = version
        log.info("worker.scopes", version=version)

    def _tick(self) -> None:
        self._is_tick_due = False
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
