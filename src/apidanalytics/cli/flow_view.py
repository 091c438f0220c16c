"""How a running service is drawn: whether it is well, the way of the records, its workers, and who waits longest."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from apidanalytics.cli.drawing import STYLES, age, amount, duration, plain, size, styled, table
from apidanalytics.cli.fitting import Fitting

MOST_FINDINGS: Final = 4
_BARS: Final = "▁▂▃▄▅▆▇█"
_TENANTS: Final = {"tenant": 0, "staged": 60, "failed": 60, "oldest": 0, "last error": 80}
"""What is said of who waits, and on how wide a terminal at least."""
_WORKERS: Final = 8
"""Of more, the rest is counted."""

Status = dict[str, Any]


def view(status: Status, series: dict[str, list[float | None]], width: int) -> Group:
    """Return all of it but the tenants."""
    parts: list[RenderableType] = [headline(status), *findings(status, MOST_FINDINGS), _flow(status)]
    return Group(*parts, *_rates(status, series, width), _workers(status["workers"]))


def headline(status: Status) -> Text:
    """Return in one line whether it is well, where it serves, and since when."""
    verdict = status["verdict"]
    ready = ("ready", "green") if status["ready"] else ("not ready", "bold red")
    alive = f"pid {status['pid']}, {status['state']} for {age(status['started_at'], status['now'])}"
    line = Text.assemble((f"{verdict}", STYLES.get(verdict, "")), "   ", ready, f"   {status['api']}   {alive}")
    line.truncate(400)
    return line


def findings(status: Status, most: int) -> Iterator[Text]:
    """Yield what is not as it should be, worst first, and what to do."""
    found = status["findings"]
    for one in found[:most]:
        text = plain(f"! {one['text']} ")
        text.stylize(STYLES.get(one["severity"], ""))
        yield text.append_text(plain(one["hint"]))
    if len(found) > most:
        yield Text(f"... and {len(found) - most} more: apidanalytics status", style="dim")


def line(status: Status) -> str:
    """Return all that counts in one line of text."""
    at = datetime.fromtimestamp(status["now"], UTC)
    rates, stages = status["rates"], {stage["state"]: stage for stage in status["flow"]}
    parts = [f"{at:%H:%M:%SZ}", status["verdict"], "ready" if status["ready"] else "not-ready"]
    parts.append(f"accepted={stages['accepted']['records']} ({rates['accepted_records_per_second']:.0f}/s)")
    parts += [f"{state}={stages[state]['records']}" for state in ("spooled", "staged", "uploading")]
    parts.append(f"uploaded={stages['uploaded']['records']} ({rates['uploaded_records_per_second']:.0f}/s)")
    parts += [f"{state}={stages[state]['records']}" for state in ("failed", "set_aside", "dropped")]
    oldest = [stage["oldest_at"] for stage in stages.values() if stage["oldest_at"] is not None]
    parts.append(f"oldest={duration(max(status['now'] - min(oldest), 0)).replace(' ', '') if oldest else '-'}")
    return " ".join(parts)


def _flow(status: Status) -> Fitting:
    drawn = table("state", "records", "size", "files", "oldest")
    for stage in status["flow"]:
        if stage["state"] in ("set_aside", "dropped") and not stage["records"]:
            continue
        files = "" if stage["state"] == "accepted" else amount(stage["files"])
        oldest = age(stage["oldest_at"], status["now"]) if stage["oldest_at"] is not None else ""
        size_shown = size(stage["bytes"]) if stage["bytes"] else "-"
        drawn.add_row(styled(stage["state"]), amount(stage["records"]), size_shown, files, oldest)
    return Fitting(drawn)


def _rates(status: Status, series: dict[str, list[float | None]], width: int) -> Iterator[Text]:
    room = min(max(width - 44, 0), 60)
    for title, name in (("accepted", "accepted_records_per_second"), ("uploaded", "uploaded_records_per_second")):
        yield Text(f"{title:9} {status['rates'][name]:>12,.0f} records/s  {_sparks(series.get(name, ()), room)}")
    disk = status["disk"]
    latency = (series.get("request_p99_seconds") or [None])[-1]
    parts = [f"99% of batches within {latency * 1000:.0f} ms"] if latency else []
    parts.append(f"disk {size(disk['free_bytes'])} free" if disk.get("free_bytes") else "")
    yield Text("   ".join(part for part in parts if part), style="dim")


def _sparks(values: Sequence[float | None], room: int) -> str:
    """Return the last values as bars, the largest of them full."""
    shown = [value or 0.0 for value in values[-room:]] if room else []
    top = max(shown, default=0.0)
    return "".join(_BARS[round(value / top * (len(_BARS) - 1))] if top else _BARS[0] for value in shown)


def _workers(workers: Sequence[Status]) -> Text:
    text = Text("workers   ")
    for worker in workers[:_WORKERS]:
        restarts = f", {worker['restarts']} restarts" if worker["restarts"] else ""
        style = "" if worker["state"] == "running" else "bold yellow"
        text.append(f"{worker['index']}: {worker['state']}{restarts}   ", style)
    if len(workers) > _WORKERS:
        text.append(f"and {len(workers) - _WORKERS} more")
    return text


def tenants(answer: Status, now: float, width: int) -> Table:
    """Return who waits longest, a line each, on a narrow terminal with less beside the name."""
    shown = [title for title, least in _TENANTS.items() if width >= least]
    drawn = table(*shown, title=f"{answer['all']:,} tenants, oldest first")
    for row in answer["tenants"]:
        counts = row["counts"]
        error = plain(row["last_error"] or ("paused by hand" if row["paused_since"] else "-"))
        error.no_wrap, error.overflow = True, "ellipsis"
        cells: dict[str, RenderableType] = {
            "tenant": _cut(row["tenant"]),
            "staged": amount(counts["staged"]["records"]),
            "failed": amount(counts["failed"]["records"]),
            "oldest": age(row["oldest_at"], now),
            "last error": error,
        }
        drawn.add_row(*(cells[title] for title in shown))
    return drawn


def _cut(name: str) -> Text:
    return Text(plain(name).plain, no_wrap=True, overflow="ellipsis")
