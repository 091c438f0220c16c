"""``apidanalytics tenants``: where each tenant's records are, since when, and what is wrong with it."""

from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from apidanalytics.cli.asking import asking
from apidanalytics.cli.drawing import NARROW, age, amount, console, plain, print_json, table
from apidanalytics.cli.fitting import Fitting

STATES: Final = ("accepted", "spooled", "staged", "failed", "uploaded")
PAGE: Final = 1000
"""Tenants asked for at a time."""

Row = dict[str, Any]


def run(
    config_file: Path | None, *, search: str, only: str, sort: str, ascending: bool, limit: int, as_json: bool
) -> int:
    """Print the tenants that are wanted; numbers and ages come largest first unless ``ascending``."""
    with asking(config_file) as asked:
        wanted = {"search": search, "only": only, "sort": sort, "descending": sort != "name" and not ascending}
        answer = asked("tenants", **wanted, limit=min(limit, PAGE))
        rows: list[Row] = answer["tenants"]
        while len(rows) < min(limit, answer["found"]):
            page = asked("tenants", **wanted, offset=len(rows), limit=min(limit - len(rows), PAGE))["tenants"]
            if not page:
                break  # fewer than a moment ago
            rows += page
    if as_json:
        print_json({"all": answer["all"], "found": answer["found"], "tenants": rows})
    else:
        show(rows, answer, console())
    return asked.code


def show(rows: list[Row], answer: Row, out: Console) -> None:
    """Draw the rows, and say how many there are of how many."""
    if not rows:
        out.print("No tenant is like that." if answer["all"] else "No tenant has sent anything yet.")
        return
    is_paused = any(row["paused_since"] is not None for row in rows)
    is_wide = out.width >= NARROW
    drawn = table("tenant", *STATES, "oldest", *["paused"][: int(is_paused)], *["last error"][: int(is_wide)])
    for row in rows:
        cells = [*_counts(row), age(row["oldest_at"])]
        if is_paused:
            cells.append(Text(age(row["paused_since"]), style="yellow"))
        error = [plain(row["last_error"] or "-")] if is_wide else []
        drawn.add_row(plain(row["tenant"]), *cells, *error, style="yellow" if row["last_error"] else "")
    out.print(Fitting(drawn))
    for row in () if is_wide else rows:
        if row["last_error"]:
            out.print(Text.assemble("! ", plain(row["tenant"]), ": ", plain(row["last_error"]), style="yellow"))
    shown = f"{len(rows):,} of " if len(rows) < answer["found"] else ""
    found = f" of {answer['all']:,}" if answer["found"] < answer["all"] else ""
    out.print(f"{shown}{answer['found']:,}{found} tenants, in records", style="dim")


def _counts(row: Row) -> list[str | Text]:
    return [amount(row["counts"][state]["records"]) for state in STATES]
