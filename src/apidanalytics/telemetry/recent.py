"""The last log lines of a process, as they were logged: masked, newest last, bounded."""

import threading
from collections import deque
from collections.abc import Mapping
from itertools import count
from typing import Any, Final

MOST_LINES: Final = 500
LONGEST_VALUE: Final = 600
"""Characters of a value that are kept."""

Line = Mapping[str, Any]


class Recent:
    """A bounded ring of log lines, each with a number that grows."""

    def __init__(self, most_lines: int = MOST_LINES) -> None:
        self._lines: deque[tuple[int, Line]] = deque(maxlen=most_lines)
        self._numbers = count(1)
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Recent {len(self._lines)} lines>"

    def add(self, line: Line) -> None:
        """Keep one line. From any thread."""
        kept = {name: _short(value) for name, value in line.items()}
        with self._lock:
            self._lines.append((next(self._numbers), kept))

    def after(self, number: int, most: int = MOST_LINES) -> list[tuple[int, Line]]:
        """Return the newest lines with numbers above this one, oldest first."""
        with self._lock:
            found = [entry for entry in self._lines if entry[0] > number]
        return found[-most:]


def _short(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float) else str(value)[:LONGEST_VALUE]
