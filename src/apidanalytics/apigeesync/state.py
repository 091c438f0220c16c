"""What is known of how well the scope data follows Apigee Sync: for the status, and for a log line a change.

::

    starting --> behind <--> following        no data yet; serving what is there, without an answer so far; current
                  |  ^        |  ^
                  v  |        v  |
                    resyncing                 a new snapshot is being fetched, the old one serves
    offline                                   apigeesync_diagnostic_mode: serving what is there, asking nobody
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import structlog

from apidanalytics.apigeesync.outage import Outage
from apidanalytics.clock import Clock

_log: Final = structlog.get_logger()

_LOOK: Final = (
    "it is tried again by itself; as the reason says, look at the server, at the way to it, or at the disk here"
)
_SERVES: Final = f"batches are served from what is there, without what changed since; {_LOOK}"
_HAS_NONE: Final = f"there is no scope data, so every batch gets 500; {_LOOK}"


class State(StrEnum):
    """How well the scope data follows."""

    STARTING = "starting"
    FOLLOWING = "following"
    BEHIND = "behind"
    RESYNCING = "resyncing"
    OFFLINE = "offline"


@dataclass(kw_only=True)
class SyncState:
    """The state with what explains it. Holds no secret."""

    clock: Clock
    state: State = State.STARTING
    version: str = ""
    sequence: str = ""
    snapshot_at: float | None = None
    """Unix time of the snapshot that is served."""
    last_contact_at: float | None = None
    """Unix time of the last good answer, also one from before the last start."""
    last_error: str = ""
    failures: int = field(default=0)
    """Failed attempts in a row."""
    outage: Outage = field(init=False)
    _needed: str = ""
    """Why a snapshot is needed, as it was said last."""

    def __post_init__(self) -> None:
        self.outage = Outage(self.clock)

    def heard(self) -> None:
        """Note a good answer while a new snapshot is on its way: what that one will say is open."""
        self.last_contact_at = self.clock.now()
        self.failures = 0  # those of the snapshot must not make the next pause of following longer

    def reached(self) -> None:
        """Note a good answer: what is served is current."""
        self.last_contact_at = self.clock.now()
        outage = self.outage
        if self.last_error:
            _log.info(
                "sync.mended", sequence=self.sequence, failed_for_seconds=outage.seconds, attempts=outage.attempts
            )
        outage.end()
        self.last_error, self.failures, self._needed = "", 0, ""
        self.state = State.FOLLOWING

    def failed(self, reason: str, pause_seconds: float) -> None:
        """Note a failed attempt; it is logged when its reason is new, and once an hour while it lasts."""
        self.failures += 1
        self.last_error = reason
        if self.outage.failed(reason):
            self._say(pause_seconds)
        if self.state is not State.STARTING:
            self.state = State.BEHIND

    def resyncing(self, reason: str) -> None:
        """Note that a new snapshot is needed, and why; it is logged once, however many attempts that takes."""
        if reason != self._needed:
            _log.info("sync.snapshot_needed", reason=reason, serving=self.version or None)
        self._needed = reason
        if self.version:
            self.state = State.RESYNCING

    def as_json(self) -> dict[str, Any]:
        """Return it for the status."""
        contact = self.last_contact_at
        return {
            "source": "apigee-sync",
            "version": self.version or None,
            "sequence": self.sequence or None,
            "state": self.state.value,
            "snapshot_at": self.snapshot_at,
            "last_contact_at": contact,
            "age_seconds": None if contact is None else round(max(self.clock.now() - contact, 0.0), 1),
            "last_error": self.last_error or None,
        }

    def _say(self, pause_seconds: float) -> None:
        fields = {
            "reason": self.last_error,
            "failing_for_seconds": self.outage.seconds,
            "attempts": self.outage.attempts,
            "retry_in_seconds": round(pause_seconds, 1),
        }
        if self.version:
            _log.warning("sync.failed", serving=self.version, **fields, hint=_SERVES)
        else:
            _log.error("sync.failed", serving=None, **fields, hint=_HAS_NONE)
