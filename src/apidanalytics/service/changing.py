r"""Reload and upgrade, as they are asked for: checked, announced, and then left to the next agent.

::

    asked --checked--> handing over --> the next agent starts --> its workers serve --> those of before drain
      \--refused: nothing changed           \--it cannot start: the settings of before (reload)
"""

import asyncio
import signal
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import structlog

from apidanalytics.config import Settings
from apidanalytics.control.server import Answer
from apidanalytics.errors import ApidAnalyticsError, ConfigurationError
from apidanalytics.service.agent import Agent, AgentState, wait_until
from apidanalytics.service.reload import Change, as_answer, changes, check_new_program, load_anew

log = structlog.get_logger()

CANNOT_START: Final = (ApidAnalyticsError, OSError, sqlite3.Error)
"""What an agent raises that cannot start."""


class Kind(StrEnum):
    """What an agent hands over for."""

    RELOAD = "reload"
    """The same program goes on, with other settings."""
    UPGRADE = "upgrade"
    """The program as it is on disk now takes over this process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How this service was started, and so how it is started anew."""

    settings: Settings
    refused: ConfigurationError | None
    """Why these are the settings of the program before this one, and not those that are there now."""
    load: Callable[[], Settings]
    """Reads the settings again, from where they came from."""
    check_command: Sequence[str]
    """Has the program on disk check the configuration: prints the effective settings as JSON."""
    embedded: bool


class Changing:
    """Decides about one agent's end. ``kind`` says what comes after it; None: nothing."""

    def __init__(self, launch: Launch, settings: Settings, generation: int) -> None:
        """Know the settings in effect, and how many agents this process has been."""
        self._launch = launch
        self._settings = settings
        self._generation = generation
        self._tasks: set[asyncio.Task[Answer]] = set()
        self.kind: Kind | None = None
        self.next_settings = settings
        self.last_change: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return f"<Changing {self.kind or 'nothing'}, generation {self._generation}>"

    def hear(self, agent: Agent, number: signal.Signals) -> bool:
        """Follow a signal; False: it is for the next agent."""
        if number in (signal.SIGTERM, signal.SIGINT):
            return agent.signalled(number)
        if agent.state is AgentState.DRAINING:
            return not agent.hands_over
        kind = Kind.RELOAD if number is signal.SIGHUP else Kind.UPGRADE
        task = asyncio.get_running_loop().create_task(self.ask(agent, kind))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def ask(self, agent: Agent, kind: Kind) -> Answer:
        """Check, and begin to hand over; the answer says what changes, or everything that stands in the way."""
        await wait_until(lambda: agent.state is not AgentState.STARTING)
        try:
            found = await self._check(kind)
        except ConfigurationError as error:
            log.warning("agent.change_refused", kind=kind.value, problems=error.problems, hint="nothing was changed")
            return {"problems": error.problems}
        if agent.state is not AgentState.RUNNING:
            return {"error": "The service is stopping, or changing already."}
        self._begin(agent, kind, found)
        return {"changed": as_answer(found), "generation": self._generation}

    async def _check(self, kind: Kind) -> list[Change]:
        if kind is Kind.UPGRADE:
            await check_new_program(self._launch.check_command, self._settings)
            return []
        self.next_settings = await asyncio.to_thread(load_anew, self._launch.load, self._settings)
        return changes(self._settings, self.next_settings)

    def _begin(self, agent: Agent, kind: Kind, found: Sequence[Change]) -> None:
        shown = [f"{change.key}: {change.before} -> {change.after}" for change in found]
        hint = "workers serve on until the new ones do; nothing is refused"
        log.info("agent.changing", kind=kind.value, changed=shown, hint=hint)
        self.kind = kind
        self.last_change = {"kind": kind.value, "at": time.time(), "changed": as_answer(found), "error": None}
        agent.hand_over()
