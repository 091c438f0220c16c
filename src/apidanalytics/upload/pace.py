"""The pace: how much is sent while the others ask for less, and when they have just come back.

Who throttles is there and knows what he does, so nothing is counted and no breaker opens. One tenant that is throttled
waits alone: its bucket, or its share at the endpoint, may be the busy one. When a second tenant is, with no delivery
between, everybody leaves them alone for as long as they said. After that, and after an outage, uploads begin one
or two at a time, and each answer lets one more run: full speed within a few answers, and no stampede.
"""

from dataclasses import dataclass, replace
from typing import Final

from apidanalytics.upload.decide import Policy, told
from apidanalytics.upload.outcome import Throttled

_SPREAD: Final = 0.1
"""Collectors that were told the same do not come back at the same moment, but within this share of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """A value; instants are monotonic seconds."""

    slots: int
    """Uploads at a time, at full speed."""
    allowed: int
    """Uploads at a time, now."""
    quiet_until: float | None = None
    """Nothing is sent before."""
    reason: str = ""
    """Why it is not."""
    quiets: int = 0
    """Since the last delivery."""
    throttled: frozenset[str] = frozenset()
    """Tenants throttled since the last delivery."""

    @classmethod
    def full(cls, slots: int) -> "Pace":
        """Return full speed."""
        return cls(slots=slots, allowed=slots)

    def is_quiet(self, now: float) -> bool:
        """Tell whether nothing may be sent."""
        return self.quiet_until is not None and now < self.quiet_until

    def answered(self) -> "Pace":
        """Return the pace after a party took or refused something."""
        return self if self.allowed == self.slots else replace(self, allowed=self.allowed + 1)

    def delivered(self) -> "Pace":
        """Return the pace after a delivery."""
        return replace(self.answered(), quiets=0, throttled=frozenset()) if self.throttled else self.answered()

    def resumed(self) -> "Pace":
        """Return the pace after an outage."""
        return replace(self, allowed=min(2, self.slots))

    def after_throttle(self, outcome: Throttled, tenant: str, now: float, random: float, policy: Policy) -> "Pace":
        """Return the pace after somebody asked for less."""
        heard = replace(self, throttled=self.throttled | {tenant})
        if len(heard.throttled) == 1:
            return heard
        # What had been sent before the quiet began can prolong it, but is no second reason.
        quiets = self.quiets if self.is_quiet(now) else self.quiets + 1
        pause = max(policy.breaker_pauses.after(quiets, random), told(outcome) * (1 + _SPREAD * random))
        until = max(self.quiet_until or 0.0, now + pause)
        return replace(heard, allowed=1, quiet_until=until, reason=outcome.reason, quiets=quiets)
