"""``apidanalytics inspect``: what is inside a spool, a staged file or a directory."""

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from apidanalytics.audit.contents import Contents, inspect
from apidanalytics.cli.drawing import console, print_json
from apidanalytics.cli.exit_code import ExitCode
from apidanalytics.cli.fitting import Fitting

_ROWS = 20
"""Buckets of one file that are listed; the rest is counted."""


def run(path: Path, *, records: int, as_json: bool) -> int:
    """Print what is inside; exit code 1 if any of it is damaged or cannot be read."""
    out = console()
    code, files, total = ExitCode.OK, 0, 0
    try:
        for found in inspect(path, records):
            files, total = files + 1, total + found.records
            code = ExitCode.FAILURE if found.problems else code
            if as_json:
                print_json(asdict(found))
            else:
                _show(found, out)
    except OSError as error:
        print(f"Cannot read {error.filename or path}: {error.strerror}", file=sys.stderr)
        return ExitCode.FAILURE
    if path.is_dir() and not as_json:
        out.print(f"{files:,} file{'s' * (files != 1)}, {total:,} record{'s' * (total != 1)}")
    return code


def _show(found: Contents, out: Console) -> None:
    out.print(Text.assemble((found.path, "bold"), f"   {found.kind}, {found.size_bytes:,} bytes on disk"))
    if found.about:
        out.print(Text("  " + ", ".join(f"{name}: {value}" for name, value in _said(found.about.items()))))
    out.print(Fitting(_table(found)))
    for record in found.samples:
        out.print(Text(json.dumps(record, ensure_ascii=False), style="dim"), soft_wrap=True)
    for problem in found.problems:
        out.print(Text(f"! {problem}", style="bold red"))


def _said(about: Iterable[tuple[str, Any]]) -> Iterable[tuple[str, Any]]:
    return ((name.replace("_", " "), value) for name, value in about if value is not None)


def _table(found: Contents) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    table.add_column("bucket", overflow="fold")
    for title in ("records", "bytes of lines"):
        table.add_column(title, justify="right", no_wrap=True)
    for bucket, (records, size) in sorted(found.buckets.items())[:_ROWS]:
        table.add_row(Text(bucket), f"{records:,}", f"{size:,}")
    if len(found.buckets) > _ROWS:
        table.add_row(f"... and {len(found.buckets) - _ROWS:,} more", "", "")
    if len(found.buckets) > 1:
        table.add_section()
        table.add_row("all", f"{found.records:,}", f"{found.bytes:,}", style="bold")
    return table
