"""The run: which cells are measured, in which order, and how long."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from benchmarks import (
    backlog,
    neighbour,
    packing,
    scopes,
    service,
    signing,
    starting,
    sync_data,
    syncing,
    traffic,
    uploads,
    wrk,
    yardsticks,
)
from benchmarks.backlog import Backlog
from benchmarks.neighbour import Neighbour
from benchmarks.packing import Packing
from benchmarks.results import Cost
from benchmarks.signing import Signing
from benchmarks.starting import Starting
from benchmarks.syncing import Syncing
from benchmarks.uploads import Uploads

BATCHES: Final = (1, 10, 100, 500)
CONNECTIONS: Final = (32, 256)
COMPARED: Final = (1, 100)
"""Batches whose ratios to the yardsticks are targets: the servers are loaded by turns, so that drift cancels out."""

MEMORY_INTERVAL_SECONDS: Final = 15

LARGE_BYTES: Final = 1_000_000
SMALL_BYTES: Final = 2_000

PARTS: Final = frozenset(
    {"grid", "tenants", "memory", "packing", "starting", "signing", "syncing", "uploads", "backlog", "neighbour"}
)

Say = Callable[[Cost], None]


FULL_SIZE: Final = sync_data.Size(scopes=10_000, api_keys=1_000_000)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is measured."""

    seconds: float = 5.0
    yardstick_seconds: float = 3.0
    turns: int = 8
    """In which the servers of a cell whose ratios are targets are loaded by turns, for a second each."""
    batches: tuple[int, ...] = BATCHES
    connections: tuple[int, ...] = CONNECTIONS
    encodings: tuple[bool, ...] = (False, True)
    many_tenants: int = 1_000
    tenants_interval_seconds: int = 60
    """Collection interval while tenants are compared; a file is made per tenant and interval, whatever is in it."""
    memory_tenants: int = 10_000
    packing_megabytes: int = 400
    start_megabytes: int = 1_000
    signed_urls: int = 5_000
    synced: sync_data.Size = FULL_SIZE
    large_files: int = 500
    """Uploaded by curl and by the uploader, 1 MB each."""
    small_files: int = 10_000
    """The same, 2 KB each."""
    upload_pairs: int = 3
    """Of turns, one of curl and one of the uploader; the median counts."""
    backlog_files: int = 100_000
    neighbour_seconds: float = 12.0
    parts: frozenset[str] = PARTS


QUICK: Final = Plan(
    seconds=2.0,
    yardstick_seconds=2.0,
    turns=3,
    tenants_interval_seconds=20,
    batches=(1, 100),
    encodings=(False,),
    packing_megabytes=100,
    start_megabytes=200,
    signed_urls=1_500,
    synced=sync_data.Size(scopes=10_000, api_keys=100_000),
    large_files=100,
    small_files=2_000,
    upload_pairs=1,
    backlog_files=20_000,
    neighbour_seconds=5.0,
)


@dataclass(kw_only=True)
class Results:
    """Everything that was measured; a part that was left out is empty."""

    grid: list[Cost] = field(default_factory=list)
    tenants: tuple[Cost, Cost] | None = None
    memory: tuple[Cost, Cost] | None = None
    packing: Packing | None = None
    starting: Starting | None = None
    signing: list[Signing] = field(default_factory=list)
    syncing: Syncing | None = None
    uploads: list[Uploads] = field(default_factory=list)
    backlog: tuple[Backlog, Backlog] | None = None
    neighbour: list[Neighbour] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        return {
            "grid": [cost.as_json() for cost in self.grid],
            "tenants": [cost.as_json() for cost in self.tenants or ()],
            "memory": [cost.as_json() for cost in self.memory or ()],
            "packing": asdict(self.packing) if self.packing else None,
            "starting": asdict(self.starting) if self.starting else None,
            "signing": [asdict(signing) for signing in self.signing],
            "syncing": asdict(self.syncing) if self.syncing else None,
            "uploads": [asdict(uploads) for uploads in self.uploads],
            "backlog": [asdict(backlog) for backlog in self.backlog or ()],
            "neighbour": [asdict(neighbour) for neighbour in self.neighbour],
        }


