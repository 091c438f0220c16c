"""``apidanalytics audit``: whether what was accepted is all there, once."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from apidanalytics.audit.books import ACCEPTED, PARTS, Book
from apidanalytics.audit.run import Extent, Report, audit
from apidanalytics.cli.asking import load, no_directory
from apidanalytics.cli.drawing import console, print_json
from apidanalytics.cli.exit_code import ExitCode
from apidanalytics.cli.fitting import Fitting
from apidanalytics.cli.when import parse_when
from apidanalytics.config import Settings
from apidanalytics.control.server import ask
from apidanalytics.errors import ConfigurationError, NotRunningError
from apidanalytics.service.identity import known_instance_id
from apidanalytics.upload.states import Count


def run(config_file: Path | None, *, as_json: bool, deep: bool, since: str | None, lake_folder: Path | None) -> int:
    """Audit the data directory and print the result; exit code 1 if anything does not add up."""
    settings = load(config_file)
    if not settings.data.root.is_dir():
        raise NotRunningError(no_directory(settings))
    extent = Extent(
        data=settings.data,
        lake=_lake(settings, lake_folder),
        instance_id=known_instance_id(settings) or None,
        deep=deep,
        since=parse_when("--since", since, time.time()),
    )
    is_running = _is_running(settings)
    report = audit(extent, is_running=is_running)
    if as_json:
        print_json(_document(report, extent, is_running=is_running))
    else:
        _show(report, extent, console())
    return ExitCode.FAILURE if report.differences else ExitCode.OK


def _lake(settings: Settings, given: Path | None) -> Path | None:
    if given is not None:
        if not given.is_dir():
            raise ConfigurationError([f"--lake: {given} should be a directory"])
        return given
    own = settings.lake
    return own if not settings.uap_server_base and own.is_dir() else None


def _is_running(settings: Settings) -> bool:
    try:
        ask(settings.data.control, {"command": "ready"})
    except NotRunningError:
        return False
    return True


def _total(report: Report) -> Book:
    total = dict.fromkeys((ACCEPTED, *PARTS), Count())
    for book in report.books.values():
        for word, count in book.items():
            total[word] = Count(
                total[word].records + count.records, total[word].bytes + count.bytes, total[word].files + count.files
            )
    return total


def _document(report: Report, extent: Extent, *, is_running: bool) -> dict[str, Any]:
    return {
        "at": report.at,
        "data_directory": str(extent.data.root),
        "lake": None if extent.lake is None else str(extent.lake),
        "is_running": is_running,
        "deep": extent.deep,
        "holds": not report.differences,
        "tenants": {tenant: _counts(book) for tenant, book in report.books.items()},
        "totals": _counts(_total(report)),
        "differences": [asdict(difference) for difference in report.differences],
        "checked": asdict(report.checked),
        "notes": report.notes,
    }


def _counts(book: Book) -> dict[str, dict[str, int]]:
    return {word: asdict(book[word]) for word in (ACCEPTED, *PARTS)}


def _show(report: Report, extent: Extent, out: Console) -> None:
    out.print(Fitting(_table(report), keeps_dashes=True))
    checked = report.checked
    objects = (
        f"{checked.objects:,} objects" if extent.lake else "no objects (the store cannot be read here; see --lake)"
    )
    how = "read to their end" if extent.deep else "by name and size"
    out.print(Text(f"Checked {checked.spools:,} spools, {checked.files:,} files and {objects}, {how}."))
    for note in report.notes:
        out.print(Text(note, style="yellow"))
    for difference in report.differences:
        out.print(Text(f"! {difference.sentence}", style="bold red"))
    if report.differences:
        count = len(report.differences)
        out.print(Text(f"{count} difference{'s' * (count != 1)}.", style="bold red"))
    else:
        out.print(Text("All accepted records are accounted for.", style="bold green"))


def _table(report: Report) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title="records (bytes of lines)", title_justify="left", header_style="bold")
    table.add_column("tenant", overflow="fold")
    for number, word in enumerate((ACCEPTED, *PARTS)):
        sign = "" if number == 0 else "= " if number == 1 else "+ "
        table.add_column(sign + word.replace("_", " "), justify="right", no_wrap=True)
    for tenant, book in sorted(report.books.items()):
        table.add_row(Text(tenant or "(nobody's)"), *_cells(book))
    if len(report.books) != 1:
        table.add_section()
        table.add_row("all", *_cells(_total(report)), style="bold")
    return table


def _cells(book: Book) -> list[str]:
    counts = [book[word] for word in (ACCEPTED, *PARTS)]
    return [f"{c.records:,} ({c.bytes:,})" if c.records or c.bytes else "-" for c in counts]
