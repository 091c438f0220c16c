"""The last page of the play: a table per tenant, where the files lie, one line of them, and the verdict."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from apidanalytics.demo.lake import LakeFile, UnreadableError
from apidanalytics.demo.report import Fault, Report, TenantCount
from apidanalytics.demo.scene import Kill


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How the play went."""

    report: Report
    complaints: Sequence[str]
    """What else was not as promised."""
    kill: Kill | None
    posts: int
    zipped: int
    unanswered: int
    """Posts whose connection ended without an answer."""
    play_seconds: float
    delivery_seconds: float
    """From the last answer until the last record was in the lake."""
    directory: Path
    files: Sequence[LakeFile]

    @property
    def holds(self) -> bool:
        """Whether every promise was kept."""
        return self.report.holds and not self.complaints


def print_summary(console: Console, result: Result) -> None:
    """Print the last page."""
    console.print(_table(result.report))
    console.print()
    for label, text in _facts(result):
        console.print(Text.assemble((f"{label:>12}  ", "dim"), text), soft_wrap=True)
    _print_sample(console, result.files)
    console.print()
    for line in _verdict(result):
        console.print(line)


def _table(report: Report) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("tenant", no_wrap=True)
    for name in ("accepted", "delivered", "lost", "doubled", "other\nfaults", "files", "bytes"):
        table.add_column(name, justify="right", no_wrap=True)
    for tenant, count in report.tenants.items():
        table.add_row(tenant, *_row(report, tenant, count))
    table.add_section()
    table.add_row("all", *_row(report, None, report.total()), style="bold")
    return table


def _row(report: Report, tenant: str | None, count: TenantCount) -> Iterable[Text]:
    lost, doubled = (report.count(fault, tenant) for fault in (Fault.LOST, Fault.DOUBLED))
    others = sum(report.count(fault, tenant) for fault in Fault) - lost - doubled
    yield Text(f"{count.accepted:,}")
    yield Text(f"{count.delivered:,}", style="green" if count.delivered == count.accepted else "red")
    for faults in (lost, doubled, others):
        yield _faults(faults)
    yield Text(f"{count.files:,}")
    yield Text(format_bytes(count.size_bytes))


def _faults(count: int) -> Text:
    return Text(f"{count:,}", style="bold red" if count else "green")


def format_bytes(count: float) -> str:
    """Return a number of bytes with three digits or so and its unit."""
    for unit in ("B", "KB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"


def _facts(result: Result) -> Iterable[tuple[str, str]]:
    total = result.report.total()
    rate = total.accepted / result.play_seconds
    yield "traffic", f"{result.posts:,} posts ({result.zipped:,} zipped) in {result.play_seconds:.1f} s"
    yield "throughput", f"{rate:,.0f} records/s acknowledged, each on disk before its 200"
    yield "volume", f"{format_bytes(total.lines_bytes)} of records, {format_bytes(total.size_bytes)} as gzip"
    if result.kill is not None:
        yield "the kill", _kill(result.kill)
        yield "", f"{result.unanswered:,} requests ({total.unanswered:,} records) got no answer; {_arrived(total)}"
    yield "refused", f"{total.refused:,} records, wrong on purpose; {_in_lake(result.report.count(Fault.REFUSED))}"
    yield "delivery", f"complete {result.delivery_seconds:.1f} s after the last answer"
    yield "the lake", f"{result.directory / 'lake'}/<org>~<env>/date=.../time=.../*.txt.gz"
    yield "look", f"zcat {result.directory / 'lake'}/*/*/*/*.txt.gz | head -1"


def _arrived(total: TenantCount) -> str:
    arrived = total.unanswered_delivered
    return f"{arrived:,} were on disk already: delivered" if arrived else "none was kept"


def _in_lake(count: int) -> str:
    return f"{count:,} in the lake" if count else "none in the lake"


def _kill(kill: Kill) -> str:
    if kill.replaced_seconds is None:
        return f"ingest worker {kill.pid} got SIGKILL and was not replaced in time"
    return f"ingest worker {kill.pid} got SIGKILL; its successor ran {kill.replaced_seconds:.1f} s later"


def _print_sample(console: Console, files: Iterable[LakeFile]) -> None:
    """Print one line of the lake, the API key masked, with what enrichment added in green."""
    for file in files:
        try:
            line = next((line for line in islice(file.lines(), 1000) if is_telling(line)), None)
        except UnreadableError:
            continue
        if line is not None:
            console.print(
                Text.assemble(("    one line  ", "dim"), f"of {file.tenant}; what enrichment added is its end")
            )
            console.print(Panel(_coloured(mask(line)), border_style="dim"))
            return


def _coloured(record: str) -> Text:
    text = JSONHighlighter()(Text(record))
    text.stylize("bold green", record.index('"organization"'), len(record) - 1)
    return text


def is_telling(line: bytes) -> bool:
    """Say whether the line shows what enrichment adds: the tenant, a known developer, and no odd members."""
    try:
        members = json.loads(line)
    except ValueError:
        return False
    names = list(members)
    return names[-6:-4] == ["organization", "environment"] and bool(members.get("developer_email"))


def mask(line: bytes) -> str:
    """Return a record as text, with all but the ends of its API key hidden."""
    members = json.loads(line)
    key = str(members["client_id"])
    members["client_id"] = f"{key[:2]}…{key[-2:]}"
    return json.dumps(members, ensure_ascii=False)


def _verdict(result: Result) -> Iterable[Text]:
    for complaint in result.complaints:
        yield Text(f"  {complaint}", style="red")
    for finding in result.report.examples:
        yield Text(f"  {finding}", style="red")
    if result.holds:
        total = result.report.total()
        promise = "is in the lake exactly once, under its own tenant, equal to what was sent plus what enrichment adds"
        yield Text(f"Every one of {total.accepted:,} acknowledged records {promise}.", style="bold green")
    else:
        yield Text(f"The promise was NOT kept. The service's log: {result.directory / 'service.log'}", style="bold red")
