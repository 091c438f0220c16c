"""The collection service as a process: started, reloaded, drained."""

import asyncio
import gc
import signal
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import structlog
import uvloop
from aiohttp import web

from apidanalytics.clock import SystemClock
from apidanalytics.collection.http_log import HTTP_LOG
from apidanalytics.collection.local import PREFIX
from apidanalytics.collection.server import CollectionServer
from apidanalytics.collection.settings import CollectionSettings, RefusedSettingsError, load
from apidanalytics.config import parse_listen
from apidanalytics.errors import ConfigurationError
from apidanalytics.file_versions import Resting, Version, look_at
from apidanalytics.service.agent import Agent, Step
from apidanalytics.service.collection_parts import Built, build, refresh, rotation
from apidanalytics.service.collection_tls import CertificateWatch, certificate_ends_at, collection_tls
from apidanalytics.service.notify import notify
from apidanalytics.service.signals import ENDING

LOOK_SECONDS: Final = 1.0
"""How often the files are looked at for a change; what changed must rest for as long before it is read."""
REFRESH_SECONDS: Final = 60.0
"""How often credentials are looked after; botocore fetches new ones a quarter of an hour before the old ones end."""
RETRY_SECONDS: Final = 5.0
"""How often while a store has none."""
CERTIFICATE_SECONDS: Final = 600.0
"""How often it is looked at how long the certificate is good."""

_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_NEEDS_RESTART: Final = ("listen", "base_path")

OnReady = Callable[[str], None]

log = structlog.get_logger()

_AFTER_RESTART: Final = "the new value counts after a restart of the collection service"


def run_collection(config_file: Path, settings: CollectionSettings, on_ready: OnReady) -> int:
    """Run the service until a signal ends it; return its exit code.

    Raises:
        ConfigurationError: a store cannot be made, whatever the system does.
        OSError: the address is not to be had, or the certificate, a folder or the audit log cannot be used: what a
            later start may find mended.

    """
    return uvloop.run(_run(config_file, settings, on_ready))


async def _run(config_file: Path, settings: CollectionSettings, on_ready: OnReady) -> int:
    service = CollectionService(config_file, settings, on_ready)
    loop = asyncio.get_running_loop()
    for number in ENDING:
        loop.add_signal_handler(number, service.agent.signalled, number)
    loop.add_signal_handler(signal.SIGHUP, service.ask_for_reload)
    return await service.agent.run()


