"""Logs: one structured line per change of state, on stderr, with secrets masked.

``configure`` is called once per process. Everyone else says ``log = structlog.get_logger()`` and
``log.info("<room>.<what>", field=value)``: the first argument is a stable event key. Lines are for people on a
terminal, and JSON otherwise. What libraries say through ``logging`` takes the same way, as ``library.<logger>``.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from apidanalytics.clock import Clock, SystemClock
from apidanalytics.telemetry.masking import mask_fields
from apidanalytics.telemetry.recent import Recent
from apidanalytics.telemetry.repeating import DEFAULT_LINES, DEFAULT_SECONDS, Limit

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
    "panic": logging.CRITICAL,
}
"""Names of levels, the original's among them: what is below the level is not logged."""


def configure(
    *,
    level: str,
    form: str,
    process: str,
    stream: TextIO | None = None,
    clock: Clock | None = None,
    recent: Recent | None = None,
    repeat_seconds: float = DEFAULT_SECONDS,
    repeat_lines: int = DEFAULT_LINES,
) -> Callable[[], None]:
    """Set up the logs of this process. Called again, it replaces what was set up before.

    Returns:
        what says how many repeated lines were left out so far; to be called before the process ends.

    Args:
        level: a name in ``LEVELS``.
        form: ``text`` for people, ``json`` for machines, ``auto``: text if the stream is a terminal.
        process: what this process is, such as ``agent`` or ``worker-0``; part of every line.
        stream: where lines go; None: stderr.
        clock: tells the time of a line; None: the machine's.
        recent: keeps the last lines for whoever looks at the service.
        repeat_seconds: the interval in which repeated lines are counted; 0: none is left out.
        repeat_lines: so many lines of one event go through in it.

    """
    out = sys.stderr if stream is None else stream
    least = LEVELS[level]
    told_by = clock or SystemClock()
    limit = Limit(interval_seconds=repeat_seconds, most_lines=repeat_lines, clock=told_by)
    for_people = form == "text" or (form == "auto" and out.isatty())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            *([limit] if repeat_seconds else []),
            structlog.processors.format_exc_info,
            _Stamp(process, told_by, for_people=for_people),
            _mask,
            *([_Keep(recent)] if recent is not None else []),
            _text(coloured=out.isatty() and not os.environ.get("NO_COLOR")) if for_people else _json(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=_Lines(out),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_FromLibraries()], level=max(least, logging.WARNING), force=True)
    return limit.tell


class _Stamp:
    """Puts time, level, event and process first. A field of one of these names is kept as ``its_<name>``."""

    def __init__(self, process: str, clock: Clock, *, for_people: bool) -> None:
        self._process = process
        self._clock = clock
        self._for_people = for_people

    def __call__(self, _logger: WrappedLogger, _method: str, fields: EventDict) -> EventDict:
        level, event = fields.pop("level"), fields.pop("event")
        head = {"time": self._time(), "level": level, "event": event, "process": self._process}
        if not self._for_people:
            head["pid"] = os.getpid()
        return head | {f"its_{name}" if name in head else name: value for name, value in fields.items()}

    def _time(self) -> str:
        at = datetime.fromtimestamp(self._clock.now(), UTC)
        if self._for_people:
            return f"{at:%H:%M:%SZ}"
        return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


class _Keep:
    """Puts a copy of each line, with its time as Unix time, into the ring of the last ones."""

    def __init__(self, recent: Recent) -> None:
        self._recent = recent

    def __call__(self, _logger: WrappedLogger, _method: str, fields: EventDict) -> EventDict:
        self._recent.add({**fields, "at": time.time()})
        return fields


class _Lines:
    """The stream, one write per line. A line that cannot be written is lost: a full disk must not stop the service."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def __call__(self, *_args: Any) -> "_Lines":
        return self

    def msg(self, line: str) -> None:
        try:
            with self._lock:
                self._stream.write(line + "\n")
                self._stream.flush()
        except (OSError, ValueError):
            # A closed stream is a ValueError. There is no better place to say so.
            pass

    debug = info = warning = error = critical = fatal = msg


class _FromLibraries(logging.Handler):
    """Hands what libraries log to structlog, so that it is masked and formed like our own lines."""

    def emit(self, record: logging.LogRecord) -> None:
        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)
        try:
            fields = {"message": record.getMessage(), "exc_info": record.exc_info}
            structlog.get_logger().log(level, f"library.{record.name}", **fields)
        except Exception:  # noqa: BLE001 - whoever logs must not fail because of it; logging has its way to say so
            self.handleError(record)


def _mask(_logger: WrappedLogger, _method: str, fields: EventDict) -> EventDict:
    return mask_fields(fields)


def _text(*, coloured: bool) -> Processor:
    # A traceback is text by now; structlog's own ways to print one would show local variables.
    return structlog.dev.ConsoleRenderer(
        colors=coloured,
        timestamp_key="time",
        sort_keys=False,
        pad_event_to=24,
        exception_formatter=structlog.dev.plain_traceback,
    )


def _json() -> Processor:
    return structlog.processors.JSONRenderer()
