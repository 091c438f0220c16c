"""``apidanalytics events``: what happened lately, from the service's memory of its last log lines."""

import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from apidanalytics.cli.asking import Asked, asking_service, load
from apidanalytics.cli.drawing import STYLES, console, plain, print_json
from apidanalytics.cli.exit_code import ExitCode
from apidanalytics.cli.when import parse_when
from apidanalytics.errors import NotRunningError, RefusedError

PAGE: Final = 1000
LOOK_SECONDS: Final = 0.5
_HEAD: Final = frozenset({"number", "at", "time", "level", "event", "process", "pid", "hint", "exception"})

Event = dict[str, Any]


def run(
    config_file: Path | None,
    *,
    since: str | None,
    level: str,
    tenant: str | None,
    limit: int,
    follow: bool,
    as_json: bool,
) -> int:
    """Print the last events, oldest first, and with ``follow`` those that come, until Ctrl-C."""
    least = parse_when("--since", since, time.time())
    settings = load(config_file)
    try:
        asked = asking_service(settings)
    except NotRunningError as nobody:
        hint = "Events are kept in the memory of the service; what a stopped one said is in its log (stderr, journal)."
        raise NotRunningError(f"{nobody}. {hint}") from nobody
    out, wanted = console(), {"level": level, "tenant": tenant}
    answer = asked("events", **wanted, limit=PAGE)
    # Workers report once a second what they said, so it comes a little late.
    known = sorted((event for event in answer["events"] if event["at"] >= least), key=lambda event: event["at"])
    for event in known[-limit:]:
        _print(event, out, as_json=as_json)
    if follow:
        try:
            for event in _coming(asked, wanted, answer["last"]):
                _print(event, out, as_json=as_json)
        except KeyboardInterrupt:
            pass  # the way to end it
    return ExitCode.OK


def _coming(asked: Asked, wanted: Mapping[str, Any], last: int) -> Iterator[Event]:
    """Yield events as they come; a service that goes away is waited for."""
    is_there = True
    while True:
        time.sleep(LOOK_SECONDS)
        try:
            answer = asked("events", **wanted, after=last, limit=PAGE)
            if asked("events", limit=1)["last"] < last:
                last = 0  # another process, which counts anew
                continue
        except (NotRunningError, RefusedError):
            if is_there:
                print("The service does not answer; waiting for it. Ctrl-C ends.", file=sys.stderr, flush=True)
            is_there = False
            continue
        if not is_there:
            print("The service answers again.", file=sys.stderr, flush=True)
            is_there = True
        yield from answer["events"]
        last = answer["last"]


def _print(event: Event, out: Console, *, as_json: bool) -> None:
    if as_json:
        print_json(event)
        return
    level = event.get("level", "info")
    head = f"{datetime.fromtimestamp(event['at'], UTC):%H:%M:%SZ} "
    said = " ".join(f"{name}={_value(value)}" for name, value in event.items() if name not in _HEAD)
    line = Text.assemble((head, "dim"), (f"{level:7} ", STYLES.get(level, "")), (f"{event['event']} ", "bold"))
    line.append_text(plain(said))
    if event.get("process", "agent") != "agent":
        line.append(f" ({event['process']})", "dim")
    out.print(line, soft_wrap=True)
    for name in ("hint", "exception"):
        if event.get(name):
            last_line = str(event[name]).strip().splitlines()[-1]
            out.print(Text.assemble(" " * len(head), plain(last_line), style="dim"), soft_wrap=True)


def _value(value: Any) -> str:
    text = str(value)
    return f'"{text}"' if " " in text else text
