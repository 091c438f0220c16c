"""Apigee Sync within the agent: its parts joined, its news handed on, its state shown."""

import asyncio
import random
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final, Self

import structlog

from apidanalytics.apigeesync.client import DataClient, Servers, TokenCall
from apidanalytics.apigeesync.database import VersionFile
from apidanalytics.apigeesync.follow import Follower
from apidanalytics.apigeesync.http import Http
from apidanalytics.apigeesync.identity import Identity
from apidanalytics.apigeesync.state import State
from apidanalytics.apigeesync.store import VersionStore
from apidanalytics.apigeesync.token import TokenKeeper
from apidanalytics.clock import Clock, SystemClock
from apidanalytics.config import Settings
from apidanalytics.scopes.news import News
from apidanalytics.scopes.source import Published
from apidanalytics.scopes.trouble import Lasting
from apidanalytics.service.parts import proxy
from apidanalytics.service.ready_answers import ReadyAnswersMaker
from apidanalytics.upload.token import TokenUnavailableError

log = structlog.get_logger()

RETAIN_SECONDS: Final = 1.0
"""How often versions that no worker reads any more are looked for."""

OnPublished = Callable[[Published], Awaitable[None]]


class ScopeSync:
    """Follows Apigee Sync for the agent. Made only when it is configured."""

    def __init__(self, settings: Settings, instance_id: str, clock: Clock, on_published: OnPublished) -> None:
        """Make the parts; nothing is asked yet.

        Raises:
            OSError: the directory of the versions cannot be used.

        """
        self._settings = settings
        self._clock = clock
        self._on_published = on_published
        self._counts = (0, 0)
        self._store = VersionStore(settings.sync_directory, settings.apigeesync_cluster_id or "")
        self._http = Http(timeout_seconds=settings.sync_timeout, proxy=proxy(settings), ca_bundle=settings.ca_bundle)
        identity = self._identity(instance_id)
        servers = _servers(settings)
        self._tokens = TokenKeeper(
            TokenCall(servers, self._http, identity, clock),
            clock=clock,
            cap_seconds=settings.apigeesync_poll_interval,
            random=random.random,
        )
        self._follower = Follower(
            client=DataClient(
                servers, self._http, identity, self._tokens, block=int(settings.sync_block), limit=settings.sync_limit
            ),
            store=self._store,
            publish=self._publish,
            clock=clock,
            cap_seconds=settings.apigeesync_poll_interval,
            random=random.random,
        )

    def __repr__(self) -> str:
        return f"<ScopeSync {self._follower}>"

    @classmethod
    async def open(
        cls, settings: Settings, *, instance_id: str, clock: Clock, on_published: OnPublished
    ) -> Self | None:
        """Return it, ready to ask; None when it is not configured."""
        if settings.apigeesync_consumer_key is None:
            return None
        sync = await asyncio.to_thread(cls, settings, instance_id, clock, on_published)
        await sync._http.open()  # noqa: SLF001 - our own
        return sync

    @property
    def upload_token(self) -> "SyncToken | None":
        """The token for uploads; None when another one is configured."""
        settings = self._settings
        has_own = settings.apigeesync_bearer_token is not None or settings.apigeesync_bearer_token_file is not None
        return None if has_own else SyncToken(self._tokens)

    async def keep_token(self) -> None:
        """Keep a token at hand until cancelled."""
        await self._tokens.run()

    async def take_up(self) -> None:
        """Serve what an earlier process left."""
        await self._follower.take_up()

    async def follow(self) -> None:
        """Follow until cancelled."""
        if self._settings.apigeesync_diagnostic_mode:
            self._follower.go_offline()
            log.warning("sync.offline", hint="apigeesync_diagnostic_mode: no snapshot and no changes are asked for")
            await asyncio.Event().wait()
        await self._follower.run()

    async def make_ready(self) -> None:
        """Have ready answers made for workers, until cancelled."""
        await ReadyAnswersMaker(lambda: self._follower.file).run()

    async def sweep(self, versions_in_use: Callable[[], frozenset[str]]) -> None:
        """Remove old versions once no worker reads them, until cancelled."""
        swept: tuple[str, frozenset[str]] | None = None
        while True:
            await asyncio.sleep(RETAIN_SECONDS)
            now = (self._store.current, versions_in_use())
            if now != swept:
                await asyncio.to_thread(self._store.remove_old, now[1])
                swept = now

    async def aclose(self) -> None:
        """Let go of everything."""
        await self._follower.aclose()
        await self._http.aclose()

    def status(self) -> dict[str, Any]:
        """Return what the status shows of it."""
        shown = self._follower.state.as_json()
        if self._lacks_token and shown["state"] == State.FOLLOWING:
            shown["state"] = State.BEHIND.value
        return {**shown, "last_error": shown["last_error"] or self._tokens.last_error or None}

    @property
    def trouble(self) -> Lasting | None:
        """Why what is served may not be what upstream has, and since when."""
        state, tokens = self._follower.state, self._tokens
        if state.last_error:
            return Lasting(reason=state.last_error, since=state.outage.since or self._clock.now())
        if self._lacks_token:
            return Lasting(reason=tokens.last_error, since=tokens.outage.since or self._clock.now())
        return None

    @property
    def _lacks_token(self) -> bool:
        """Whether no attempt is made for want of a token, which is not to be had."""
        return bool(self._tokens.last_error) and self._tokens.good() is None

    async def _publish(self, file: VersionFile, news: News | None) -> None:
        if news is None:
            self._counts = await asyncio.to_thread(file.counts)
        tenants, api_keys = self._counts
        version = file.version
        if news is None:
            log.info("scopes.published", source="apigee-sync", version=version, tenants=tenants, api_keys=api_keys)
        await self._on_published(
            Published(version=version, path=file.path, tenants=tenants, api_keys=api_keys, news=news)
        )

    def _identity(self, instance_id: str) -> Identity:
        settings = self._settings
        return Identity(
            instance_id=instance_id,
            cluster_id=settings.apigeesync_cluster_id or "",
            instance_name=settings.apigeesync_instance_name or socket.gethostname() or "Undefined",
            is_new=self._store.is_new,
            now=self._clock.now,
        )


