"""The tables: text for the terminal, Markdown for the page, JSON for machines."""

import json
import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.results import Cost
from benchmarks.run import Results
from benchmarks.signing import RSA
from benchmarks.targets import judge
from benchmarks.uploads import CONCURRENCY, Pair

BEGIN = "<!-- measured: begin -->"
END = "<!-- measured: end -->"
_COLUMNS = (
    "server", "records", "body", "conns", "tenants", "req/s", "rec/s", "p50 ms", "p99 ms",
    "CPU µs/req", "CPU s/M rec", "worker MB", "agent MB",
)  # fmt: skip
_TARGETS = ("target", "limit", "measured", "met")


def row(cost: Cost) -> list[str]:
    """Return the cells of one measurement."""
    return [
        cost.server,
        str(cost.batch),
        cost.encoding,
        str(cost.connections),
        f"{cost.tenants:,}",
        f"{cost.requests_per_second:,.0f}",
        f"{cost.records_per_second:,.0f}",
        f"{cost.p50_milliseconds:.1f}",
        f"{cost.p99_milliseconds:.1f}",
        f"{cost.microseconds_per_request:,.1f}",
        f"{cost.cpu_seconds_per_million:.2f}",
        f"{cost.worker_megabytes:.0f}",
        f"{cost.agent_megabytes:.0f}" if cost.agent_megabytes else "-",
    ]


def progress(cost: Cost) -> str:
    """Return one line about a measurement that has just ended."""
    trouble = f"  refused {cost.refused}, broken {cost.broken}" if cost.refused or cost.broken else ""
    cells = dict(zip(_COLUMNS, row(cost), strict=True))
    what = f"{cost.server:9} {cost.batch:3} {cost.encoding:5} {cost.connections:3} conns {cost.tenants:6,} tenants"
    return f"{what}  {cells['req/s']:>7} req/s  {cells['CPU s/M rec']:>7} CPU s/M records{trouble}"


def costs(results: Results) -> list[Cost]:
    """Return every measurement of the run."""
    return [*results.grid, *(results.tenants or ()), *(results.memory or ())]


def text(results: Results, command: str) -> str:
    """Return the tables for a terminal."""
    measured = costs(results)
    parts = [
        *([_aligned([_COLUMNS, *map(row, measured)])] if measured else []),
        *_notes(results),
        _aligned([_TARGETS, *(verdict.row() for verdict in judge(results))]),
        f"each cell: {command}",
        machine(),
    ]
    return "\n\n".join(parts)


def markdown(results: Results, command: str) -> str:
    """Return the tables for the page."""
    return "\n\n".join(
        [
            f"Measured on {machine()}; each cell by `{command}`.",
            _piped([_TARGETS, *(verdict.row() for verdict in judge(results))]),
            _piped([_COLUMNS, *map(row, costs(results))]),
            *_notes(results),
        ]
    )


def write_page(path: Path, content: str) -> None:
    """Put the content between the marks of a page; the rest of the page stays."""
    page = path.read_text()
    path.write_text(re.sub(f"(?<={BEGIN}\n).*(?={END})", lambda _: f"\n{content}\n\n", page, flags=re.DOTALL))


def write_json(path: Path, results: Results, command: str) -> None:
    """Write everything that was measured, and the verdicts."""
    verdicts = [verdict.as_json() for verdict in judge(results)]
    content = {"machine": machine(), "command": command, "targets": verdicts, **results.as_json()}
    path.write_text(json.dumps(content, indent=1) + "\n")


def machine() -> str:
    """Say in one line what kind of machine this is."""
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    return (
        f"{os.cpu_count()} cores, {cpu.partition(':')[2].strip() or platform.machine()}, "
        f"Linux {platform.release().split('-')[0]}, Python {platform.python_version()}"
    )


def _notes(results: Results) -> list[str]:
    notes: list[str] = []
    if packing := results.packing:
        notes.append(
            f"Packing: {packing.megabytes:,.0f} MB of records in {packing.seconds:.1f} s, "
            f"{packing.cpu_seconds:.1f} s of CPU: {packing.megabytes_per_core_second:,.0f} MB/s per core."
        )
    if start := results.starting:
        notes.append(
            f"Start over {start.megabytes:,.0f} MB of unpacked spools ({start.records:,} records): the first batch "
            f"was accepted after {start.accepts_after_seconds:.2f} s, the last old record was in the lake "
            f"{start.delivered_after_seconds:.1f} s later."
        )
    if sync := results.syncing:
        notes.append(
            f"Apigee Sync, {sync.scopes:,} scopes and {sync.api_keys:,} API keys, a snapshot of "
            f"{sync.megabytes:,.0f} MB: in service {sync.in_service_seconds:.1f} s after its last byte; "
            f"100 new API keys in every worker after {sync.change_milliseconds:.0f} ms, "
            f"100 changed apps after {sync.app_change_milliseconds:.0f} ms; "
            f"peaks {sync.worker_megabytes:.0f} MB (worker), "
            f"{sync.agent_megabytes:.0f} MB (agent); CPU s/M records {sync.few_keys_cpu:.2f} with 10 keys, "
            f"{sync.all_keys_cpu:.2f} with all ({sync.filling_cpu:.2f} while memory fills), pairs of turns from "
            f"{sync.keys_ratios[0]:.2f} to {sync.keys_ratios[-1]:.2f} times, "
            f"{sync.workers_keys_ratio:.2f} in the workers alone; "
            f"a look-up {sync.cached_microseconds:.2f} µs cached, "
            f"{sync.ready_microseconds:.1f} ready, "
            f"{sync.uncached_microseconds:.0f} asked, {sync.unknown_microseconds:.1f} for an unknown key."
        )
    notes += [
        f"RSA alone, within each signed URL of a service account of Google: {one.microseconds:,.0f} µs."
        for one in results.signing
        if one.store == RSA
    ]
    notes += [
        f"Uploads of {uploads.files:,} files of {uploads.bytes:,} bytes to SeaweedFS, {CONCURRENCY} at a time, "
        f"by turns with curl: {', '.join(map(_pair, uploads.pairs))} times as fast; CPU per file in the median pair: "
        f"{uploads.median.cpu_seconds / uploads.files * 1e3:.2f} ms of the uploader, "
        f"{uploads.median.signing_cpu_seconds / uploads.files * 1e3:.2f} ms of the collection service."
        for uploads in results.uploads
    ]
    notes += [
        f"A calm tenant beside {one.others}: p50 {one.p50_milliseconds:.1f} ms, p99 {one.p99_milliseconds:.1f} ms, "
        f"longest {one.longest_milliseconds:.0f} ms ({one.posts:,} posts, {one.refused} refused); others "
        f"{one.requests_per_second:,.0f} req/s, {one.requests_per_second_alone:,.0f} without it; "
        f"largest worker {one.worker_megabytes:.0f} MB; "
        f"as before {one.recovered_after_seconds:.1f} s after the load."
        for one in results.neighbour
    ]
    return notes


def _pair(pair: Pair) -> str:
    return f"{pair.speed:.2f} ({pair.seconds:.1f} s, curl {pair.curl_seconds:.1f} s)"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        for cells in rows
    )


def _piped(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    marks = ["---" if at == 0 else "---:" for at in range(len(head))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, marks, *body))
