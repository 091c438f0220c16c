"""How long to wait after failures in a row: ever longer, up to a bound, and where many wait for one thing, at random.

``growing`` is the growth, for what nobody else waits for. The pauses of a ``Backoff`` lie anywhere in its upper half,
so that those who failed together do not come back together. What asks Apigee Sync spreads them wider
(``apigeesync.backoff``).
"""

from dataclasses import dataclass


def growing(failures: int, *, first: float, longest: float, factor: float = 2.0) -> float:
    """Return seconds: none before a failure, then ``first``, and ``factor`` times more each time up to ``longest``.

    It holds for any number of failures: what fails for a month has failed some thousand times.
    """
    if failures <= 0:
        return 0.0
    try:
        return min(first * float(factor) ** (failures - 1), longest)
    except OverflowError:
        return longest


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Growing, random pauses: each lies between half and all of what ``growing`` says."""

    first_seconds: float
    factor: float
    longest_seconds: float

    def after(self, failures: int, random: float) -> float:
        """Return the pause in seconds after so many failures (none counts as one); ``random`` is from [0, 1)."""
        longest = growing(max(failures, 1), first=self.first_seconds, longest=self.longest_seconds, factor=self.factor)
        return longest * (1 + random) / 2
