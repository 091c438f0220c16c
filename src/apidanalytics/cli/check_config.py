"""``apidanalytics check-config``: the effective settings, and where each came from."""

import json
import os
import sys
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from apidanalytics import config
from apidanalytics.cli.fitting import Fitting
from apidanalytics.service.files import check_files


def run(config_file: Path | None, *, embedded: bool, as_json: bool) -> int:
    """Print every setting with its value (secrets masked) and origin."""
    settings = config.load(config_file=config_file, environ=os.environ, embedded=embedded)
    check_files(settings)
    rows = config.effective(settings)
    for warning in (*config.warnings(settings), *config.not_there(settings)):
        print(f"Warning: {warning}", file=sys.stderr)
    if as_json:
        print(json.dumps({row.key: {"value": row.value, "origin": row.origin} for row in rows}, indent=2))
        return 0
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    for title in ("setting", "value", "from"):
        table.add_column(title, overflow="fold")
    for row in rows:
        style = "dim" if row.origin == "default" else ""
        table.add_row(Text(row.key), Text(row.value), Text(row.origin), style=style)
    console = Console()
    console.print(Fitting(table))
    console.print("The configuration is good.")
    return 0
