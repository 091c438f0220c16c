"""What is written of an index of keys that was damaged, or taken away: since when, until when, and how much."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from apidanalytics import durable
from apidanalytics.instants import format_recovery_time
from apidanalytics.layout import parse_key_index

_ENDING = ".reason.json"
_NAMED = 3
"""So many spools are named in a sentence."""


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """One index that was lost."""

    reason: str
    """What was found wrong with it."""
    was: str
    """The name that it had."""
    at: float
    """Unix time at which it was set aside."""
    bytes: int
    """Its length; 0 where it is gone."""
    window_seconds: float
    """How long it kept a key."""
    kept: int
    """Keys that were found again, in spools not yet packed."""
    unread: dict[str, str] = {}
    """Spools, or directories of them, that could not be read then, in part or at all, and why: keys in them are
    forgotten, too."""
    is_gone: bool = False
    """Whether somebody took it away: then there is nothing to look at."""
    is_suspected: bool = False
    """Whether that it was there is a guess: what could not be read may hold keys, and nothing else tells of any."""

    @property
    def name(self) -> str:
        """Its name in ``damaged/``."""
        return f"{self.was}.{format_recovery_time(self.at)}"

    @property
    def sentence(self) -> str:
        """Say what is forgotten, and how long that matters."""
        since, until = (_instant(at) for at in (self.at - self.window_seconds, self.until))
        return (
            f"The index of keys {self._what}: a batch whose Idempotency-Key was used between {since} and "
            f"{_instant(self.at)} may have been stored again if it was repeated by {until}; {self.kept} keys were "
            f"kept, from spools that were not packed yet.{self._sentence_on_unread()}"
        )

    @property
    def _what(self) -> str:
        if self.is_suspected:
            return "may be gone (there was none, and not all spools could be asked whether there ever was one)"
        return "is gone" if self.is_gone else f"was damaged ({self.reason}) and set aside as damaged/{self.name}"

    @property
    def until(self) -> float:
        """Unix time from which on no repeat of a forgotten key is within its window."""
        return self.at + self.window_seconds

    def _sentence_on_unread(self) -> str:
        if not self.unread:
            return ""
        names = [f"{name} ({why})" for name, why in sorted(self.unread.items())[:_NAMED]]
        more = len(self.unread) - len(names)
        listed = ", ".join(names) + (f" and {more} more" if more else "")
        return f" None were kept of what could not be read: {listed}. Once that is packed, its keys are known again."

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
