"""What follows from an attempt, decided without doing anything: pure functions, told the state and the chance.

=============  ===========================================  ==================================================
outcome        while the breaker is closed                  while it is open, or when this outcome opened it
=============  ===========================================  ==================================================
Delivered      Done                                         Done
Refused        attempt counted: Defer, at the last GiveUp   the same: it is this tenant's trouble in any case
..permanent    GiveUp at once                               the same
Unreadable     the same                                     the same
Faulty         the same                                     Return
Unreachable    Hold: nothing counted, the tenant waits      Return: nothing counted, the breaker says when
Throttled      Hold, as long as we were told                the same: who throttles is there
TokenRefused   (always opens it)                            Return
=============  ===========================================  ==================================================
"""

# ruff: noqa: RUF009 - a Backoff is frozen
from dataclasses import dataclass
from typing import Final

from apidanalytics.backoff import Backoff
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

LONGEST_WAIT_SECONDS: Final = 3600.0
"""Nobody is left alone for longer, whatever ``Retry-After`` says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How patient the uploader is."""

    attempts: int = 3
    """``apidanalytics_upload_attempts``: a file moves to ``failed/`` after so many that count."""
    file_pauses: Backoff = Backoff(first_seconds=2, factor=4, longest_seconds=300)
    """Between the attempts of one file."""
    tenant_pauses: Backoff = Backoff(first_seconds=2, factor=2, longest_seconds=120)
    """For a tenant whose own store does not answer."""
    breaker_pauses: Backoff = Backoff(first_seconds=1, factor=2, longest_seconds=30)
    """Between the probes of an open breaker."""
    crawl_seconds: float = 3.0
    """An upload that takes longer gives its place to other tenants that wait, and goes on beside them."""

    @property
    def longest_deferral_seconds(self) -> float:
        """No file is put off for longer; the pause before its last attempt may be as long."""
        return self.file_pauses.after(self.attempts - 1, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The file is uploaded."""

    etag: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Defer:
    """The file is tried again, later; others go on."""

    attempts: int
    pause_seconds: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """The file moves to ``failed/``."""

    attempts: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Nothing of this tenant is sent for a while; the file keeps its place and its attempts."""

    pause_seconds: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """The file keeps its place and its attempts; the breaker says when anything is sent again."""

    reason: str


Decision = Done | Defer | GiveUp | Hold | Return


def decide(
    outcome: Outcome, *, attempts: int, tenant_failures: int, is_open: bool, random: float, policy: Policy
) -> Decision:
    """Decide about one file.

    ``attempts`` counted before this one; ``tenant_failures`` in a row, this one included; ``is_open`` tells whether the
    breaker is open now that it has heard of this outcome.
    """
    if isinstance(outcome, Delivered):
        return Done(etag=outcome.etag)
    if isinstance(outcome, TokenRefused) or (is_open and isinstance(outcome, Faulty | Unreachable)):
        return Return(reason=outcome.reason)
    if isinstance(outcome, Unreachable | Throttled):
        pause = policy.tenant_pauses.after(tenant_failures, random)
        return Hold(pause_seconds=max(pause, told(outcome)), reason=outcome.reason)
    return _count(outcome, attempts + 1, random, policy)


def told(outcome: Outcome) -> float:
    """Return how long we were told to wait, in seconds; 0 if nobody said."""
    asked = outcome.retry_after_seconds if isinstance(outcome, Throttled) else None
    return min(max(asked or 0.0, 0.0), LONGEST_WAIT_SECONDS)


def _count(outcome: Refused | Unreadable | Faulty, attempts: int, random: float, policy: Policy) -> Defer | GiveUp:
    if attempts >= policy.attempts or (isinstance(outcome, Refused) and outcome.is_permanent):
        return GiveUp(attempts=attempts, reason=outcome.reason)
    return Defer(attempts=attempts, pause_seconds=policy.file_pauses.after(attempts, random), reason=outcome.reason)
