"""Follows Apigee Sync: snapshots and change lists in, published versions and news out. It never ends by itself.

One loop: take a snapshot when one is needed, otherwise ask for changes; after a failure, a pause. Whatever upstream
does, what is served stays served.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from apidanalytics import failpoints
from apidanalytics.apigeesync.backoff import pause_seconds, resync_seconds
from apidanalytics.apigeesync.build import Snapshot
from apidanalytics.apigeesync.client import DataClient, Downloaded
from apidanalytics.apigeesync.database import VersionFile
from apidanalytics.apigeesync.errors import SnapshotNeededError, SyncError
from apidanalytics.apigeesync.state import State, SyncState
from apidanalytics.apigeesync.store import VersionStore
from apidanalytics.apigeesync.wire import ChangeList
from apidanalytics.clock import Clock
from apidanalytics.scopes.news import News

_log: Final = structlog.get_logger()

QUICK_SECONDS: Final = 1.0
"""A long poll that brings nothing sooner than this is paused after: some servers do not wait."""
CALM_SECONDS: Final = 60.0
"""A snapshot that was good for this long did help."""
STALE_START_SECONDS: Final = 600.0
"""A snapshot older than this that no change list followed may have missed some: the server forgets them in time. So may
one from the future: how old it is, nobody can tell."""
MAX_LOG_BYTES: Final = 64 << 20
"""Above it changes wait until the workers let the log be emptied; they look once a second."""
SELECTOR_ROUNDS: Final = 3
"""How often one snapshot is asked for again because it names other selectors than it was asked for."""
SCOPES_CHANGED: Final = "the scopes changed"
SCOPES_CAP_SECONDS: Final = 0.5
"""A snapshot for changed scopes never waits longer than ten times this. Scopes may change one after the other all day,
and each snapshot comes at once; only one that lacks the change that asked for it is not taken again at once."""

Publish = Callable[[VersionFile, News | None], Awaitable[None]]
"""Told of a new version (no news), or of what a change list changed in the current one."""


class Follower:
    """Owns the current version's file, and the state that is shown."""

    def __init__(
        self,
        *,
        client: DataClient,
        store: VersionStore,
        publish: Publish,
        clock: Clock,
        cap_seconds: float,
        random: Callable[[], float],
    ) -> None:
        self._client = client
        self._store = store
        self._publish = publish
        self._clock = clock
        self._cap_seconds = cap_seconds
        self._random = random
        self._file: VersionFile | None = None
        self._needed = ""
        self._resyncs = 0
        self._late = 0
        self._built_at = float("-inf")
        self._quick = 0
        self._examination: asyncio.Task[None] | None = None
        self._tidying: asyncio.Task[None] | None = None
        self.state = SyncState(clock=clock)

    def __repr__(self) -> str:
        return f"<Follower {self.state.state} {self._file}>"

    async def take_up(self) -> None:
        """Publish what an earlier process left, if it is good: then batches are served at once."""
        file = await asyncio.to_thread(self._store.open_current)
        if file is None:
            self._needed = "there is none yet"
            return
        if file.sequence is None and abs(self._clock.now() - file.taken_at) > STALE_START_SECONDS:
            self._needed = "the stored one is old and no changes followed it"
        elif file.is_outgrown:
            self._needed = SCOPES_CHANGED
        self.state.last_contact_at = file.contact_at
        await self._serve(file)
        self._examination = asyncio.create_task(self._examine(file))

    async def run(self) -> None:
        """Follow until cancelled; ``take_up`` comes first."""
        while True:
            try:
                await (self._snapshot() if self._needed or self._file is None else self._poll(self._file))
            except SnapshotNeededError as error:
                self._need(str(error))
            except (SyncError, OSError, sqlite3.Error) as error:
                await self._fail(error)

    @property
    def file(self) -> VersionFile | None:
        """The current version's file; None: there is none yet."""
        return self._file

    def go_offline(self) -> None:
        """Say that nobody is asked (``apigeesync_diagnostic_mode``)."""
        self.state.state = State.OFFLINE

    async def aclose(self) -> None:
        """Let go of the file."""
        if self._examination is not None:
            self._examination.cancel()
        await asyncio.gather(*filter(None, (self._examination, self._tidying)), return_exceptions=True)
        if self._file is not None:
            await asyncio.to_thread(self._file.close)

    async def _snapshot(self) -> None:
        self.state.resyncing(self._needed)
        await asyncio.sleep(self._pause_before_snapshot())
        downloaded, snapshot, taken_at = await self._download()
        file = await asyncio.to_thread(self._store.adopt, downloaded, snapshot, taken_at)
        former, self._needed = self._file, ""
        self._resyncs, self._built_at = self._resyncs + 1, self._clock.monotonic()
        is_late = former is not None and set(file.selectors) != set(former.selectors)
        self._late = self._late + 1 if is_late else 0
        await self._serve(file)
        self.state.reached()
        if former is not None:
            await asyncio.gather(*filter(None, (self._tidying,)), return_exceptions=True)
            self._tidying = None
            await asyncio.to_thread(former.close)

    def _pause_before_snapshot(self) -> float:
        if self._needed == SCOPES_CHANGED:
            return resync_seconds(self._late, SCOPES_CAP_SECONDS, self._random)
        return resync_seconds(self._resyncs, self._cap_seconds, self._random)

    async def _download(self) -> tuple[Downloaded, Snapshot, float]:
        """Get a snapshot that was asked for with all those selectors that its own scopes name."""
        selectors: Sequence[str] = self._file.selectors if self._file is not None else [self._store.cluster_id]
        is_boot = self._file is None
        for _ in range(SELECTOR_ROUNDS):
            target = await asyncio.to_thread(self._store.clear_part)
            downloaded = await self._client.snapshot(selectors, target)
            taken_at = self._clock.now()
            failpoints.hit("sync.after_download")
            snapshot = await asyncio.to_thread(self._store.check, downloaded)
            # The very first one, asked for with the cluster's own id, has the scopes only: it is never served.
            if not is_boot and set(snapshot.selectors) <= set(selectors):
                break
            selectors, is_boot = snapshot.selectors, False
        return downloaded, snapshot, taken_at

    async def _poll(self, file: VersionFile) -> None:
        asked_at = self._clock.monotonic()
        since = file.sequence
        changes = await self._client.changes(file.selectors, since=since, snapshot=file.txid)
        if since is not None and changes.last < since:
            raise SnapshotNeededError("the server begins anew: its last sequence is before ours")
        if changes.last != since:
            await self._apply(file, changes)
            self._quick = 0
        self.state.reached()
        if self._clock.monotonic() - self._built_at > CALM_SECONDS:
            self._resyncs = 0
        if changes.last == since and self._clock.monotonic() - asked_at < QUICK_SECONDS:
            self._quick += 1
            await asyncio.sleep(pause_seconds(self._quick, self._cap_seconds, self._random))

    async def _apply(self, file: VersionFile, changes: ChangeList) -> None:
        try:
            news = await asyncio.to_thread(file.apply, changes.changes, changes.last, self._clock.now())
        except sqlite3.OperationalError:
            raise  # a full disk, for one: it may pass
        except sqlite3.DatabaseError as error:
            raise SnapshotNeededError(f"the file of this version is damaged ({error})") from error
        failpoints.hit("sync.before_announce")
        self.state.sequence = str(file.sequence)
        await self._publish(file, news)
        failpoints.hit("sync.after_announce")
        if changes.changes:
            _log.info("sync.applied", changes=len(changes.changes), sequence=news.sequence)
        if file.is_outgrown:
            self._needed = SCOPES_CHANGED
        self._tidy(file)
        while file.log_bytes() > MAX_LOG_BYTES:
            await asyncio.sleep(QUICK_SECONDS)
            self._tidy(file)

    def _tidy(self, file: VersionFile) -> None:
        """Have the log emptied while following goes on. What went wrong the last time is said now."""
        if self._tidying is not None and not self._tidying.done():
            return
        former, self._tidying = self._tidying, None
        if former is not None:
            former.result()
        if file.needs_tidying():
            self._tidying = asyncio.create_task(asyncio.to_thread(file.tidy))

    async def _examine(self, file: VersionFile) -> None:
        """Look whether what was taken up is whole, while it serves already; otherwise a new snapshot replaces it."""
        if not await asyncio.to_thread(file.is_sound) and self._file is file:
            self._needed = "the stored one is damaged"

    async def _serve(self, file: VersionFile) -> None:
        self._file = file
        state = self.state
        state.version, state.sequence = self._store.current, str(file.sequence or "")
        state.snapshot_at = file.taken_at
        if state.state is State.STARTING:
            state.state = State.BEHIND
        await self._publish(file, None)

    def _need(self, reason: str) -> None:
        self._needed = reason

    async def _fail(self, error: Exception) -> None:
        reason = str(error) if isinstance(error, SyncError) else f"{type(error).__name__}: {error}"
        pause = pause_seconds(self.state.failures + 1, self._cap_seconds, self._random)
        self.state.failed(reason, pause)
        await asyncio.sleep(pause)
