"""What stands in ``damaged/``, for a person to look at and to remove."""

import os
from pathlib import Path
from typing import Final

MOST_PIECES: Final = 1000
"""Counted at most: a look must not list a huge directory."""
_BESIDE: Final = (".reason.json", ".part", "-wal", "-shm")
"""Ends of names that belong to a piece, or to one that is being copied."""


def count_pieces(directory: Path) -> int:
    """Return how many pieces stand there, up to ``MOST_PIECES``; 0 if it cannot be read, too."""
    pieces = 0
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                pieces += not entry.name.endswith(_BESIDE)
                if pieces == MOST_PIECES:
                    break
    except OSError:
        return 0
    return pieces
