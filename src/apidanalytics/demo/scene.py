"""What is going on in the play right now: filled by the play, looked at by the show."""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from apidanalytics.demo.play import Tally


@dataclass(frozen=True, slots=True)
class Event:
    """Something worth a line."""

    seconds: float
    """Since the curtain rose."""
    text: str
    is_alarming: bool = False


@dataclass(slots=True, kw_only=True)
class Scene:
    """The state of the play."""

    directory: Path
    tenants: tuple[str, ...]
    tallies: Mapping[str, Tally] = field(default_factory=dict)
    lake_lines: Mapping[str, int] = field(default_factory=dict)
    """Tenant -> records in the lake by now."""
    phase: str = "starting the service"
    share: float = 0.0
    """How much of the whole play is over, 0 to 1."""
    events: list[Event] = field(default_factory=list)
    rates: deque[float] = field(default_factory=lambda: deque(maxlen=60))
    """Acknowledged records a second, sampled every half second or so."""
    started_at: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Seconds since the curtain rose."""
        return time.monotonic() - self.started_at

    def total(self) -> Tally:
        """Return the sums over all tenants."""
        tallies = list(self.tallies.values())
        return Tally(**{name: sum(getattr(tally, name) for tally in tallies) for name in Tally.__dataclass_fields__})

    def lines(self) -> int:
        """Return the records in the lake by now."""
        return sum(self.lake_lines.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """What the killing of a worker showed."""

    pid: int
    replaced_seconds: float | None
    """Until a new worker ran in its place; None when that took too long."""
