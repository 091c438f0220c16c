"""Lines that repeat: let through so often, then counted, and the count is said.

Two things are too much within one interval: the same warning or error again and again, and any event very often, such
as the same trouble of thousands of tenants. What is left out of an event is said in one line, ``log.left_out``, at the
end of the interval, so that no count is ever lost for want of another line.
"""

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog
from structlog.typing import EventDict, WrappedLogger

from apidanalytics.clock import Clock

LEFT_OUT: Final = "log.left_out"
"""The event that says how many lines were left out; nothing holds it back."""

SAME_LINES: Final = 3
"""So often the same warning or error goes through within an interval: also a person's second and third try."""

MOST_KEYS: Final = 2000
"""Lines that are remembered; the one seen longest ago is forgotten first."""

DEFAULT_SECONDS: Final = 60.0
DEFAULT_LINES: Final = 100

_SERIOUS: Final = frozenset({"warning", "error", "critical"})
_UNLIMITED: Final = frozenset({"debug"})
"""Whoever asks for these lines wants all of them."""


class Window:
    """Lets each key through so often within an interval. Not for several threads at once."""

    def __init__(self, interval_seconds: float, most: int, clock: Clock) -> None:
        self._interval_seconds = interval_seconds
        self._most = most
        self._clock = clock
        self._seen: dict[object, tuple[float, int]] = {}

    def allow(self, key: object) -> bool:
        """Count one, and tell whether it may go through."""
        now = self._clock.monotonic()
        began, count = self._seen.pop(key, (now, 0))
        if now - began >= self._interval_seconds:
            began, count = now, 0
        if len(self._seen) >= MOST_KEYS:
            self._seen.pop(next(iter(self._seen)))
        self._seen[key] = (began, count + 1)
        return count < self._most


class Limit:
    """A step of the logs that drops what repeats. From any thread."""

    def __init__(self, *, interval_seconds: float, most_lines: int, clock: Clock) -> None:
        """``most_lines`` of one event within the interval, and of the same line ``SAME_LINES``."""
        self._interval_seconds = interval_seconds
        self._same = Window(interval_seconds, SAME_LINES, clock)
        self._events = Window(interval_seconds, most_lines, clock)
        self._left_out: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self.start_timer: Callable[[], threading.Timer] = self._timer_for_tell

    def __repr__(self) -> str:
        return f"<Limit: {self._left_out.total()} lines left out and not said yet>"

    def __call__(self, _logger: WrappedLogger, method: str, fields: EventDict) -> EventDict:
        """Return the line's fields, or drop it.

        Raises:
            structlog.DropEvent: it is left out, and counted.

        """
        level, event = fields.get("level", method), fields.get("event", "")
        if event == LEFT_OUT or level in _UNLIMITED:
            return fields
        with self._lock:
            # The window of the line first: what is dropped there does not count as a line of its event.
            if (level not in _SERIOUS or self._same.allow(_line(fields))) and self._events.allow(event):
                return fields
            self._left_out[event, level] += 1
            if self._timer is None:
                self._timer = self.start_timer()
        raise structlog.DropEvent

    def tell(self) -> None:
        """Say what was left out since it was last said. At the end of the process, too."""
        with self._lock:
            left_out, self._left_out = self._left_out, Counter()
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        log = structlog.get_logger()
        for (event, level), lines in sorted(left_out.items()):
            hint = (
                "the same line, or very many of one event, within the last interval (apidanalytics_log_repeat_interval)"
            )
            log.log(_NUMBERS.get(level, 20), LEFT_OUT, of=event, lines=lines, hint=hint)

    def _timer_for_tell(self) -> threading.Timer:
        timer = threading.Timer(self._interval_seconds, self.tell)
        timer.daemon = True
        timer.start()
        return timer


_NUMBERS: Final[Mapping[str, int]] = {"info": 20, "warning": 30, "error": 40, "critical": 50}


def _line(fields: Mapping[str, Any]) -> str:
    """Return what tells two lines apart; of an exception its kind only."""
    parts = [f"{name}={value!r}" for name, value in sorted(fields.items()) if name != "exc_info"]
    error = fields.get("exc_info")
    return "\n".join([*parts, type(error).__name__])[:2000]
