"""The scope data within the agent: whichever source is configured, started, stopped and shown."""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from apidanalytics.clock import Clock
from apidanalytics.config import Settings
from apidanalytics.scopes.source import Published
from apidanalytics.scopes.trouble import Lasting
from apidanalytics.scopes.watch import WatchedFile
from apidanalytics.service.agent import Agent
from apidanalytics.service.parts import scope_form, token_source
from apidanalytics.service.scope_news import ScopeNews
from apidanalytics.service.sync import OnPublished, ScopeSync
from apidanalytics.upload.token import TokenSource

log = structlog.get_logger()


class ScopeSteps:
    """A scopes file, a database, or Apigee Sync: what is published goes to ``on_published``."""

    def __init__(
        self,
        settings: Settings,
        agent: Agent,
        *,
        embedded: bool,
        clock: Clock,
        on_published: OnPublished,
        versions_in_use: Callable[[], frozenset[str]],
    ) -> None:
        self._settings = settings
        self._agent = agent
        self._embedded = embedded
        self._clock = clock
        self._on_published = on_published
        self._versions_in_use = versions_in_use
        self._sync: ScopeSync | None = None
        self._watched: WatchedFile | None = None

    async def start_token(self, instance_id: str) -> None:
        """Begin to keep the token of Apigee Sync, if that is configured: uploads need it too."""
        self._sync = await ScopeSync.open(
            self._settings, instance_id=instance_id, clock=self._clock, on_published=self._on_published
        )
        if self._sync is not None:
            self._agent.spawn("token", self._sync.keep_token())

    async def stop_token(self) -> None:
        """Let go of it."""
        await self._agent.cancel("token")
        if self._sync is not None:
            await self._sync.aclose()

    def token(self) -> TokenSource:
        """Return the token for uploads."""
        return (self._sync and self._sync.upload_token) or token_source(self._settings)

    async def start(self) -> None:
        """Publish what there is, and follow the source from now on."""
        if self._sync is not None:
            await self._sync.take_up()
            self._agent.spawn("scopes", self._sync.follow())
            self._agent.spawn("sweep", self._sync.sweep(self._versions_in_use))
            self._agent.spawn("ready answers", self._sync.make_ready())
            return
        form = scope_form(self._settings, embedded=self._embedded)
        if form is None:
            log.warning("scopes.none", hint="set apidanalytics_scopes_file; without scope data every batch gets 500")
            return
        source = await asyncio.to_thread(WatchedFile, form, self._settings.scopes_directory, self._clock)
        self._watched = source
        news = ScopeNews(source, on_published=self._on_published, versions_in_use=self._versions_in_use)
        await news.look()
        self._agent.spawn("scopes", news.run())

    async def stop(self) -> None:
        """End it."""
        await self._agent.cancel("scopes")
        await self._agent.cancel("sweep")
        await self._agent.cancel("ready answers")

    def status(self, published: Published | None) -> dict[str, Any] | None:
        """Return what the status says of the version that is published; None: nothing is configured, nothing there."""
        path = None if published is None else str(published.path.absolute())
        if self._sync is not None:
            return {**self._sync.status(), "path": path}
        if published is None:
            return None
        source = self._settings.scopes_file or self._settings.scopes_database or "the embedded example"
        return {"source": str(source), "version": published.version, "path": path, "state": "following"}

    @property
    def is_configured(self) -> bool:
        """Whether there is any source."""
        return self._sync is not None or self._watched is not None

    @property
    def trouble(self) -> Lasting | None:
        """Why the source cannot be read or followed now, and since when."""
        if self._sync is None:
            return self._watched.trouble if self._watched is not None else None
        return self._sync.trouble