async def try_token(settings: Settings, instance_id: str, timeout_seconds: float) -> str:
    """Return a token of Apigee Sync, asked for in the name of this collector, by a call of its own.

    Raises:
        SyncError: there is none.
        OSError: the CA bundle cannot be read.

    """
    identity = Identity(
        instance_id=instance_id,
        cluster_id=settings.apigeesync_cluster_id or "",
        instance_name=settings.apigeesync_instance_name or socket.gethostname() or "Undefined",
        is_new=False,
        now=SystemClock().now,
    )
    http = Http(timeout_seconds=timeout_seconds, proxy=proxy(settings), ca_bundle=settings.ca_bundle)
    await http.open()
    try:
        return (await TokenCall(_servers(settings), http, identity, SystemClock())()).text
    finally:
        await http.aclose()


class SyncToken:
    """The same token, for the collection endpoint."""

    def __init__(self, tokens: TokenKeeper) -> None:
        self._tokens = tokens

    def __repr__(self) -> str:
        return "<SyncToken>"

    async def current(self) -> str | None:
        """Return it.

        Raises:
            TokenUnavailableError: there is none yet, or not at the moment.

        """
        token = self._tokens.good()
        if token is None:
            because = f": {self._tokens.last_error}" if self._tokens.last_error else " yet"
            raise TokenUnavailableError(f"no token from Apigee Sync{because}")
        return token

    async def refused(self, token: str | None) -> None:
        """Have another one fetched, and give it a moment to come."""
        if token is not None:
            self._tokens.refuse(token)
            try:
                async with asyncio.timeout(5.0):
                    await self._tokens.current()
            except TimeoutError:
                return


def _servers(settings: Settings) -> Servers:
    return Servers(
        proxy_base=settings.apigeesync_proxy_server_base or "",
        snapshot_base=settings.apigeesync_snapshot_server_base or "",
        change_base=settings.apigeesync_change_server_base or "",
        key=settings.apigeesync_consumer_key or "",
        secret=settings.apigeesync_consumer_secret or "",
    )
