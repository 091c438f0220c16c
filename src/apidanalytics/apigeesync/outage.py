"""What the log is told of attempts that fail one after the other: what is new, and once an hour that it still lasts."""

from typing import Final

from apidanalytics.clock import Clock

REMIND_SECONDS: Final = 3600.0
"""So long nothing is said of what was said already."""
MOST_REASONS: Final = 5
"""So many are said at once; of more, such as one with a number that counts up, one an hour."""


class Outage:
    """From the first failed attempt to the next good one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = 0.0
        self._said_at = 0.0
        self._said: set[str] = set()
        self.since: float | None = None
        """Unix time of the first failed attempt; None: the last one was good."""
        self.attempts = 0
        """That failed, since then."""

    def __repr__(self) -> str:
        return f"<Outage since={self.since} attempts={self.attempts}>"

    @property
    def seconds(self) -> float:
        """How long it has lasted, to a tenth."""
        return 0.0 if self.since is None else round(self._clock.monotonic() - self._began, 1)

    def failed(self, reason: str) -> bool:
        """Note a failed attempt; return whether to say so."""
        now = self._clock.monotonic()
        if self.since is None:
            self.since, self._began = self._clock.now(), now
        self.attempts += 1
        is_new = reason not in self._said and len(self._said) < MOST_REASONS
        if not is_new and now - self._said_at < REMIND_SECONDS:
            return False
        if is_new:
            self._said.add(reason)
        self._said_at = now
        return True

    def end(self) -> None:
        """Note a good attempt."""
        self._said.clear()
        self.since, self.attempts = None, 0
