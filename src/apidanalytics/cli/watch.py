"""``apidanalytics status --watch``: a live view on a terminal, a line each time elsewhere.

The view has the terminal's other screen, so that what was on it is there again afterwards.
"""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from apidanalytics.cli import flow_view
from apidanalytics.cli.asking import load
from apidanalytics.cli.drawing import console, print_json
from apidanalytics.cli.exit_code import ExitCode
from apidanalytics.config import Settings
from apidanalytics.control.server import ask
from apidanalytics.errors import NotRunningError

HEAD_LINES: Final = 5
"""Lines of the table of tenants beside its rows; they get what is left of the screen."""
MOST_TENANTS: Final = 200

Status = dict[str, Any]


def run(config_file: Path | None, *, interval_seconds: float, as_json: bool) -> int:
    """Look again and again until Ctrl-C, which is the way to end it; a service that is away is waited for."""
    settings = load(config_file)
    try:
        with _terminating():
            if as_json:
                _print_all(settings, interval_seconds)
            elif sys.stdout.isatty():
                _live(settings, console(), interval_seconds)
            else:
                _lines(settings, interval_seconds)
    except KeyboardInterrupt:
        pass
    return ExitCode.OK


@contextmanager
def _terminating() -> Iterator[None]:
    """Make SIGTERM end it as Ctrl-C does, so that the terminal is left as it was."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _live(settings: Settings, out: Console, interval_seconds: float) -> None:
    with Live(console=out, screen=True, auto_refresh=False) as live:
        while True:
            live.update(_view(settings, out), refresh=True)
            time.sleep(interval_seconds)


def _view(settings: Settings, out: Console) -> RenderableType:
    try:
        status = _ask(settings, {"command": "status", "tenants": False})
        series = _ask(settings, {"command": "history"})["series"]
        above = flow_view.view(status, series, out.width)
        rows = out.height - len(out.render_lines(above)) - HEAD_LINES
        if rows < 1:
            return above
        waiting = {"command": "tenants", "sort": "oldest", "descending": True, "limit": min(rows, MOST_TENANTS)}
        tenants = _ask(settings, waiting)
    except NotRunningError as error:
        return Group(Text("stopped", style="bold yellow"), Text(f"{error}; waiting for it. Ctrl-C ends."))
    return Group(above, flow_view.tenants(tenants, status["now"], out.width)) if tenants["tenants"] else above


def _lines(settings: Settings, interval_seconds: float) -> None:
    """Print a line each time, and a finding when it is new."""
    told: dict[object, str] = {}
    while True:
        try:
            status = _ask(settings, {"command": "status", "tenants": False})
        except NotRunningError as error:
            found: dict[object, str] = {"stopped": f"stopped: {error}"}
        else:
            print(flow_view.line(status), flush=True)
            found = {(one["code"], one["tenant"]): f"{one['text']} {one['hint']}" for one in status["findings"]}
        for what, sentence in found.items():
            if what not in told:
                print(f"  ! {sentence}", flush=True)
        told = found
        time.sleep(interval_seconds)


def _print_all(settings: Settings, interval_seconds: float) -> None:
    while True:
        try:
            print_json(_ask(settings, {"command": "status", "tenants": False}))
        except NotRunningError as error:
            print(f"{error}; waiting for it.", file=sys.stderr, flush=True)
        time.sleep(interval_seconds)


def _ask(settings: Settings, request: dict[str, Any]) -> Status:
    answer = ask(settings.data.control, request)
    if "error" in answer:
        raise NotRunningError(answer["error"])
    return answer
