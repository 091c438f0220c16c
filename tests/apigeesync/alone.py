"""The part of the agent that follows Apigee Sync, alone, with what a worker makes of its news.

In a test's own event loop (``Alone``), or in a process of its own that is killed at a failpoint. Such a process is
forked from one that has loaded everything already, because that takes most of the time::

    python -m tests.apigeesync.alone     reads lines: <directory> <base URL> <failpoints>; answers with exit codes
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any, Self

from apidanalytics import failpoints
from apidanalytics.clock import SystemClock
from apidanalytics.config import load
from apidanalytics.scopes.lookup import CachedScopes, UncachedScopes
from apidanalytics.scopes.source import Published
from apidanalytics.service.sync import ScopeSync
from tests.apigeesync.accounts import CLUSTER
from tests.steps import at_once


class Alone:
    """Follows while the ``async with`` block lasts."""

    def __init__(self, directory: Path, base_url: str, *, cluster: str = CLUSTER, use_caching: bool = True) -> None:
        settings: dict[str, Any] = {
            "local_storage_path": str(directory),
            "apidanalytics_uap_server_base": "http://127.0.0.1:9",
            "apigeesync_proxy_server_base": base_url,
            "apigeesync_snapshot_server_base": base_url,
            "apigeesync_change_server_base": base_url,
            "apigeesync_consumer_key": "consumer-key",
            "apigeesync_consumer_secret": "consumer-secret",
            "apigeesync_cluster_id": cluster,
            "apigeesync_poll_interval": "20ms",
        }
        self._settings = load(config_file=None, environ={}, overrides=settings)
        self._use_caching = use_caching
        self._tasks: list[asyncio.Task[None]] = []
        self._sync: ScopeSync | None = None
        self.scopes: CachedScopes | UncachedScopes | None = None
        """What a worker has; None before the first version."""
        self.published: list[Published] = []

    async def __aenter__(self) -> Self:
        directory = self._settings.local_storage_path
        directory.mkdir(parents=True, exist_ok=True)
        self._sync = sync = await ScopeSync.open(
            self._settings, instance_id="alone", clock=SystemClock(), on_published=self._on_published
        )
        assert sync is not None
        await sync.take_up()
        works = (sync.keep_token(), sync.follow(), sync.sweep(self._in_use))
        self._tasks = [asyncio.create_task(work) for work in works]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._sync is not None:
            await self._sync.aclose()
        if self.scopes is not None:
            self.scopes.close()
        failures = [result for result in results if not isinstance(result, asyncio.CancelledError)]
        assert not failures, failures

    def status(self) -> dict[str, Any]:
        """Return what ``status --json`` has under ``scopes``."""
        assert self._sync is not None
        return self._sync.status()

    def _in_use(self) -> frozenset[str]:
        return frozenset({self.published[-1].version}) if self.published else frozenset()

    async def _on_published(self, published: Published) -> None:
        self.published.append(published)
        if self.scopes is None:
            self.scopes = self._opened(published.path)
        elif published.news is None:
            self.scopes.switch(published.path)
        else:
            at_once(self.scopes.renewal([published.news]))

    def _opened(self, path: Path) -> CachedScopes | UncachedScopes:
        if not self._use_caching:
            return UncachedScopes(path)
        return CachedScopes(path, max_keys=100, refresh_interval=1e6, clock=SystemClock())


async def _follow(directory: Path, base_url: str) -> None:
    async with Alone(directory, base_url):
        await asyncio.Event().wait()


def _serve() -> None:
    for line in sys.stdin:
        directory, base_url, armed = line.split()
        pid = os.fork()
        if pid == 0:
            failpoints._armed.update(failpoints.parse(armed))
            asyncio.run(_follow(Path(directory), base_url))
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    _serve()
