"""Follows Apigee Sync: snapshots and change lists in, published versions and news out. It never ends by itself.

One loop: take a snapshot when one is needed, otherwise ask for changes; after a failure, a pause. Whatever upstream
does, what is served stays served.

A snapshot for changed scopes is fetched beside the loop, which follows the current version meanwhile. The new one may
be older than that is by then. So it is first brought to at least the same sequence, and only then counts: nothing that
counted is taken back.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from apidanalytics import failpoints
from apidanalytics.apigeesync.backoff import pause_seconds, resync_seconds
from apidanalytics.apigeesync.client import DataClient
from apidanalytics.apigeesync.database import VersionFile
from apidanalytics.apigeesync.errors import SnapshotNeededError, SyncError
from apidanalytics.apigeesync.fetch import SnapshotFetcher, unless
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
MOST_STALLED: Final = 3
"""So often a server may have nothing further when it had more before; then its log began anew."""
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
        self._fetch = SnapshotFetcher(client, store, clock)
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
        self._fetching: asyncio.Task[VersionFile] | None = None
        self._next: VersionFile | None = None  # fetched beside the current one, and yet to be brought to its sequence
        self._needed_then = ""  # why that one cannot be the last: the current one cannot be followed meanwhile
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
                await self._step()
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
        tasks = [task for task in (self._examination, self._fetching) if task is not None]
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, *filter(None, (self._tidying,)), return_exceptions=True)
        for file in (self._file, self._next, *ended):
            if isinstance(file, VersionFile):
                await asyncio.to_thread(file.close)

    async def _step(self) -> None:
        file = self._file
        if file is None or self._needed not in ("", SCOPES_CHANGED):
            self.state.resyncing(self._needed)
            await self._move_on(await self._take(file))
        elif self._next is not None:
            await self._catch_up(file, self._next)
        elif self._needed:
            await self._poll_while_fetching(file)
        else:
            await self._poll(file)

    async def _take(self, former: VersionFile | None) -> VersionFile:
        """Return a new version, after the pause that is due."""
        await asyncio.sleep(self._pause_before_snapshot())
        selectors = None if former is None else list(former.selectors)
        file = await self._fetch(selectors)
        is_late = selectors is not None and set(file.selectors) != set(selectors)
        self._late = self._late + 1 if is_late else 0
        return file

    def _pause_before_snapshot(self) -> float:
        if self._needed == SCOPES_CHANGED:
            return resync_seconds(self._late, SCOPES_CAP_SECONDS, self._random)
        return resync_seconds(self._resyncs, self._cap_seconds, self._random)

    async def _take_in_the_end(self, former: VersionFile) -> VersionFile:
        """Return a new version, after as many attempts as it takes."""
        failures = 0
        while True:
            self.state.resyncing(self._needed)
            try:
                return await self._take(former)
            except (SyncError, OSError, sqlite3.Error) as error:
                failures += 1
                await asyncio.sleep(self._note(error, failures))

    async def _poll_while_fetching(self, file: VersionFile) -> None:
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._take_in_the_end(file))
        if self._needed_then:
            await asyncio.wait({self._fetching})
        if self._fetching.done():
            self._next, self._fetching = self._fetching.result(), None
        else:
            await self._poll(file, self._fetching)

    async def _catch_up(self, former: VersionFile, file: VersionFile) -> None:
        """Bring a new version to at least the sequence of the former one, and move on to it.

        When the server has nothing further before it is there, and still has not after some pauses (one of several may
        be a little behind the others), its log began anew: then the snapshot says what is so.
        """
        stalled, goal = 0, former.sequence
        try:
            while stalled <= MOST_STALLED and goal is not None and (file.sequence is None or file.sequence < goal):
                since = file.sequence
                changes = await self._client.changes(file.selectors, since=since, snapshot=file.txid, waits=False)
                self.state.heard()
                if since is None or changes.last > since:
                    await self._put(file, changes)
                    continue
                stalled += 1
                await asyncio.sleep(pause_seconds(stalled, self._cap_seconds, self._random))
        except SnapshotNeededError:
            await self._drop(file)
            raise
        await self._move_on(file)

    async def _drop(self, file: VersionFile) -> None:
        self._next = None
        await asyncio.to_thread(file.close)

    async def _move_on(self, file: VersionFile) -> None:
        """Have this version count from now on."""
        try:
            await asyncio.to_thread(self._store.settle, file)
        except OSError:
            await self._drop(file)
            raise
        former, self._next = self._file, None
        self._needed = self._needed_then or (SCOPES_CHANGED if file.is_outgrown else "")
        self._needed_then = ""
        self._resyncs, self._built_at = self._resyncs + 1, self._clock.monotonic()
        await self._serve(file)
        self.state.reached()
        if former is not None:
            await asyncio.gather(*filter(None, (self._tidying,)), return_exceptions=True)
            self._tidying = None
            await asyncio.to_thread(former.close)

    async def _poll(self, file: VersionFile, fetching: "asyncio.Task[VersionFile] | None" = None) -> None:
        """Ask for changes and apply them; give up waiting for any when a new version has been fetched."""
        asked_at = self._clock.monotonic()
        since = file.sequence
        asking = self._client.changes(file.selectors, since=since, snapshot=file.txid)
        changes = await (asking if fetching is None else unless(fetching, asking))
        if changes is None:
            return
        if since is not None and changes.last < since:
            raise SnapshotNeededError("the server begins anew: its last sequence is before ours")
        if changes.last != since:
            await self._apply(file, changes)
            self._quick = 0
        (self.state.reached if fetching is None else self.state.heard)()
        if self._clock.monotonic() - self._built_at > CALM_SECONDS:
            self._resyncs = 0
        if changes.last == since and self._clock.monotonic() - asked_at < QUICK_SECONDS:
            self._quick += 1
            pause = pause_seconds(self._quick, self._cap_seconds, self._random)
            await (asyncio.sleep(pause) if fetching is None else asyncio.wait({fetching}, timeout=pause))

    async def _apply(self, file: VersionFile, changes: ChangeList) -> None:
        news = await self._put(file, changes)
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

    async def _put(self, file: VersionFile, changes: ChangeList) -> News:
        return await asyncio.to_thread(file.apply, changes.changes, changes.last, self._clock.now())

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
            self._need("the stored one is damaged")

    async def _serve(self, file: VersionFile) -> None:
        self._file = file
        state = self.state
        state.version, state.sequence = file.version, str(file.sequence or "")
        state.snapshot_at = file.taken_at
        if state.state is State.STARTING:
            state.state = State.BEHIND
        await self._publish(file, None)

    def _need(self, reason: str) -> None:
        if self._fetching is None and self._next is None:
            self._needed, self._needed_then = reason, ""
        else:  # the snapshot that is on its way may be from before
            self._needed_then = reason

    async def _fail(self, error: Exception) -> None:
        await asyncio.sleep(self._note(error, self.state.failures + 1))

    def _note(self, error: Exception, failures: int) -> float:
        """Note a failed attempt; return the pause before the next one."""
        reason = str(error) if isinstance(error, SyncError) else f"{type(error).__name__}: {error}"
        pause = pause_seconds(failures, self._cap_seconds, self._random)
        self.state.failed(reason, pause)
        return pause
