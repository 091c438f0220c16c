"""Where scope data comes from: the port, what it publishes, and how it says no.

The agent polls one ``ScopeSource`` and tells the workers which file to read: a scopes file and a database of the
user's are watched (``watch``). What follows a feed (Apigee Sync) publishes by itself: a new version for each snapshot,
and the same version with news for each change list that went into its file.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from apidanalytics.errors import ApidAnalyticsError
from apidanalytics.scopes.news import News

MAX_PROBLEMS: Final = 20
"""How many problems an error's text lists; the rest is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A version of the scope data that workers can read."""

    version: str
    path: Path
    """An SQLite file. It stays where it is until ``retain`` lets go of it."""
    tenants: int
    """Number of orgs with an env."""
    api_keys: int
    """Number of API keys, each counted once per tenant id."""
    news: News | None = None
    """What the last change list changed in the file; None: the version is new."""


class ScopeSource(Protocol):
    """Brings scope data into files that the workers read. Blocking; for one thread at a time."""

    def poll(self) -> Published | None:
        """Return the new version if there is one, else None. Called about twice a second. Never raises for bad data."""

    def retain(self, in_use: Collection[str]) -> None:
        """Remove every version but the current one and these, which workers may still read."""


class SourceError(ApidAnalyticsError):
    """The scope data is not what it should be; ``problems`` lists every reason. The same content fails again."""

    def __init__(self, problems: Sequence[str]) -> None:
        more = [f"and {len(problems) - MAX_PROBLEMS} more"] if len(problems) > MAX_PROBLEMS else []
        super().__init__("; ".join([*problems[:MAX_PROBLEMS], *more]))
        self.problems = tuple(problems)
