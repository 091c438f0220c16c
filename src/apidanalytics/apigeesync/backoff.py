"""How long to wait after failures: random, growing, bounded, whether a failure came quickly or slowly.

The first pause is always the same, and short: a server that was merely restarted is asked again at once. Later ones lie
anywhere between it and the growth, for many collectors wait for the same server.
"""

from collections.abc import Callable
from typing import Final

from apidanalytics.backoff import growing

FIRST_SECONDS: Final = 0.2
MAX_DOUBLINGS: Final = 30

RESYNC_SECONDS: Final = 1.0
"""The first pause before a snapshot that a list which cannot be applied asks for again."""
RESYNC_FACTOR: Final = 10
"""Such snapshots come more seldom than other attempts: a whole download each."""


def pause_seconds(
    failures: int, cap_seconds: float, random: Callable[[], float], first_seconds: float = FIRST_SECONDS
) -> float:
    """Return the pause after this many failures in a row: between the first pause and its doublings, up to the cap."""
    if failures <= 0:
        return 0.0
    # Not up to the cap: most of the pauses of a long outage are the cap itself.
    longest = growing(failures, first=first_seconds, longest=first_seconds * 2.0**MAX_DOUBLINGS)
    return min(first_seconds + random() * (longest - first_seconds), cap_seconds)


def resync_seconds(resyncs: int, cap_seconds: float, random: Callable[[], float]) -> float:
    """Return the pause before the next snapshot, when so many in a row did not help. The first comes at once."""
    return pause_seconds(resyncs, RESYNC_FACTOR * cap_seconds, random, RESYNC_SECONDS)
