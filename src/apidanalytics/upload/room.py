"""Memory for files that are read before it is their turn to be sent: so much and no more, whatever their number."""

import threading
from typing import Final

AHEAD_BYTES: Final = 12 << 20
"""Of an uploader: four files of a megabyte on their way, and eight that are ready."""


class Room:
    """So many bytes, given out and taken back by any thread."""

    def __init__(self, size_bytes: int = AHEAD_BYTES) -> None:
        self._free_bytes = size_bytes
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Room {self._free_bytes} bytes free>"

    def take(self, size_bytes: int) -> bool:
        """Take that much, if there is so much."""
        with self._lock:
            if size_bytes > self._free_bytes:
                return False
            self._free_bytes -= size_bytes
            return True

    def give_back(self, size_bytes: int) -> None:
        """Give back what was taken."""
        with self._lock:
            self._free_bytes += size_bytes
