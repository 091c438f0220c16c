"""Distributions that are counted in a worker and merged in the agent: plain lists, an increment an observation."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Final

SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds for durations; above the last one there is one more bucket."""
SIZES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
"""Upper bounds for numbers of things."""


class Histogram:
    """How often a value fell under each bound."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """By bucket, not added up."""
        self.sum = 0.0

    def __repr__(self) -> str:
        return f"<Histogram of {sum(self.counts)}, {self.sum:g} in all>"

    def observe(self, value: float) -> None:
        """Count one value. A negative one, as of a clock that was set back, counts as nothing."""
        self.counts[bisect_left(self._bounds, value)] += 1
        if value > 0:
            self.sum += value

    def as_counters(self) -> dict[str, Any]:
        """Return it as numbers that only grow."""
        return {"counts": list(self.counts), "sum": self.sum}

    @staticmethod
    def sum_of(histograms: Sequence["Histogram"]) -> dict[str, Any]:
        """Return several with the same bounds as one, in the form of ``as_counters``."""
        counts = [sum(column) for column in zip(*(one.counts for one in histograms), strict=True)]
        return {"counts": counts, "sum": sum(one.sum for one in histograms)}


def quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float | None:
    """Return the value below which this share of the observations lies, about; None when there are none."""
    total = sum(counts)
    if not total:
        return None
    wanted, below = share * total, 0
    for index, count in enumerate(counts):
        if count and below + count >= wanted:
            if index >= len(bounds):
                return bounds[-1]
            low = bounds[index - 1] if index else 0.0
            return low + (bounds[index] - low) * (wanted - below) / count
        below += count
    return bounds[-1]
