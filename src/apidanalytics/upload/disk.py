"""What is said when the data directory's disk refuses: once when it begins, once when it is over."""

import sqlite3
from typing import Final

import structlog

DISK_TROUBLE: Final = (sqlite3.OperationalError, OSError)
"""What may pass by itself: a full or failing disk. Anything else is a defect, or a damaged ledger."""

log = structlog.get_logger()


class DiskWatch:
    """Remembers whether the disk refuses."""

    def __init__(self) -> None:
        self._refuses = False

    def __repr__(self) -> str:
        return f"<DiskWatch {'refuses' if self._refuses else 'fine'}>"

    def refused(self, error: Exception) -> None:
        """Note that it refused."""
        if not self._refuses:
            log.error(
                "upload.disk_trouble",
                reason=str(error),
                hint="The data directory's disk is full or failing. What cannot be noted now is tried again.",
            )
        self._refuses = True

    def worked(self) -> None:
        """Note that it took something."""
        if self._refuses:
            log.info("upload.disk_trouble_over")
        self._refuses = False
