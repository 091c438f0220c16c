"""The settings of this room."""

from dataclasses import dataclass, field

from apidanalytics.upload.decide import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadSettings:
    """How much, how often, how long."""

    concurrency: int = 4
    """``apidanalytics_upload_concurrency``"""
    interval_seconds: float = 5.0
    """``apidanalytics_upload_interval``: the longest time until something new is noticed by looking."""
    failed_retry_seconds: float = 600.0
    """``apidanalytics_failed_retry_interval``"""
    retention_seconds: float = 7 * 86400.0
    """``apidanalytics_ledger_retention``"""
    policy: Policy = field(default_factory=Policy)

    @property
    def ahead(self) -> int:
        """Return how many files are got ready while others are sent: so many that several are at a time."""
        return 3 * self.concurrency