class CollectionService:
    """The parts: each ``_start_x`` makes what its step needs, each ``_stop_x`` ends it."""

    _built: Built
    _server: CollectionServer
    _runner: web.AppRunner
    _tls: ssl.SSLContext | None = None
    _good_until: float | None = None

    def __init__(self, config_file: Path, settings: CollectionSettings, on_ready: OnReady) -> None:
        self._config_file = config_file
        self._settings = settings
        self._on_ready = on_ready
        self._clock = SystemClock()
        self._certificate = CertificateWatch(self._clock)
        self._url = ""
        self._asked = asyncio.Event()
        self.agent = Agent(shutdown_seconds=settings.service["shutdown_timeout"], clock=self._clock)
        self.agent.steps = [
            Step(name="stores", start=self._start_stores, stop=self._stop_stores),
            Step(name="server", start=self._start_server, stop=self._stop_server),
            Step(name="reloading", start=self._start_reloading, stop=self._stop_reloading),
        ]

    def ask_for_reload(self) -> None:
        """Read the file again soon."""
        self._asked.set()

    async def _start_stores(self) -> None:
        self._built = await asyncio.to_thread(build, self._settings, None, self._clock)
        self.agent.spawn("credentials", self._keep_credentials())

    async def _stop_stores(self, _seconds: float) -> None:
        await self.agent.cancel("credentials")
        self._built.in_force.audit.close()

    async def _start_server(self) -> None:
        service = self._settings.service
        self._server = CollectionServer(self._built.in_force, self._clock)
        self._tls = await asyncio.to_thread(collection_tls, self._settings)
        self._good_until = await asyncio.to_thread(certificate_ends_at, self._settings)
        app = self._server.application(service["base_path"] or "")
        self._runner = web.AppRunner(
            app, access_log=None, logger=HTTP_LOG, shutdown_timeout=service["shutdown_timeout"]
        )
        await self._runner.setup()
        address = parse_listen(service["listen"])
        assert isinstance(address, tuple)  # the key takes no unix socket
        host, port = address
        await web.TCPSite(self._runner, host or None, port, ssl_context=self._tls).start()
        self._url = self._own_url(self._runner.addresses[0])
        self._place_local_stores(self._built)
        if self._tls is None and host not in _LOOPBACK:
            log.warning("collection.without_tls", listen=service["listen"], hint="tokens and URLs travel in the clear")

    async def _stop_server(self, _seconds: float) -> None:
        self._server.is_stopping = True
        await self._runner.cleanup()

    async def _start_reloading(self) -> None:
        self.agent.spawn("reloading", self._watch())
        self.agent.spawn("certificate", self._watch_certificate())
        log.info("collection.ready", url=self._url, stores=sorted(self._built.in_force.stores))
        # What is there now stays: the garbage collector need not look at it with every few hundred URLs.
        gc.collect()
        gc.freeze()
        self._on_ready(self._url)

    async def _stop_reloading(self, _seconds: float) -> None:
        await self.agent.cancel("reloading")
        await self.agent.cancel("certificate")

    # What runs beside the requests.

    async def _keep_credentials(self) -> None:
        """Let the stores renew what they sign with, in a thread, so that no request waits for it."""
        has_all = True
        while True:
            await asyncio.sleep(REFRESH_SECONDS if has_all else RETRY_SECONDS)
            has_all = await asyncio.to_thread(refresh, self._built.in_force.stores)

    async def _watch_certificate(self) -> None:
        while True:
            self._certificate.look(self._good_until)
            await asyncio.sleep(CERTIFICATE_SECONDS)

    async def _watch(self) -> None:
        """Reload when asked to, and when a file has changed and rests; also one that changed while it was read."""
        files = self._built.settings.files
        resting = Resting(tuple(files.values()))
        while True:
            is_asked = await self._asked_within(LOOK_SECONDS)
            seen = await asyncio.to_thread(look_at, files)
            is_due = resting.is_due(seen)
            if is_asked or is_due:
                files = await self._reload(dict(zip(files, seen, strict=True)))
                resting.has_read(tuple(files.values()))

    async def _asked_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._asked.wait()
        except TimeoutError:
            return False
        self._asked.clear()
        return True

    async def _reload(self, seen: Mapping[Path, Version]) -> Mapping[Path, Version]:
        """Put what the file says now in force as a whole, or nothing of it.

        ``seen`` are the files that were watched, among them those of what is in force; returns those to watch from now
        on, as they were when they were read. After a refusal, these are also those that the refused file names.
        """
        notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        before, read, built = self._built, seen, None
        try:
            settings = await asyncio.to_thread(load, self._config_file)
            read = settings.files
            built = await asyncio.to_thread(build, settings, before, self._clock)
            await asyncio.to_thread(self._renew_tls, settings)
        except (ConfigurationError, OSError) as error:
            if isinstance(error, RefusedSettingsError):
                read = error.files
            read = {**{file: seen[file] for file in before.settings.files}, **read}
            if built is not None:
                _let_go(built, instead=before)
            problems = error.problems if isinstance(error, ConfigurationError) else [str(error)]
            log.error("collection.reload_refused", problems=problems, hint="what was in force stays")  # noqa: TRY400 - the reason says it all
        else:
            self._place_local_stores(built)
            built.in_force.audit.rotation = rotation(settings.service)
            self._built, self._server.in_force = built, built.in_force
            self._certificate.look(self._good_until)
            _let_go(before, instead=built)
            log.info("collection.reloaded", stores=sorted(settings.stores), tokens=len(settings.tokens))
        notify("READY=1")
        return read

    def _renew_tls(self, settings: CollectionSettings) -> None:
        """Take up a new certificate; connections that are open keep the old one."""
        for key in _NEEDS_RESTART:
            if settings.service[key] != self._settings.service[key]:
                log.warning("collection.needs_restart", key=key, hint=_AFTER_RESTART)
        fresh = collection_tls(settings)
        if (fresh is None) != (self._tls is None):
            log.warning("collection.needs_restart", key="tls_cert", hint=_AFTER_RESTART)
        elif self._tls is not None:
            self._tls.load_cert_chain(settings.service["tls_cert"], settings.service["tls_key"])
            self._good_until = certificate_ends_at(settings)

    def _place_local_stores(self, built: Built) -> None:
        for name, store, public_url in built.local_stores():
            store.base_url = f"{public_url or self._url}{PREFIX}{name}/"

    def _own_url(self, bound: tuple[str, int]) -> str:
        host, port = str(bound[0]), bound[1]
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _let_go(built: Built, *, instead: Built) -> None:
    """Close what ``built`` does not share with the one that counts in its place."""
    if built.in_force.audit is not instead.in_force.audit:
        built.in_force.audit.close()
