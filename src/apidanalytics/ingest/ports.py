"""What stage 1 needs from others: who a tenant is, somewhere durable to put a batch, and a way to be woken."""

from collections.abc import Callable, Sequence
from typing import Protocol

from apidanalytics.model import Batch, Claim, Fate, Outcome, Tenant, Verdict, Wish


class Tails(Protocol):
    """How the lines of a tenant's records end, by API key: a comma, the developer data, ``}``, line feed.

    For None and ``""`` that is only the last two. Each question may raise ``LookupFailedError``. Good for one turn of
    the event loop.
    """

    def __getitem__(self, api_key: str | None, /) -> bytes:
        """Return the tail of the records with this key."""

    def of(self, api_keys: Sequence[str | None], /) -> Sequence[bytes]:
        """Return the tails of several keys, in their order."""


class Scopes(Protocol):
    """Answers who a scope, an org and env, or an API key is. Each question may raise ``LookupFailedError``."""

    def tenant(self, scope_uuid: str) -> Tenant | None:
        """Return the tenant behind this scope."""

    def tenant_of(self, org: str, env: str) -> Tenant | None:
        """Return the tenant of this org and env."""

    def tails(self, tenant: Tenant) -> Tails:
        """Return how the lines of this tenant's records end."""


class Spool(Protocol):
    """Makes batches durable."""

    on_room: Callable[[], None] | None
    """Called on the loop when there is room again after ``append`` returned False."""

    @property
    def is_writable(self) -> bool:
        """False while the disk refuses writes."""

    def append(self, batch: Batch, done: Callable[[Outcome], None], *, beyond: int = 0) -> bool:
        """Take a batch and call ``done`` exactly once, later, on the loop; or return False: full, nothing taken.

        A batch may use so many places ``beyond`` those that there are for all.
        """


class Keys(Protocol):
    """Knows which ``Idempotency-Key`` of a tenant was used with which body."""

    def claim(self, wish: Wish, done: Callable[[Verdict, Claim | None], None]) -> None:
        """Call ``done`` exactly once, later, on the loop; with a claim if, and only if, it was granted."""

    def settle(self, claim: Claim, fate: Fate) -> None:
        """Say what became of the batch of a claim. To be called once for each."""


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Forget the call."""


class Timers(Protocol):
    """The part of an event loop that tells and keeps time."""

    def time(self) -> float:
        """Return seconds since some fixed instant."""

    def call_at(self, when: float, callback: Callable[[], None], /) -> Timer:
        """Call back at that instant."""
