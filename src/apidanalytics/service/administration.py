"""What looks at the service and takes orders: the commands of ``control.sock``, the administration address, and OTLP.

It starts early, so that a slow start can be watched, and stops late, so that draining can.
"""

import asyncio
import sqlite3
from typing import TYPE_CHECKING

import structlog

from apidanalytics.admin.guard import Guard, Token
from apidanalytics.admin.labels import LabelledTenants
from apidanalytics.admin.server import AdminServer
from apidanalytics.config import Settings
from apidanalytics.config.kinds import OFF
from apidanalytics.control.server import Answer, ControlServer, Request
from apidanalytics.errors import ConfigurationError
from apidanalytics.service import failed
from apidanalytics.service.agent import AgentState
from apidanalytics.service.census import Census
from apidanalytics.service.changing import Changing, Kind
from apidanalytics.service.commands import Commands
from apidanalytics.service.history import SAMPLE_SECONDS
from apidanalytics.service.identity import instance_id
from apidanalytics.service.insight import Insight
from apidanalytics.service.parts import host_and_port
from apidanalytics.service.tls import admin_tls
from apidanalytics.service.watched import Watched
from apidanalytics.upload.view import LedgerView

if TYPE_CHECKING:
    from apidanalytics.admin.otlp import Sender

log = structlog.get_logger()


class Administration:
    """Made once the ledger is open."""

    def __init__(self, watched: Watched, changing: Changing) -> None:
        self._watched = watched
        self._changing = changing
        self._agent = watched.agent
        settings = watched.settings
        self._view = LedgerView.open(settings.data.ledger)
        census = Census(settings.data, watched.ledger, self._view, watched.clock)
        self._insight = Insight(watched, census, self._view)
        self._commands = Commands(self._insight)
        self._control = ControlServer(settings.data.control, self._answer)
        self._labelled = LabelledTenants(settings.metrics_tenants)
        self._server: AdminServer | None = None
        self._otlp: Sender | None = None

    def __repr__(self) -> str:
        return f"<Administration {self._server!r}, {self._insight!r}>"

    @property
    def url(self) -> str | None:
        """Where the status page is; None while it is not served."""
        return self._server.url if self._server is not None else None

    async def start(self) -> None:
        """Answer commands, and serve the administration address if there is one.

        Raises:
            ConfigurationError: OTLP is wanted, and its extra is not installed.
            OSError: an address cannot be used.

        """
        await self._control.start()
        settings = self._watched.settings
        self._agent.spawn("history", self._sample())
        if settings.admin_listen != OFF:
            self._server = _server(settings, self._commands, self._labelled)
            await self._server.start()
            self._agent.spawn("administration", self._server.run())
        if settings.otlp_endpoint is not None:
            self._start_otlp(settings.otlp_endpoint)

    def _start_otlp(self, endpoint: str) -> None:
        from apidanalytics.admin.otlp import Sender  # noqa: PLC0415 - what is off is not loaded

        settings = self._watched.settings
        try:
            self._otlp = Sender(
                endpoint,
                lambda: self._commands.answer({"command": "metrics"}),
                self._labelled,
                interval_seconds=settings.otlp_interval,
                instance_id=instance_id(settings),
            )
        except ImportError as error:
            problem = "apidanalytics_otlp_endpoint: needs the extra apidanalytics[otel]: install it, or leave it out"
            raise ConfigurationError([problem]) from error
        self._agent.spawn("otlp", self._otlp.run())

    async def stop(self) -> None:
        """End all of it; stopping twice is fine."""
        await self._agent.cancel("otlp")
        if self._otlp is not None:
            await self._otlp.aclose()
        await self._agent.cancel("history")
        await self._agent.cancel("administration")
        if self._server is not None:
            await self._server.stop()
        await self._control.stop()
        await asyncio.to_thread(self._view.close)

    async def _answer(self, request: Request) -> Answer:
        """Answer on ``control.sock``, which alone can order a reload or an upgrade."""
        if request.get("command") not in set(Kind):
            return await self._ask(request)
        if self._agent.state is AgentState.STARTING:
            return {"error": "the service is starting, and cannot say more yet"}
        return await self._changing.ask(self._agent, Kind(request["command"]))

    async def _ask(self, request: Request) -> Answer:
        if str(request.get("command", "")).startswith("failed."):
            return await failed.answer(request, self._watched.ledger, self._watched.uploader())
        return await self._commands.answer(request)

    async def _sample(self) -> None:
        while True:
            try:
                await self._insight.sample()
            except (OSError, sqlite3.Error) as error:
                log.warning("admin.sample_failed", error=str(error), hint="the charts have a gap")
            await asyncio.sleep(SAMPLE_SECONDS)


def _server(settings: Settings, commands: Commands, labelled: LabelledTenants) -> AdminServer:
    from apidanalytics.admin.application import application  # noqa: PLC0415 - what is off is not loaded

    host, port = host_and_port(settings.admin_listen)
    token = Token(settings.admin_token_file) if settings.admin_token_file is not None else None
    is_protected = settings.admin_client_ca is not None
    guard = Guard(token=token, is_protected=is_protected, own_names=frozenset({host.lower()} - {""}))
    served = application(commands.answer, guard, labelled)
    return AdminServer(served, host=host, port=port, tls=admin_tls(settings))
