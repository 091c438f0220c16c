"""The last hour, in memory: a sample every few seconds, and the series that are drawn from them."""

import os
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from apidanalytics.health.facts import LATELY_SECONDS, Refusals
from apidanalytics.service.counts import Counts
from apidanalytics.telemetry.histogram import SECONDS, quantile

SAMPLE_SECONDS: Final = 5.0
KEPT_SECONDS: Final = 3600.0
_MINUTE: Final = 60.0
_JUDGED_ELSEWHERE: Final = frozenset({"STORAGE_UNAVAILABLE", "NOT_READY"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What was counted at one moment."""

    at: float
    """Unix time."""
    monotonic: float
    counters: Mapping[str, Any]
    """Of all workers."""
    totals: Counts
    oldest_at: float | None
    """Start of the oldest bucket that is not delivered."""
    disk_free_bytes: int
    restarts: Mapping[int, int] = field(default_factory=dict)
    """Of each worker, since the service started."""


class History:
    """A bounded ring of samples. On the event loop."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=round(KEPT_SECONDS / SAMPLE_SECONDS) + 1)

    def __repr__(self) -> str:
        return f"<History of {len(self._samples)} samples>"

    def add(self, sample: Sample) -> None:
        """Keep one sample; the oldest one goes when there are too many."""
        self._samples.append(sample)

    def rates(self, seconds: float = 15.0) -> dict[str, float]:
        """Return what happened per second lately."""
        if len(self._samples) < 2:
            return dict.fromkeys(_RATES, 0.0)
        last = self._samples[-1]
        first = next(sample for sample in self._samples if last.monotonic - sample.monotonic <= seconds)
        if first is last:
            first = self._samples[-2]
        return {name: _rate(first, last, path) for name, path in _RATES.items()}

    def refusals(self) -> Refusals:
        """Return what was not taken in the last minute."""
        if len(self._samples) < 2:
            return Refusals()
        last = self._samples[-1]
        first = next(sample for sample in self._samples if last.monotonic - sample.monotonic <= _MINUTE)
        before, after = first.counters.get("requests", {}), last.counters.get("requests", {})
        return _refusals({outcome: number - before.get(outcome, 0) for outcome, number in after.items()})

    def restarts(self) -> dict[int, int]:
        """Return how often each worker was replaced lately."""
        if not self._samples:
            return {}
        last = self._samples[-1]
        first = next(sample for sample in self._samples if last.monotonic - sample.monotonic <= LATELY_SECONDS)
        return {index: number - first.restarts.get(index, 0) for index, number in last.restarts.items()}

    def series(self) -> dict[str, list[float | None]]:
        """Return what is drawn, each a list as long as ``at``; None where nothing can be said."""
        pairs = list(pairwise(self._samples))
        return {
            "at": [round(last.at, 1) for _, last in pairs],
            **{name: [round(_rate(*pair, path), 2) for pair in pairs] for name, path in _RATES.items()},
            **_percentiles("request", "request_seconds", pairs),
            **_percentiles("commit", "commit_seconds", pairs),
            "backlog_records": [_backlog(last) for _, last in pairs],
            "backlog_age_seconds": [
                None if s.oldest_at is None else round(max(s.at - s.oldest_at, 0)) for _, s in pairs
            ],
            "disk_free_bytes": [last.disk_free_bytes for _, last in pairs],
        }


_RATES: Final[dict[str, Sequence[str]]] = {
    "accepted_records_per_second": ("counters", "records"),
    "accepted_bytes_per_second": ("counters", "bytes"),
    "batches_per_second": ("counters", "requests", "200"),
    "uploaded_records_per_second": ("totals", "uploaded", "records"),
    "uploaded_bytes_per_second": ("totals", "uploaded", "bytes"),
}


def size_and_free_bytes(directory: Path) -> tuple[int, int]:
    """Return how large the file system is that a directory is on, and how much of it is free to us."""
    stats = os.statvfs(directory)
    return stats.f_blocks * stats.f_frsize, stats.f_bavail * stats.f_frsize


def _value(sample: Sample, path: Sequence[str]) -> float:
    found: Any = getattr(sample, path[0])
    for name in path[1:]:
        found = found.get(name, {})
    return float(found or 0)


def _rate(first: Sample, last: Sample, path: Sequence[str]) -> float:
    elapsed = last.monotonic - first.monotonic
    return max(_value(last, path) - _value(first, path), 0.0) / elapsed if elapsed > 0 else 0.0


def _percentiles(name: str, counter: str, pairs: Sequence[tuple[Sample, Sample]]) -> dict[str, list[float | None]]:
    observed = [_observed(counter, *pair) for pair in pairs]
    return {
        f"{name}_p{percent}_seconds": [quantile(SECONDS, counts, percent / 100) for counts in observed]
        for percent in (50, 99)
    }


def _observed(counter: str, first: Sample, last: Sample) -> list[int]:
    after = last.counters.get(counter, {}).get("counts", [])
    before = first.counters.get(counter, {}).get("counts", [0] * len(after))
    return [max(new - old, 0) for new, old in zip(after, before, strict=True)]


def _backlog(sample: Sample) -> int:
    return sum(sample.totals[state]["records"] for state in ("spooled", "staged", "failed"))


def _refusals(outcomes: Mapping[str, int]) -> Refusals:
    overloaded = other = 0
    for outcome, number in outcomes.items():
        status, _, code = outcome.partition(" ")
        if code == "OVERLOADED":
            overloaded += number
        elif status.startswith("5") and code not in _JUDGED_ELSEWHERE:
            other += number
    return Refusals(overloaded=overloaded, other_5xx=other, unanswered=outcomes.get("0", 0))
