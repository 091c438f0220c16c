"""How a metric's numbers are read off the service's answer."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

from apidanalytics.telemetry.histogram import SECONDS

Facts = Mapping[str, Any]
"""The answer to ``metrics``."""
Point = tuple[tuple[str, ...], Any]
"""Label values, and the number; of a histogram ``Distribution``."""

BACKLOG: Final = ("spooled", "staged", "failed")
OTHER: Final = "_other"
"""All tenants without series of their own; no tenant has this name, for each has a ~ in its own."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """The state of a histogram."""

    bounds: Sequence[float]
    counts: Sequence[int]
    """By bucket, one more than bounds."""
    sum: float

    def cumulated(self) -> list[tuple[float, int]]:
        """Return how many lie at or below each bound, and below infinity."""
        return list(zip((*self.bounds, float("inf")), accumulate(self.counts), strict=True))


def as_distribution(counted: Mapping[str, Any] | None, bounds: Sequence[float]) -> Distribution | None:
    """Return what a worker counted as a distribution; None before any worker has counted."""
    return None if not counted else Distribution(bounds, counted["counts"], counted["sum"])


def distribution(name: str, bounds: Sequence[float] = SECONDS) -> Callable[[Facts], Distribution | None]:
    """Return a reader of one of the workers' histograms."""
    return lambda facts: as_distribution(facts["counters"].get(name), bounds)


def counter(name: str) -> Callable[[Facts], float]:
    """Return a reader of one of the workers' counters."""
    return lambda facts: facts["counters"].get(name, 0)


def of_workers(name: str) -> Callable[[Facts], int]:
    """Return a reader of a number that all workers together have."""
    return lambda facts: sum(worker.get(name, 0) for worker in facts["workers"])


def total(state: str, amount: str) -> Callable[[Facts], int]:
    """Return a reader of one of the totals."""
    return lambda facts: facts["totals"][state][amount]


def disk(name: str) -> Callable[[Facts], int | None]:
    """Return a reader of what is known of the disk."""
    return lambda facts: facts["disk"].get(name)


def disk_full(facts: Facts) -> int:
    """Return 1 while a limit of the disk is reached."""
    return int(bool(facts["disk"].get("full")))


def is_writable(facts: Facts) -> int:
    """Return 0 while the disk refuses writes."""
    return int(all(worker.get("writable", True) for worker in facts["workers"]))


def scope_age(facts: Facts) -> float | None:
    """Return the age of the scope data in force."""
    published_at = facts["scopes"]["published_at"]
    return None if published_at is None else max(facts["now"] - published_at, 0.0)


def version(facts: Facts) -> Iterator[Point]:
    """Yield the version as a label."""
    yield (facts["version"],), 1


def findings(facts: Facts) -> Iterator[Point]:
    """Yield the number of findings by severity."""
    found = Counter(finding["severity"] for finding in facts["findings"])
    for severity in ("trouble", "warning", "note"):
        yield (severity,), found[severity]


def requests(facts: Facts) -> Iterator[Point]:
    """Yield the number of answers by status and errorCode."""
    for outcome, number in sorted(facts["counters"].get("requests", {}).items()):
        status, _, code = outcome.partition(" ")
        yield (status, code), number


def floods(facts: Facts) -> Iterator[Point]:
    """Yield how often somebody began to be held back, by what there was too much of."""
    found = facts["counters"].get("floods", {})
    for what in ("stored", "refused"):
        yield (what,), found.get(what, 0)


def workers(facts: Facts) -> Iterator[Point]:
    """Yield the number of workers by state."""
    found = Counter(worker["state"] for worker in facts["workers"])
    for state in ("running", "starting", "down"):
        yield (state,), found[state]


def attempts(facts: Facts) -> Iterator[Point]:
    """Yield the number of attempts by result."""
    for result, number in facts["uploads"]["attempts"].items():
        yield (result,), number


def backlog(amount: str) -> Callable[[Facts], Iterator[Point]]:
    """Return a reader of what is not delivered yet, by state."""

    def points(facts: Facts) -> Iterator[Point]:
        for state in BACKLOG:
            yield (state,), facts["totals"][state][amount]

    return points


def backlog_age(facts: Facts) -> Iterator[Point]:
    """Yield the age of the oldest data by state."""
    oldest = {step["state"]: step["oldest_at"] for step in facts["flow"]}
    for state in BACKLOG:
        yield (state,), 0.0 if oldest[state] is None else max(facts["now"] - oldest[state], 0.0)


def records_in(*states: str) -> Callable[[Mapping[str, Any]], int]:
    """Return a reader of the number of records of one tenant in these states."""
    return lambda counts: sum(counts[state]["records"] for state in states)


def by_tenant(read: Callable[[Mapping[str, Any]], int]) -> Callable[[Facts], Iterator[Point]]:
    """Return a reader of a number of each tenant that has series of its own, and of all others together."""

    def points(facts: Facts) -> Iterator[Point]:
        labelled, others = facts["labelled_tenants"], 0
        for tenant, counts in facts["tenants"].items():
            if tenant in labelled:
                yield (tenant,), read(counts)
            else:
                others += read(counts)
        if len(labelled) < len(facts["tenants"]):
            yield (OTHER,), others

    return points
