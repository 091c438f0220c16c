"""The agent: every part but ingest, joined, and started and stopped as a list."""

import asyncio
import secrets
from typing import Final

import structlog

from apidanalytics.clock import SystemClock
from apidanalytics.collection.embedded import EmbeddedCollection
from apidanalytics.config import Settings, warnings
from apidanalytics.control.channel import Message
from apidanalytics.control.handover import Handover
from apidanalytics.control.lock import DataDirectoryLock
from apidanalytics.idempotency.settler import Settler
from apidanalytics.pack.packer import Packer
from apidanalytics.pack.recover import Recovery, waiting_spools
from apidanalytics.pack.strangers import Strangers
from apidanalytics.scopes.source import Published
from apidanalytics.service.access import Access
from apidanalytics.service.administration import Administration
from apidanalytics.service.agent import Agent, Step, wait_until
from apidanalytics.service.certificates import certificates
from apidanalytics.service.changing import Changing
from apidanalytics.service.crew import Crew
from apidanalytics.service.deliverable import Deliverable
from apidanalytics.service.disk import DiskKeeper
from apidanalytics.service.files import check_files_at_start
from apidanalytics.service.identity import instance_id
from apidanalytics.service.keep_disk import disk_keeper
from apidanalytics.service.keys import settler, sweep_and_settle
from apidanalytics.service.packing import Packing
from apidanalytics.service.parts import (
    OnReady,
    adoption,
    collection_client,
    embedded_collection,
    exchanger,
    fallback_header,
    host_and_port,
    own,
    scopes_message,
    tenant_names,
    uploader,
)
from apidanalytics.service.scope_steps import ScopeSteps
from apidanalytics.service.watched import Watched
from apidanalytics.spool.segment import SegmentReader
from apidanalytics.telemetry.recent import Recent
from apidanalytics.upload.exchange import Exchanger
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.token import FixedToken, TokenSource
from apidanalytics.upload.uploader import Uploader

log = structlog.get_logger()

EXAMPLE_SCOPE: Final = "testid"
"""The scope in the example data that the first curl line posts to."""

SERVING_FIRST_SECONDS: Final = 5.0
"""How long a backlog waits, at start, for the workers to serve."""