class Run:
    """Measures what a plan says, on a directory of the disk in question, and tells how it goes."""

    def __init__(self, plan: Plan, below: Path, say: Say) -> None:
        self._plan = plan
        self._below = below
        self._say = say

    def measure(self) -> Results:
        """Measure all of it."""
        results = Results()
        if "grid" in self._plan.parts:
            results.grid = list(self._grid())
        if "tenants" in self._plan.parts:
            results.tenants = self._tenants()
        if "memory" in self._plan.parts:
            results.memory = self._memory()
        if "packing" in self._plan.parts:
            results.packing = packing.measure(self._below, self._plan.packing_megabytes)
        if "starting" in self._plan.parts:
            results.starting = starting.measure(self._below, self._plan.start_megabytes)
        if "signing" in self._plan.parts:
            results.signing = signing.measure(self._below, self._plan.signed_urls)
        if "syncing" in self._plan.parts:
            results.syncing = syncing.measure(self._below, self._plan.synced, self._plan.seconds)
        if "uploads" in self._plan.parts:
            sizes = ((self._plan.large_files, LARGE_BYTES), (self._plan.small_files, SMALL_BYTES))
            results.uploads = [uploads.measure(self._below, *size, pairs=self._plan.upload_pairs) for size in sizes]
        if "backlog" in self._plan.parts:
            results.backlog = backlog.measure(self._below, self._plan.backlog_files)
        if "neighbour" in self._plan.parts:
            results.neighbour = neighbour.measure(self._below, self._plan.neighbour_seconds)
        return results

    def _grid(self) -> Iterator[Cost]:
        for batch in self._plan.batches:
            for is_gzip in self._plan.encodings:
                bodies = traffic.bodies(batch, is_gzip=is_gzip)
                for connections in self._plan.connections:
                    load = wrk.Load(
                        bodies=bodies,
                        records=batch,
                        connections=connections,
                        seconds=self._plan.seconds,
                        is_gzip=is_gzip,
                    )
                    yield from self._cell(load)

    def _cell(self, load: wrk.Load) -> list[Cost]:
        if load.is_gzip:
            return [self._one("service", load)]
        if load.records in COMPARED:
            return self._by_turns(load)
        return [self._one(server, load) for server in ("floor", "service", "reference")]

    def _by_turns(self, load: wrk.Load) -> list[Cost]:
        """Measure all three servers at once: what changes on the machine meanwhile meets them all alike."""
        load = replace(load, seconds=1.0)
        with ExitStack() as stack:
            floor = stack.enter_context(yardsticks.taking("floor", load))
            reference = stack.enter_context(yardsticks.taking("reference", load))
            turns = stack.enter_context(service.taking(load, self._below))
            for _ in range(self._plan.turns):
                for server in (floor, turns, reference):
                    server.take()
            ours = turns.cost()
        costs = [floor.cost(), ours, reference.cost()]
        for cost in costs:
            self._say(cost)
        return costs

    def _one(self, server: str, load: wrk.Load, interval_seconds: int | None = None) -> Cost:
        if server == "service":
            cost = service.measure(load, self._below, interval_seconds=interval_seconds)
        else:
            cost = yardsticks.measure(server, replace(load, seconds=self._plan.yardstick_seconds))
        self._say(cost)
        return cost

    def _tenants(self) -> tuple[Cost, Cost]:
        """Measure batches of 100 for one tenant and for many, over nearly one whole interval each."""
        interval = self._plan.tenants_interval_seconds
        load = wrk.Load(bodies=traffic.bodies(100), records=100, connections=32, seconds=interval - 2)
        return self._one_and_many(load, self._plan.many_tenants, interval)

    def _memory(self) -> tuple[Cost, Cost]:
        """Measure single posts for one tenant and for very many, all of them in one interval."""
        keys = traffic.API_KEYS[:1]
        bodies = traffic.bodies(1, keys=keys)
        load = wrk.Load(bodies=bodies, records=1, connections=256, seconds=self._plan.seconds, keys=keys)
        return self._one_and_many(load, self._plan.memory_tenants, MEMORY_INTERVAL_SECONDS)

    def _one_and_many(self, load: wrk.Load, tenants: int, interval_seconds: int) -> tuple[Cost, Cost]:
        one = self._one("service", replace(load, scopes=scopes.names(1)), interval_seconds)
        return one, self._one("service", replace(load, scopes=scopes.names(tenants)), interval_seconds)
