"""The breaker: whether the endpoint or the store as a whole is in trouble, so that nobody's attempts are burnt.

::

             the endpoint does not answer, or refuses the token;
             or the second failure in a row, of several tenants or of the only one there is
    closed ------------------------------------------------------------------------------> open
       ^                                                                                     | one probe at a time,
       +---- a delivery, or an answer that shows that endpoint and store are there ----------+ after growing pauses

A state is a value and ``after`` is a pure function from one to the next. A single failure of one tenant among others
is that tenant's own: its bucket may be gone. The first two of the failures in a row tell the difference.
"""

from dataclasses import dataclass, replace
from typing import Final

from apidanalytics.upload.decide import Policy
from apidanalytics.upload.outcome import (
    Delivered,
    Faulty,
    Outcome,
    Party,
    Refused,
    Throttled,
    TokenRefused,
    Unreachable,
    Unreadable,
)

_CONVINCED: Final = 3
"""After so many tenants have failed, a tenant that has not is not probed out of turn any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Why nothing is sent, and when the next probe may go."""

    since: float
    """Monotonic seconds, as all instants here."""
    party: Party
    reason: str
    is_certain: bool
    """The endpoint is not there, or refuses our token: no tenant can fare better."""
    probes: int
    """Failed probes so far."""
    probe_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """What the last outcomes say about everybody."""

    failures: int = 0
    """In a row, with no delivery between, that could be everybody's."""
    suspects: frozenset[str] = frozenset()
    """Tenants of these failures."""
    open: Open | None = None

    def is_due(self, now: float) -> bool:
        """Tell whether a probe may go now."""
        return self.open is None or now >= self.open.probe_at

    @property
    def passes_newcomers(self) -> bool:
        """A tenant that is no suspect may be tried at once: perhaps the trouble is not everybody's after all."""
        return self.open is not None and not self.open.is_certain and len(self.suspects) < _CONVINCED

    def after(
        self, outcome: Outcome, tenant: str, *, alone: bool, was_probe: bool, now: float, random: float, policy: Policy
    ) -> "Breaker":
        """Return the state after an attempt.

        ``alone`` tells that no other tenant has anything to send, so that there is nobody to compare with.
        """
        if isinstance(outcome, Delivered):
            return Breaker()
        if isinstance(outcome, Unreadable):
            return self
        if isinstance(outcome, Refused | Throttled):
            return self._answered(outcome)
        heard = replace(self, failures=self.failures + 1, suspects=self.suspects | {tenant})
        # While it is open, what had been sent before says nothing new.
        opens = was_probe if self.open else _is_everybodys(heard, outcome, alone=alone)
        return replace(heard, open=_opening(self.open, outcome, now, random, policy)) if opens else heard

    def _answered(self, outcome: Refused | Throttled) -> "Breaker":
        if self.open is None:
            return self
        # Whoever throttles is there. To refuse one tenant, the endpoint had to be there and to take our token; of the
        # store, a refusal says nothing.
        is_there = isinstance(outcome, Throttled) and outcome.party is self.open.party
        return Breaker() if is_there or self.open.party is Party.ENDPOINT else self


def _is_everybodys(heard: Breaker, outcome: Outcome, *, alone: bool) -> bool:
    return _is_certain(outcome) or (heard.failures > 1 and (alone or len(heard.suspects) > 1))


def _is_certain(outcome: Outcome) -> bool:
    if isinstance(outcome, Unreachable):
        return outcome.party is Party.ENDPOINT
    return isinstance(outcome, TokenRefused)


def _opening(
    before: Open | None,
    outcome: Faulty | Unreachable | TokenRefused,
    now: float,
    random: float,
    policy: Policy,
) -> Open:
    probes = 0 if before is None else before.probes + 1
    pause = policy.breaker_pauses.after(probes + 1, random)
    return Open(
        since=now if before is None else before.since,
        party=Party.ENDPOINT if isinstance(outcome, TokenRefused) else outcome.party,
        reason=outcome.reason,
        is_certain=_is_certain(outcome),
        probes=probes,
        probe_at=now + pause,
    )
