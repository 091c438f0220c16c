"""Trouble that lasts is said once, with its reason, and its end is said too."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

_log: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lasting:
    """Trouble that has not ended yet."""

    reason: str
    since: float
    """Unix time."""


class Trouble:
    """One thing that can go wrong for a while. Logs ``<event>_failed`` at each new reason, ``<event>_mended`` after."""

    def __init__(self, event: str, hint: str, now: Callable[[], float] = time.time) -> None:
        self._event = event
        self._hint = hint
        self._now = now
        self._reason = ""
        self._since = 0.0

    @property
    def now(self) -> "Lasting | None":
        """What goes wrong at present."""
        return Lasting(reason=self._reason, since=self._since) if self._reason else None

    def begin(self, reason: str, **fields: object) -> None:
        """Say that it goes wrong, unless just that was said last."""
        if reason == self._reason:
            return
        self._since = self._since if self._reason else self._now()
        self._reason = reason
        _log.warning(f"{self._event}_failed", reason=reason, hint=self._hint, **fields)

    def end(self, **fields: object) -> None:
        """Say that it works again, if it did not."""
        if self._reason:
            self._reason = ""
            _log.info(f"{self._event}_mended", **fields)
