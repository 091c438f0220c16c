"""What is written beside an index of keys that was damaged and set aside: since when, until when, and how much."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from apidanalytics import durable
from apidanalytics.instants import format_recovery_time
from apidanalytics.layout import parse_key_index

_ENDING = ".reason.json"


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """One index that was lost."""

    reason: str
    """What was found wrong with it."""
    was: str
    """The name that it had."""
    at: float
    """Unix time at which it was set aside."""
    bytes: int
    """Its length."""
    window_seconds: float
    """How long it kept a key."""
    kept: int
    """Keys that were found again, in spools not yet packed."""

    @property
    def name(self) -> str:
        """Its name in ``damaged/``."""
        return f"{self.was}.{format_recovery_time(self.at)}"

    @property
    def sentence(self) -> str:
        """Say what is forgotten, and how long that matters."""
        since, until = (_instant(self.at + shift) for shift in (-self.window_seconds, self.window_seconds))
        return (
            f"The index of keys was damaged ({self.reason}) and set aside as damaged/{self.name}: a batch whose "
            f"Idempotency-Key was used between {since} and {_instant(self.at)} may have been stored again "
            f"if it was repeated by {until}; {self.kept} keys were kept, from spools that were not packed yet."
        )

    def write(self, damaged: Path) -> None:
        """Write it beside the index, durably."""
        text = msgspec.json.format(msgspec.json.encode(self), indent=2)
        durable.write(damaged / f"{self.name}{_ENDING}", text)


def find_lost(damaged: Path) -> list[Lost]:
    """Return every index that was set aside here, the oldest first."""
    return sorted(_read_all(damaged), key=lambda lost: lost.at)


def _read_all(damaged: Path) -> Iterator[Lost]:
    for path in damaged.glob(f"index*{_ENDING}"):
        with suppress(OSError, ValueError):  # msgspec's errors are some; it is a file of somebody else
            lost = msgspec.json.decode(path.read_bytes(), type=Lost)
            parse_key_index(lost.was)
            yield lost


def _instant(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
