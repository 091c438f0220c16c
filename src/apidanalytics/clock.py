"""Time as a port: what decides takes its instants from here, so that a test can set them."""

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time of day and the time passed."""

    def now(self) -> float:
        """Return Unix time in seconds. It may jump in either direction."""

    def monotonic(self) -> float:
        """Return seconds since some fixed instant. It never goes back."""


class SystemClock:
    """The machine's own clocks."""

    now = staticmethod(time.time)  # without a frame of ours around it: it is asked once per request
    monotonic = staticmethod(time.monotonic)
