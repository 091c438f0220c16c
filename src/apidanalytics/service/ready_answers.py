"""Has ready answers about API keys made in the background, whenever that is worth it (``scopes.ready``)."""

import asyncio
import os
import sqlite3
import sys
import time
from collections.abc import Callable
from typing import Final

import structlog

from apidanalytics.apigeesync.database import VersionFile
from apidanalytics.backoff import growing
from apidanalytics.control.child import Child

log = structlog.get_logger()

LOOK_SECONDS: Final = 2.0
LONGEST_PAUSE_SECONDS: Final = 3600.0
"""After failures, which cost nobody anything but time, pauses grow up to this."""


class ReadyAnswersMaker:
    """Looks after the current version's file of ready answers. Without one, look-ups only take longer."""

    def __init__(self, current: Callable[[], VersionFile | None]) -> None:
        self._current = current

    def __repr__(self) -> str:
        return f"<ReadyAnswersMaker for {self._current()}>"

    async def run(self) -> None:
        """Make it when it is missing or has aged, until cancelled."""
        failures = 0
        while True:
            await asyncio.sleep(growing(failures + 1, first=LOOK_SECONDS, longest=LONGEST_PAUSE_SECONDS, factor=4.0))
            try:
                file = self._current()
                if file is not None and file.needs_ready_answers():
                    await self._make(file)
                failures = 0
            except (OSError, ValueError, sqlite3.Error) as error:
                failures += 1
                hint = "look-ups of API keys that are not remembered take longer meanwhile; tried again later"
                log.warning("scopes.ready_failed", reason=str(error), hint=hint)

    async def _make(self, file: VersionFile) -> None:
        began = time.monotonic()
        command = [sys.executable, "-m", "apidanalytics.scopes.ready_build", str(file.path)]
        child = await asyncio.to_thread(Child.spawn, command, environment=os.environ, descriptors=())
        try:
            status = await child.wait()
        finally:
            child.kill()
            await child.wait()
        if self._current() is not file:
            return  # of a version that is replaced: whatever became of it
        if status != 0:
            raise OSError(f"making ready answers ended with {status}")
        await asyncio.to_thread(file.forget_changed)
        log.info("scopes.ready", version=file.path.parent.name, seconds=round(time.monotonic() - began, 1))