class AgentParts:
    """The parts of the agent: each ``_start_x`` makes what its step needs, each ``_stop_x`` ends it."""

    _access: Access
    _lock: DataDirectoryLock | None = None
    _ledger: Ledger
    _watched: Watched
    _administration: Administration | None = None
    _endpoint: EmbeddedCollection | None = None
    _deliverable: Deliverable
    _base_url: str
    _token: TokenSource
    _published: Published | None = None
    _exchanger: Exchanger
    _uploader: Uploader | None = None
    _is_uploading = False
    _packing: Packing
    _disk: DiskKeeper | None = None
    _keys: Settler
    _instance_id: str

    def __init__(
        self,
        settings: Settings,
        *,
        embedded: bool,
        on_ready: OnReady | None,
        handover: Handover,
        changing: Changing,
        recent: Recent,
    ) -> None:
        self._settings = settings
        self._data = settings.data
        self._embedded = embedded
        self._on_ready = on_ready
        self._clock = SystemClock()
        self._recent = recent
        self._handover = handover
        self._changing = changing
        self._strangers = Strangers()
        self.agent = Agent(
            shutdown_seconds=settings.shutdown_timeout, clock=self._clock, is_successor=handover.lock is not None
        )
        self._crew = Crew(settings, self.agent, handover, self._clock, recent.add)
        self.agent.steps = [
            Step(name="directory", start=self._start_directory, stop=self._stop_directory),
            Step(name="ledger", start=self._start_ledger, stop=self._stop_ledger),
            Step(name="administration", start=self._start_administration, stop=self._stop_administration),
            Step(
                name="token",
                start=lambda: self._scopes.start_token(self._instance_id),
                stop=lambda _: self._scopes.stop_token(),
            ),
            Step(name="collection", start=self._start_collection, stop=self._stop_collection),
            Step(name="upload", start=self._start_upload, stop=self._stop_upload),
            Step(name="packing", start=self._start_packing, stop=self._stop_packing),
            Step(name="workers", start=self._start_workers, stop=self._stop_workers),
            Step(name="scopes", start=self._start_scopes, stop=lambda _: self._scopes.stop()),
        ]
        self._scopes = ScopeSteps(
            settings,
            self.agent,
            embedded=embedded,
            clock=self._clock,
            on_published=self._publish,
            versions_in_use=self._versions_in_use,
        )

    # In the order of the steps.

    async def _start_directory(self) -> None:
        await asyncio.to_thread(check_files_at_start, self._settings)
        self._access = await asyncio.to_thread(Access, self._settings, self._crew.broadcast, self._clock)
        self._data.create()
        self._lock = self._handover.lock or own(self._data)
        self._instance_id = instance_id(self._settings)

    async def _stop_directory(self, _seconds: float) -> None:
        self._handover.lock = self._lock
        if self._lock is not None and not self.agent.hands_over:
            self._lock.release()

    async def _start_ledger(self) -> None:
        self._ledger = await asyncio.to_thread(Ledger.open, self._data.ledger, self._data.damaged, self._clock.now())

    async def _stop_ledger(self, _seconds: float) -> None:
        await asyncio.to_thread(self._ledger.close)

    async def _start_collection(self) -> None:
        self._base_url = self._settings.uap_server_base
        self._token = self._scopes.token()
        if self._base_url:
            return
        secret = secrets.token_urlsafe(24)
        self._deliverable = Deliverable(self._ledger.totals)
        self._endpoint = embedded_collection(self._settings, secret, self._deliverable, self._clock)
        self._base_url = await self._endpoint.start(*host_and_port(self._settings.collection_listen))
        self._token = FixedToken(secret)

    async def _stop_collection(self, _seconds: float) -> None:
        if self._endpoint is not None:
            await self._endpoint.stop()

    async def _start_upload(self) -> None:
        self._exchanger = exchanger(self._settings)
        await self._exchanger.open()
        client = collection_client(self._settings, self._base_url, self._exchanger, self._token, self._clock)
        self._uploader = uploader(self._settings, self._ledger, client, self._watched.attempts, self._clock)
        await self._uploader.pausing.load()

    async def _stop_upload(self, seconds: float) -> None:
        """Try one pass over what is staged, then let what is on its way finish."""
        if not self._is_uploading or self._uploader is None:
            await self._exchanger.aclose()
            return
        try:
            if not self.agent.hands_over:
                async with asyncio.timeout(seconds):
                    await self._uploader.drain_pass()
        except TimeoutError:
            log.info("agent.upload_unfinished", hint="what is left is uploaded after the next start")
        await self._uploader.stop(1.0)
        await self._exchanger.aclose()

    async def _start_packing(self) -> None:
        assert self._uploader is not None  # an earlier step
        recovery = Recovery(self._data, self._clock, self._strangers)
        self._keys = settler(self._settings, self._ledger, self._clock)
        packer = Packer(
            self._data,
            self._ledger,
            SegmentReader.open,
            clock=self._clock,
            fallback=lambda number: fallback_header(self._settings, number, self._instance_id, self._clock.now()),
            spool_goes=self._keys.spool_goes,
        )
        self._packing = Packing(
            sweep=sweep_and_settle(recovery.sweep, self._keys),
            waiting=lambda: waiting_spools(self._data, self._strangers),
            pack=packer.pack,
            on_staged=self._uploader.notify,
            clock=self._clock,
            # With keys it does not: all who claim one wait for their turn while the packer has it.
            gives_way=lambda: self._crew.holds_back and not self._keys.is_used(),
        )
        self._watched.packing, self._watched.keys = self._packing, self._keys
        # What dead workers left is taken over before new workers fill tmp/; it is packed while they serve.
        await asyncio.to_thread(recovery.clear)
        await asyncio.to_thread(recovery.sweep)
        self.agent.spawn("delivery", self._deliver())

    async def _deliver(self) -> None:
        # Packing a backlog would take the cores from the workers that are starting, and batches come first.
        await wait_until(lambda: self._crew.is_serving, SERVING_FIRST_SECONDS)
        await self._packing.in_thread(adoption(self._data, self._ledger, self._clock, self._strangers).run)
        assert self._uploader is not None
        self._is_uploading = True
        self.agent.spawn("upload", self._uploader.run())
        await self._packing.run()

    async def _stop_packing(self, seconds: float) -> None:
        await self.agent.cancel("delivery")
        if not self.agent.hands_over:
            await self._packing.drain(seconds)
        await self._packing.aclose()
        self._keys.close()

    async def _start_workers(self) -> None:
        self._crew.greeting = self._greeting
        assert self._uploader is not None  # an earlier step
        self._disk = disk_keeper(self._settings, self._ledger, self._uploader, self._crew, self._clock)
        await self._crew.start(self._instance_id, self._packing.wake, self._disk.hear)
        self.agent.spawn("disk", self._disk.run())
        self.agent.spawn("access", self._access.run())
        self._warn()

    async def _stop_workers(self, seconds: float) -> None:
        try:
            await self._crew.stop(seconds)
        finally:  # until they are gone they need room on the disk, and to know who may post
            await asyncio.gather(self.agent.cancel("disk"), self.agent.cancel("access"))

    def _greeting(self) -> list[Message]:
        # The tokens first: with the scope data a worker begins to take batches.
        scopes = [] if self._published is None else [scopes_message(self._published)]
        return [*self._access.greeting(), *scopes]

    def _warn(self) -> None:
        for warning in warnings(self._settings, is_exposed=self._crew.is_exposed):
            log.warning("agent.unprotected", api=self._crew.url, hint=warning)

    async def _start_scopes(self) -> None:
        await self._scopes.start()
        if self._on_ready is not None:
            self.agent.spawn("ready", self._say_ready(self._on_ready))

    async def _publish(self, published: Published) -> None:
        if self._endpoint is not None and (published.news is None or published.news.may_bring_tenants):
            self._deliverable.add(await asyncio.to_thread(tenant_names, published))
        self._published = published
        self._crew.broadcast(scopes_message(published))

    def _versions_in_use(self) -> frozenset[str]:
        return frozenset(worker["scopes"] for worker in self._crew.everyone() if worker.get("scopes"))

    async def _say_ready(self, on_ready: OnReady) -> None:
        """Say once that the service is ready, then rest: a task that ends by itself would stop the agent."""
        await wait_until(lambda: self._crew.is_serving)
        on_ready(self._crew.url, EXAMPLE_SCOPE if self._embedded else None)
        await asyncio.Event().wait()

    # Who looks at it.

    async def _start_administration(self) -> None:
        self._watched = Watched(
            settings=self._settings,
            clock=self._clock,
            started_at=self._clock.now(),
            agent=self.agent,
            handover=self._handover,
            ledger=self._ledger,
            recent=self._recent,
            access=self._access,
            crew=self._crew,
            scopes=self._scopes,
            uploader=lambda: self._uploader,
            disk=lambda: self._disk,
            published=lambda: self._published,
            admin_url=lambda: self._administration.url if self._administration else None,
            certificates=await asyncio.to_thread(certificates, self._settings),
        )
        self._administration = await asyncio.to_thread(Administration, self._watched, self._changing)
        await self._administration.start()

    async def _stop_administration(self, _seconds: float) -> None:
        if self._administration is not None:
            await self._administration.stop()
