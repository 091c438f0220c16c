"""The audit log: one line of JSON for every URL that was handed out, written before it is.

::

    {"at": "2026-01-02T03:04:05.678Z", "token": "collector-1", "tenant": "acme~prod", "store": "main",
     "key": "acme~prod/date=.../...", "content_type": "application/x-gzip", "encrypt": true,
     "expires_at": "2026-01-02T03:19:05Z", "client": "10.0.0.7"}

Never the URL nor its signature: the log tells who may have written what, and gives nobody that power.

A file is rotated before it is larger or when it is older than it may be: it gets its end time as a suffix
(``audit.log.20260102T030405Z``), and the oldest ones beyond those to keep are removed.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from apidanalytics.clock import Clock
from apidanalytics.errands import Errands

_SUFFIX: Final = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """When a file ends, and how many ended ones stay."""

    max_bytes: int
    max_age_seconds: float
    keep: int


class AuditLog:
    """Appends entries by a thread of its own; those that come while others are being written go in one write."""

    def __init__(self, path: Path, rotation: Rotation, clock: Clock) -> None:
        self._path = path
        self.rotation = rotation
        self._clock = clock
        self._writing: Errands[bytes, None] = Errands("audit", self._append_all)
        self._known: tuple[int, float] = (0, 0.0)
        """Inode of the current file, and the time of its first entry."""

    def __repr__(self) -> str:
        return f"<AuditLog {self._path}>"

    async def write(self, entry: Mapping[str, Any]) -> None:
        """Write one entry; when this returns, the kernel has it.

        Raises:
            OSError: the disk is full or failing, and the entry is not there.

        """
        at = format_time(self._clock.now(), milliseconds=True)
        await self._writing.do(msgspec.json.encode({"at": at, **entry}) + b"\n")

    def close(self) -> None:
        """Let the thread end once it has written what it was given; another entry starts it anew. Twice is fine."""
        self._writing.close()

    # In the thread.

    def _append_all(self, lines: Sequence[bytes]) -> list[Exception | None]:
        self._append(b"".join(lines))
        return [None] * len(lines)

    def _append(self, content: bytes) -> None:
        """Append to the file that has the name now: whoever moved one away meanwhile gets no more lines into it."""
        descriptor = self._open()
        try:
            seen = os.fstat(descriptor)
            if seen.st_size and self._is_due(seen, len(content)):
                self._rotate()
                ended, descriptor = descriptor, self._open()
                os.close(ended)
            _write_all(descriptor, content)
        finally:
            os.close(descriptor)

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def _is_due(self, seen: os.stat_result, more_bytes: int) -> bool:
        if self._known[0] != seen.st_ino:
            self._known = (seen.st_ino, self._began_at())
        is_old = abs(self._clock.now() - self._known[1]) >= self.rotation.max_age_seconds  # the clock may jump
        return is_old or seen.st_size + more_bytes > self.rotation.max_bytes

    def _began_at(self) -> float:
        """Return the time of the first entry; of a file that does not begin with one, that of its last change."""
        with self._path.open("rb") as file:
            first = file.readline(4096)
        try:
            return datetime.fromisoformat(json.loads(first)["at"]).timestamp()
        except (ValueError, KeyError, TypeError):
            return self._path.stat().st_mtime

    def _rotate(self) -> None:
        self._path.rename(self._free_name(self._clock.now()))
        self._known = (0, 0.0)  # the next file may get the inode of one that is removed
        self._remove_oldest()

    def _free_name(self, now: float) -> Path:
        name = f"{self._path.name}.{datetime.fromtimestamp(now, UTC):{_SUFFIX}}"
        candidates = (self._path.with_name(f"{name}.{n}" if n else name) for n in range(1_000_000))
        return next(path for path in candidates if not path.exists())

    def _remove_oldest(self) -> None:
        ended = sorted(self._path.parent.glob(f"{self._path.name}.[0-9]*T*Z*"), key=lambda path: path.stat().st_mtime)
        for path in ended[: max(0, len(ended) - self.rotation.keep)]:
            path.unlink(missing_ok=True)


def format_time(at: float, *, milliseconds: bool = False) -> str:
    """Return Unix time as ISO 8601, UTC."""
    exact = datetime.fromtimestamp(at, UTC)
    return f"{exact.isoformat(timespec='milliseconds' if milliseconds else 'seconds').removesuffix('+00:00')}Z"


def _write_all(descriptor: int, content: bytes) -> None:
    start = os.fstat(descriptor).st_size
    view = memoryview(content)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError:
        os.ftruncate(descriptor, start)  # no half lines, and none of a URL that nobody got
        raise
