"""What the uploader needs of whoever takes the files."""

from typing import Protocol

from apidanalytics.upload.client import Delivery
from apidanalytics.upload.outcome import Outcome


class Collection(Protocol):
    """Where files go."""

    async def deliver(self, delivery: Delivery) -> Outcome:
        """Make one attempt; it ends with an outcome."""
