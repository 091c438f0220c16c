"""What is examined: the settings, and the service that runs with them, if one does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from apidanalytics.config import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """All that the checks are given."""

    settings: Settings
    embedded: bool
    status: dict[str, Any] | None
    """What the running service says of itself; None: none runs."""
    running_settings: dict[str, str]
    """Its settings as it shows them, by key."""
    timeout_seconds: float
    """For each call to somebody else."""
    tenant: str | None = None
    """Whom to ask a signed URL for; None: any that is known."""
    spoiled: Sequence[str] = ()
    """What is wrong with the configuration of a service that was started before."""
    uploads: bool = False
    """Whether to upload an empty object."""

    @property
    def is_running(self) -> bool:
        """Whether a service answers."""
        return self.status is not None
