"""How commands draw: wide where nobody looks, short where a terminal is narrow, and never more than was asked for."""

import json
import sys
import time
from datetime import UTC, datetime
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

NARROW: Final = 110
"""Columns below which a table leaves out what is said beneath it."""

NUMBERS: Final = frozenset(
    {"accepted", "spooled", "staged", "failed", "uploaded", "set aside", "dropped", "oldest", "records", "files"}
    | {"bytes", "size", "attempts", "age", "id", "pid", "restarts", "connections", "requests", "worker"}
)
"""Columns that are flush right."""

STYLES: Final = {"trouble": "bold red", "error": "bold red", "critical": "bold red", "failed": "red"} | {
    "warning": "yellow",
    "paused": "yellow",
    "staged": "cyan",
    "uploaded": "green",
    "well": "bold green",
    "note": "dim",
    "debug": "dim",
}
"""Of words that say how it is."""


def console() -> Console:
    """Return where to draw. Through a pipe there is no width to fit into, and a folded name cannot be searched for."""
    return Console(highlight=False) if sys.stdout.isatty() else Console(width=300, highlight=False)


def table(*columns: str, title: str | None = None) -> Table:
    """Return an empty table with these columns."""
    made = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", header_style="bold", pad_edge=False)
    for column in columns:
        if column in NUMBERS:
            made.add_column(column, justify="right", no_wrap=True)
        elif column == "state":
            made.add_column(column, no_wrap=True, min_width=len("uploading"))
        else:
            made.add_column(column, overflow="fold")
    return made


def print_json(answer: Any) -> None:
    """Print an answer for machines, on one line, at once."""
    print(json.dumps(answer), flush=True)


def plain(text: str) -> Text:
    """Return text that came from outside: nothing in it is markup, and no control character reaches the terminal."""
    return Text("".join(c if c.isprintable() else repr(c)[1:-1] for c in text))


def styled(word: str) -> Text:
    """Return a word in the colour of what it says."""
    return Text(word.replace("_", " "), style=STYLES.get(word, ""))


def amount(number: int) -> str:
    """Return a number, or a dash for nothing."""
    return f"{number:,}" if number else "-"


def age(since: float | None, now: float | None = None) -> str:
    """Return how long ago this was: ``40 s``, ``12 min``, ``3.4 h``, ``2.0 d``; a dash for never."""
    return "-" if since is None else duration(max((time.time() if now is None else now) - since, 0.0))


def duration(seconds: float) -> str:
    """Return a duration, short."""
    for unit, length in (("d", 86400), ("h", 3600)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def size(size_bytes: float) -> str:
    """Return a size, short: ``512 B``, ``1.5 MB``."""
    for unit in ("B", "KB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if size_bytes >= 10 or unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"


def instant(at: float | None) -> str:
    """Return a Unix time as people read it, UTC; a dash for never."""
    return "-" if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}"
