"""What stands in ``damaged/``, for a person to look at and to remove."""

import os
from pathlib import Path
from typing import Final

MOST_PIECES: Final = 1000
"""Counted at most: a look must not list a huge directory."""
_BESIDE: Final = (".reason.json", ".part", "-wal", "-shm")
"""Ends of names that belong to a piece, or to one that is being copied."""


def count_pieces(directory: Path) -> int | None:
    """Return how many pieces stand there, up to ``MOST_PIECES``; None if it cannot be read."""
    pieces = 0
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                pieces += not entry.name.endswith(_BESIDE)
                if pieces == MOST_PIECES:
                    break
    except FileNotFoundError:
        return 0
    except OSError:
        return None
    return pieces
