"""Where scope data comes from: the port, what it publishes, and how it says no.

The agent polls one ``ScopeSource`` and tells the workers which file to read. A scopes file and a database of the
user's are watched (``watch``); one that follows Apigee Sync fits the same port, with a new version for each snapshot
and its change lists as transactions inside the file, which the workers notice by themselves.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from apidanalytics.errors import ApidAnalyticsError

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


class ScopeSource(Protocol):
    """Brings scope data into files that the workers read. Blocking; for one thread at a time."""

    def poll(self) -> Published | None:
        """Return the new version if there is one, else None. Called about once a second. Never raises for bad data."""

    def retain(self, in_use: Collection[str]) -> None:
        """Remove every version but the current one and these, which workers may still read."""


class SourceError(ApidAnalyticsError):
    """The scope data is not what it should be; ``problems`` lists every reason. The same content fails again."""

    def __init__(self, problems: Sequence[str]) -> None:
        more = [f"and {len(problems) - MAX_PROBLEMS} more"] if len(problems) > MAX_PROBLEMS else []
        super().__init__("; ".join([*problems[:MAX_PROBLEMS], *more]))
        self.problems = tuple(problems)
