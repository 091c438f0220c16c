"""How often one token may ask: a bucket that fills at a steady rate and holds two seconds' worth."""

from typing import Final

from apidanalytics.clock import Clock

BURST_SECONDS: Final = 2.0


class RateLimit:
    """A bucket for each name. Names come from the configuration, so there are never many."""

    def __init__(self, per_second: float, clock: Clock) -> None:
        self._per_second = per_second
        self._clock = clock
        self._filled: dict[str, tuple[float, float]] = {}
        """Name -> what was in it, and when."""

    def take(self, name: str) -> float:
        """Take one; return 0, or, when there is none, the seconds until there is one."""
        now = self._clock.monotonic()
        full = self._per_second * BURST_SECONDS
        held, at = self._filled.get(name, (full, now))
        held = min(full, held + (now - at) * self._per_second)
        if held < 1:
            return (1 - held) / self._per_second
        self._filled[name] = (held - 1, now)
        return 0.0
