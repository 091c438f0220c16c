"""``apidanalytics status``: whether it is well, and where each tenant's records are."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from apidanalytics.cli import flow_view
from apidanalytics.cli.asking import load, no_directory
from apidanalytics.cli.drawing import age, console, plain, print_json
from apidanalytics.cli.exit_code import ExitCode
from apidanalytics.cli.fitting import Fitting
from apidanalytics.errors import NotRunningError
from apidanalytics.health.words import listed
from apidanalytics.service.overview import ask_status, stopped_status

RARE = frozenset({"set_aside", "dropped"})
"""Shown only where there is anything."""
MOST_TENANTS = 50
"""Listed on a terminal."""
STATES = ("spooled", "staged", "failed", "uploaded", "set_aside", "dropped")


def run(config_file: Path | None, *, as_json: bool) -> int:
    """Print the state of the service; from its data directory alone when it is down (exit code 4)."""
    settings = load(config_file)
    code = ExitCode.OK
    try:
        status = ask_status(settings)
    except NotRunningError as error:
        if not settings.data.root.is_dir():
            raise NotRunningError(no_directory(settings)) from error
        print(f"{error}; this is what its data directory holds.", file=sys.stderr)
        status, code = stopped_status(settings), ExitCode.NOT_RUNNING
    if as_json:
        print_json(status)
    else:
        _show(status, console())
    return code


def _show(status: dict[str, Any], out: Console) -> None:
    out.print(_headline(status))
    if status["state"] == "stopped":
        for sentence in _pauses(status["uploads"]):
            out.print(plain(sentence), style="yellow", soft_wrap=not sys.stdout.isatty())
    else:
        for finding in flow_view.findings(status, len(status["findings"])):
            out.print(finding, soft_wrap=not sys.stdout.isatty())
    if status["workers"]:
        out.print(Fitting(_workers(status["workers"])))
    out.print(Fitting(_tenants(status["tenants"], status["totals"])))
    if status.get("draining"):
        pids = ", ".join(str(worker["pid"]) for worker in status["draining"])
        out.print(Text(f"Workers of before the last change, draining: {pids}", style="yellow"))


def _headline(status: dict[str, Any]) -> Text:
    if status["state"] == "stopped":
        return Text.assemble(("stopped", "bold yellow"), f"   {status['data_directory']}")
    return flow_view.headline(status)


def _pauses(uploads: dict[str, Any]) -> Iterator[str]:
    """Yield what a start will not upload."""
    if uploads["paused_since"] is not None:
        yield f"! All uploads have been paused by hand for {age(uploads['paused_since'])}; a start does not end that."
    if uploads["paused_tenants"]:
        yield f"! Uploads of {listed(uploads['paused_tenants'])} are paused by hand; a start does not end that."


def _workers(workers: list[dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title="workers", title_justify="left", header_style="bold")
    for title in ("worker", "pid", "state", "restarts", "connections", "requests"):
        table.add_column(title, justify="left" if title == "state" else "right", no_wrap=True)
    for worker in workers:
        values = (worker["index"], worker["pid"], worker["state"], worker["restarts"])
        table.add_row(*map(str, values), str(worker.get("connections", "-")), str(worker.get("requests", "-")))
    return table


def _tenants(tenants: dict[str, Any], totals: dict[str, Any]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title="records (files)", title_justify="left", header_style="bold")
    table.add_column("tenant", overflow="fold")
    states = [state for state in STATES if state not in RARE or totals[state]["records"] or totals[state]["files"]]
    for title in ("accepted", *states):
        table.add_column(title.replace("_", " "), justify="right", no_wrap=True)
    shown = sorted(tenants.items())[: MOST_TENANTS if sys.stdout.isatty() else None]
    for name, counts in shown:
        table.add_row(plain(name), *_cells(counts, states))
    if len(shown) < len(tenants):
        table.add_row(Text(f"... and {len(tenants) - len(shown):,} more: apidanalytics tenants", style="dim"))
    if len(tenants) != 1:
        table.add_section()
        table.add_row("all", *_cells(totals, states), style="bold")
    return table


def _cells(counts: dict[str, Any], states: Sequence[str]) -> list[str]:
    cells = [f"{counts['accepted']['records']:,}"]
    for state in states:
        records, files = counts[state]["records"], counts[state].get("files", 0)
        cells.append(f"{records:,} ({files:,})" if records or files else "-")
    return cells
