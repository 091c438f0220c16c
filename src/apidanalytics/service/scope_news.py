"""Looks at the source of scope data and hands on what is new."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from apidanalytics.scopes.source import Published, ScopeSource

POLL_SECONDS: Final = 0.5
"""How often the source is looked at: a change counts within about a second."""


class ScopeNews:
    """Polls one source; versions that no worker reads any more are removed."""

    def __init__(
        self,
        source: ScopeSource,
        *,
        on_published: Callable[[Published], Awaitable[None]],
        versions_in_use: Callable[[], frozenset[str]],
    ) -> None:
        self._source = source
        self._on_published = on_published
        self._versions_in_use = versions_in_use
        self._retained: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Look once."""
        published = await asyncio.to_thread(self._source.poll)
        if published is not None:
            await self._on_published(published)
            return
        in_use = self._versions_in_use()
        if in_use != self._retained:
            self._retained = in_use
            await asyncio.to_thread(self._source.retain, in_use)
