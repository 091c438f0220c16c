"""What a measurement gave, and the numbers derived from it."""

from dataclasses import asdict, dataclass
from typing import Any, Self

from benchmarks.wrk import Answers, Load


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One row of the table."""

    server: str
    """``service``, ``floor`` or ``reference``."""
    batch: int
    """Records in a request."""
    encoding: str
    connections: int
    tenants: int
    requests_per_second: float
    records_per_second: float
    p50_milliseconds: float
    p99_milliseconds: float
    requests: int
    """Answered by the server, those that wrk no longer waited for included."""
    cpu_seconds: float
    """Of all its processes, to the last byte delivered."""
    worker_megabytes: float
    """Peak resident memory of its largest worker."""
    agent_megabytes: float = 0.0
    """A yardstick has none."""
    megabytes: float = 0.0
    """Peaks of all its processes, added."""
    refused: int = 0
    broken: int = 0

    @classmethod
    def of(cls, server: str, load: Load, answers: Answers, **measured: Any) -> Self:
        """Join what was asked, what came back, and what it took."""
        return cls(
            server=server,
            batch=load.records,
            encoding="gzip" if load.is_gzip else "plain",
            connections=load.connections,
            tenants=len(load.scopes),
            requests_per_second=answers.requests / answers.seconds,
            records_per_second=answers.requests * load.records / answers.seconds,
            p50_milliseconds=answers.p50_milliseconds,
            p99_milliseconds=answers.p99_milliseconds,
            refused=answers.refused,
            broken=answers.broken,
            **measured,
        )

    @property
    def records(self) -> int:
        """Records taken in."""
        return self.requests * self.batch

    @property
    def microseconds_per_request(self) -> float:
        """CPU time per request."""
        return self.cpu_seconds / self.requests * 1e6

    @property
    def cpu_seconds_per_million(self) -> float:
        """CPU seconds per million records."""
        return self.cpu_seconds / self.records * 1e6

    def as_json(self) -> dict[str, Any]:
        """Return all of it, the derived numbers too."""
        return {**asdict(self), "cpu_seconds_per_million_records": self.cpu_seconds_per_million}
