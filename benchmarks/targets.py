"""The targets, and whether what was measured meets them. Ratios within one run, so the machine cancels out."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.results import Cost
from benchmarks.run import LARGE_BYTES, SMALL_BYTES, Results
from benchmarks.signing import RSA
from benchmarks.syncing import Syncing

FLOOR_RATIO = {32: 5.0, 256: 3.5}
"""Highest CPU per single-record post, in floors, by connections."""
REFERENCE_RATIO = 1 / 3
"""Highest CPU per record in 100-record batches, in references."""
TENANTS_RATIO = 1.3
WORKER_MEGABYTES = 160.0
AGENT_MEGABYTES = 120.0
MANY_TENANTS_MEGABYTES = 100.0
PACKING_MEGABYTES = 100.0
START_SECONDS = 2.0
UPLOAD_SPEED = {LARGE_BYTES: 0.8, SMALL_BYTES: 0.5}
"""Lowest speed, in curls, by size of the files."""
UPLOADER_MEGABYTES = 80.0
BACKLOG_RATIO = 1.2
SIGNING_MICROSECONDS = 1000.0
"""Highest CPU per signed URL, whatever the store."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One target beside what was measured."""

    what: str
    measured: float
    limit: float
    unit: str = ""
    is_lower_limit: bool = False

    @property
    def is_met(self) -> bool:
        """Whether it is reached."""
        return self.measured >= self.limit if self.is_lower_limit else self.measured <= self.limit

    def row(self) -> list[str]:
        """Return the cells of the table."""
        bound = "at least" if self.is_lower_limit else "at most"
        unit = f" {self.unit}" if self.unit else ""
        return [
            self.what,
            f"{bound} {self.limit:.3g}{unit}",
            f"{self.measured:.3g}{unit}",
            "yes" if self.is_met else "NO",
        ]

    def as_json(self) -> dict[str, Any]:
        """Return it with its verdict."""
        return {
            "what": self.what,
            "measured": self.measured,
            "limit": self.limit,
            "unit": self.unit,
            "is_met": self.is_met,
        }


def _syncing(syncing: Syncing) -> Iterator[Verdict]:
    size = f"{syncing.api_keys:,} API keys"
    measured = (
        ("from the last byte of the snapshot until it is in service", syncing.in_service_seconds, 10.0, "s"),
        ("100 new API keys until every worker has them", syncing.change_milliseconds, 100.0, "ms"),
        ("100 changed apps until every full worker has them", syncing.app_change_milliseconds, 100.0, "ms"),
        ("peak memory of a worker", syncing.worker_megabytes, 250.0, "MB"),
        ("CPU of a record with Zipf skew, against 10 keys", syncing.keys_ratio, 1.2, "times"),
        ("cached look-up of a key", syncing.cached_microseconds, 1.0, "µs"),
        ("ready look-up of a key", syncing.ready_microseconds, 50.0, "µs"),
        ("uncached look-up of a key", syncing.uncached_microseconds, 50.0, "µs"),
        ("look-ups that 200,000 unknown scopes and keys cause", float(syncing.flood_lookups), 0.0, ""),
    )
    for what, value, limit, unit in measured:
        yield Verdict(what=f"{size}: {what}", measured=value, limit=limit, unit=unit)


def judge(results: Results) -> list[Verdict]:
    """Hold everything that was measured against its target."""
    return [*_ratios(results.grid), *_memory(results.grid), *_scenarios(results)]


def _find(grid: Iterable[Cost], server: str, batch: int, connections: int) -> Cost | None:
    wanted = (server, batch, connections, "plain")
    rows = (cost for cost in grid if (cost.server, cost.batch, cost.connections, cost.encoding) == wanted)
    return next(rows, None)


def _ratios(grid: list[Cost]) -> Iterator[Verdict]:
    for connections, limit in FLOOR_RATIO.items():
        service, floor = _find(grid, "service", 1, connections), _find(grid, "floor", 1, connections)
        if service and floor:
            ratio = service.microseconds_per_request / floor.microseconds_per_request
            yield Verdict(
                what=f"CPU of a single-record post, {connections} connections",
                measured=ratio,
                limit=limit,
                unit="floors",
            )
    for connections in FLOOR_RATIO:
        service, reference = _find(grid, "service", 100, connections), _find(grid, "reference", 100, connections)
        if service and reference:
            ratio = service.cpu_seconds_per_million / reference.cpu_seconds_per_million
            what = f"CPU of a record, batches of 100, {connections} connections"
            yield Verdict(what=what, measured=ratio, limit=REFERENCE_RATIO, unit="references")


def _memory(grid: list[Cost]) -> Iterator[Verdict]:
    rows = [cost for cost in grid if cost.server == "service" and cost.connections == 256]
    if rows:
        worker = max(cost.worker_megabytes for cost in rows)
        agent = max(cost.agent_megabytes for cost in rows)
        yield Verdict(
            what="peak memory of a worker, 256 connections", measured=worker, limit=WORKER_MEGABYTES, unit="MB"
        )
        yield Verdict(
            what="peak memory of the agent, 256 connections", measured=agent, limit=AGENT_MEGABYTES, unit="MB"
        )


def _scenarios(results: Results) -> Iterator[Verdict]:
    if results.tenants:
        one, many = results.tenants
        ratio = many.cpu_seconds_per_million / one.cpu_seconds_per_million
        what = f"CPU of a record with {many.tenants:,} tenants against one, batches of 100"
        yield Verdict(what=what, measured=ratio, limit=TENANTS_RATIO, unit="times")
    if results.memory:
        one, many = results.memory
        what = f"memory that {many.tenants:,} tenants in one interval add, all processes"
        yield Verdict(what=what, measured=many.megabytes - one.megabytes, limit=MANY_TENANTS_MEGABYTES, unit="MB")
    if results.packing:
        measured = results.packing.megabytes_per_core_second
        yield Verdict(
            what="packing, records per core",
            measured=measured,
            limit=PACKING_MEGABYTES,
            unit="MB/s",
            is_lower_limit=True,
        )
    if results.starting:
        what = f"start over {results.starting.megabytes:,.0f} MB of unpacked spools, until a batch is accepted"
        yield Verdict(what=what, measured=results.starting.accepts_after_seconds, limit=START_SECONDS, unit="s")
    if results.syncing:
        yield from _syncing(results.syncing)
    for uploads in results.uploads:
        what = f"speed of uploading {uploads.files:,} files of {uploads.bytes:,} bytes, signed URLs included"
        limit = UPLOAD_SPEED[uploads.bytes]
        yield Verdict(what=what, measured=uploads.median.speed, limit=limit, unit="times curl", is_lower_limit=True)
    if results.backlog:
        few, many = results.backlog
        backlog = f"{many.files:,} files in {many.directories:,} directories"
        what = f"CPU per file of a backlog of {backlog}, against {few.files}"
        yield Verdict(what=what, measured=many.microseconds / few.microseconds, limit=BACKLOG_RATIO, unit="times")
    if results.uploads:
        measured = max(uploads.peak_megabytes for uploads in results.uploads)
        yield Verdict(what="peak memory of the uploader alone", measured=measured, limit=UPLOADER_MEGABYTES, unit="MB")
    for signing in results.signing:
        if signing.store == RSA:
            continue
        what = f"CPU of a signed URL from the collection service, {signing.store}"
        yield Verdict(what=what, measured=signing.microseconds, limit=SIGNING_MICROSECONDS, unit="µs")
