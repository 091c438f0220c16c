"""What became of attempts to deliver: counted by result, with each tenant's trouble and since when it has lasted.

``WatchedCollection`` stands between the uploader and its collection, and neither knows that it is there.
"""

from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import Final

from apidanalytics.clock import Clock
from apidanalytics.telemetry.histogram import Histogram
from apidanalytics.upload.client import Delivery
from apidanalytics.upload.outcome import (
    Delivered,
    Faulty,
    Outcome,
    Refused,
    Throttled,
    TokenRefused,
    Unreachable,
    Unreadable,
)
from apidanalytics.upload.ports import Collection

REMEMBERED: Final = 2000
"""Attempts that are remembered one by one."""

RESULTS: Final[dict[type[Outcome], str]] = {
    Delivered: "delivered",
    Refused: "refused",
    Faulty: "faulty",
    Unreachable: "unreachable",
    Throttled: "throttled",
    TokenRefused: "token_refused",
    Unreadable: "unreadable",
}
"""What an outcome is called in metrics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt to deliver one file."""

    tenant: str
    name: str
    began_at: float
    """Unix time."""
    seconds: float
    result: str
    """A name in ``RESULTS``."""
    reason: str | None
    """Why it failed; None when it did not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A tenant whose last attempt failed."""

    tenant: str
    since: float
    """Unix time of the first failure since the last success."""
    reason: str
    failures: int = 1


@dataclass(slots=True)
class Attempts:
    """The attempts since the agent started."""

    by_result: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(RESULTS.values(), 0)))
    seconds: Histogram = field(default_factory=Histogram)
    """From asking for the URL to the store's answer, the wait for a turn to send included, of those that delivered."""
    bytes: int = 0
    """Delivered, as sent."""
    last_delivered_at: float | None = None
    recent: deque[Attempt] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    troubles: dict[str, Trouble] = field(default_factory=dict)
    """By tenant; only tenants with something to send can be in it."""

    def note(self, attempt: Attempt, size_bytes: int) -> None:
        """Take note of one attempt that has ended."""
        self.by_result[attempt.result] += 1
        self.recent.append(attempt)
        if attempt.reason is not None:
            known = self.troubles.get(attempt.tenant)
            self.troubles[attempt.tenant] = (
                replace(known, reason=attempt.reason, failures=known.failures + 1)
                if known
                else Trouble(tenant=attempt.tenant, since=attempt.began_at, reason=attempt.reason)
            )
            return
        self.seconds.observe(attempt.seconds)
        self.bytes += size_bytes
        self.last_delivered_at = attempt.began_at + attempt.seconds
        self.troubles.pop(attempt.tenant, None)

    def of_file(self, name: str) -> list[Attempt]:
        """Return what is remembered of one file, oldest first."""
        return [attempt for attempt in self.recent if attempt.name == name]


class WatchedCollection:
    """Delivers through another collection, and takes note of what became of it."""

    def __init__(self, collection: Collection, attempts: Attempts, clock: Clock) -> None:
        self._collection = collection
        self._attempts = attempts
        self._clock = clock

    def __repr__(self) -> str:
        return f"<WatchedCollection {self._collection!r}>"

    async def deliver(self, delivery: Delivery) -> Outcome:
        """Make one attempt; it ends with an outcome."""
        began_at, began = self._clock.now(), self._clock.monotonic()
        outcome = await self._collection.deliver(delivery)
        attempt = Attempt(
            tenant=delivery.tenant,
            name=delivery.name,
            began_at=began_at,
            seconds=self._clock.monotonic() - began,
            result=RESULTS[type(outcome)],
            reason=None if isinstance(outcome, Delivered) else outcome.reason,
        )
        self._attempts.note(attempt, delivery.content.size_bytes)
        return outcome
