"""What a worker has answered since it started: plain numbers, for the agent to add up."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from apidanalytics.ingest.http import Exchange
from apidanalytics.telemetry.histogram import Histogram

_REFUSED: Final = 400
_FAILED: Final = 500


@dataclass(slots=True)
class Counters:
    """What this worker has answered since it started."""

    requests: Counter[tuple[int, str]] = field(default_factory=Counter)
    """By status and errorCode (``""`` for none), but for ``batches``. Status 0: closed without an answer."""
    batches: int = 0
    """Stored, and answered with 200."""
    records: int = 0
    """Of batches answered with 200."""
    bytes: int = 0
    """Of their lines."""
    replayed: int = 0
    """Batches answered 200 because they were stored before, under the same ``Idempotency-Key``."""
    seconds: Histogram = field(default_factory=Histogram)
    """From the last byte of a batch to its 200."""

    on_refused: Callable[[Exchange], None] | None = None
    """Told of each request that gets a 4xx, just before."""

    def answered(self, exchange: Exchange, status: int, code: str) -> None:
        """Count an answer that is about to be given."""
        self.requests[status, code] += 1
        if self.on_refused is not None and _REFUSED <= status < _FAILED:
            self.on_refused(exchange)

    def answers(self) -> Counter[tuple[int, str]]:
        """Return all that was answered, as ``requests``."""
        return self.requests + Counter({(200, ""): self.batches})
