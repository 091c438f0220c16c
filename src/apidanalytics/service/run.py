"""Runs the service: one agent after the other in this process, until one of them ends for good.

Each takes over what the one before it handed over (``control.handover``), so between two of them nothing is
refused and nothing is lost. A reload is the next agent with other settings; an upgrade is the next agent in another
program, which replaces this one and keeps its process.
"""

import gc
import os
import sys
from functools import partial

import structlog
import uvloop

from apidanalytics.config import Settings
from apidanalytics.control.handover import Handover
from apidanalytics.service.build_agent import AgentParts
from apidanalytics.service.changing import CANNOT_START, Changing, Kind, Launch
from apidanalytics.service.heap import use_one_heap
from apidanalytics.service.log_setup import configure_logs
from apidanalytics.service.parts import OnReady
from apidanalytics.service.signals import Signals
from apidanalytics.telemetry.recent import Recent

log = structlog.get_logger()


def run_agent(launch: Launch, handover: Handover, on_ready: OnReady | None = None) -> int:
    """Run the service until a signal ends it; return its exit code. ``handover``: what this process was left.

    Raises:
        DataDirectoryLocked: another agent owns the data directory.
        OSError: an address or a directory cannot be used.

    """
    use_one_heap()
    # The modules stay: the garbage collector need not look at them with every few hundred files that are uploaded.
    gc.collect()
    gc.freeze()
    return uvloop.run(_Lives(launch, handover, on_ready).run())


class _Lives:
    """The agents of this process, one after the other."""

    def __init__(self, launch: Launch, handover: Handover, on_ready: OnReady | None) -> None:
        self._launch = launch
        self._on_ready = on_ready
        self._handover = handover
        self._signals = Signals()
        self._recent = Recent()

    async def run(self) -> int:
        self._signals.install()
        settings, before = self._launch.settings, None
        if self._launch.refused is not None:
            configure_logs(settings, "agent", self._recent)
            self._report_failure(self._launch.refused)
        while True:
            changing = Changing(self._launch, settings, self._handover.generation)
            try:
                code = await self._live(settings, changing)
            except CANNOT_START as error:
                if before is None:
                    self._handover.abandon()
                    raise
                self._report_failure(error)
                settings, before = before, None
                continue
            if changing.kind is None:
                return code
            self._handover.last_change = changing.last_change
            before, settings = settings, changing.next_settings
            if changing.kind is Kind.UPGRADE and not self._signals.waiting:
                self._handover.settings = settings.to_json()
                await self._replace_program()

    async def _live(self, settings: Settings, changing: Changing) -> int:
        """Be one agent, from its start to its end."""
        tell_left_out = configure_logs(settings, "agent", self._recent)
        on_ready = self._on_ready if self._handover.generation == 0 else None
        parts = AgentParts(
            settings,
            embedded=self._launch.embedded,
            on_ready=on_ready,
            handover=self._handover,
            changing=changing,
            recent=self._recent,
        )
        self._handover.generation += 1
        self._signals.attach(partial(changing.hear, parts.agent))
        try:
            return await parts.agent.run()
        finally:
            self._signals.detach()
            tell_left_out()

    def _report_failure(self, error: Exception) -> None:
        log.error("agent.reload_failed", error=str(error), hint="going on with the settings of before")
        if self._handover.last_change is not None:
            self._handover.last_change["error"] = str(error)

    async def _replace_program(self) -> None:
        """Become the program as it is on disk now. Returns when that cannot start, or a signal came just before."""
        environment = dict(os.environ)
        try:
            self._handover.leave(environment)
            if await self._signals.hold():
                os.execve(sys.executable, sys.orig_argv, environment)  # noqa: S606 - the command that started this process # nosec B606
        except OSError as error:
            self._signals.install()
            self._report_failure(error)
