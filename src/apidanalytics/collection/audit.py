"""The audit log: one line of JSON for every URL that was handed out, written before it is.

::

    {"at": "2026-01-02T03:04:05.678Z", "token": "collector-1", "tenant": "acme~prod", "store": "main",
     "key": "acme~prod/date=.../...", "content_type": "application/x-gzip", "encrypt": true,
     "expires_at": "2026-01-02T03:19:05Z", "client": "10.0.0.7"}

Never the URL nor its signature: the log tells who may have written what, and gives nobody that power.

A file is rotated before it is larger or when it is older than it may be: it gets its end time as a suffix
(``audit.log.20260102T030405Z``), and the oldest ones beyond those to keep are removed.
"""

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from apidanalytics.clock import Clock

_SUFFIX: Final = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """When a file ends, and how many ended ones stay."""

    max_bytes: int
    max_age_seconds: float
    keep: int


class AuditLog:
    """Appends entries, those that come while others are being written in one go, by a thread."""

    def __init__(self, path: Path, rotation: Rotation, clock: Clock) -> None:
        self._path = path
        self.rotation = rotation
        self._clock = clock
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<AuditLog {self._path} waiting={len(self._waiting)}>"

    async def write(self, entry: Mapping[str, Any]) -> None:
        """Write one entry; when this returns, the kernel has it.

        Raises:
            OSError: the disk is full or failing, and the entry is not there.

        """
        at = format_time(self._clock.now(), milliseconds=True)
        line = json.dumps({"at": at, **entry}, ensure_ascii=False).encode() + b"\n"
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((line, written))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_waiting())
        await written

    async def _write_waiting(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(self._append, [line for line, _ in batch])
            except OSError as error:
                for _, written in batch:
                    if not written.done():
                        written.set_exception(error)
            else:
                for _, written in batch:
                    if not written.done():
                        written.set_result(None)

    def _append(self, lines: Sequence[bytes]) -> None:
        content = b"".join(lines)
        self._rotate_if_due(len(content))
        # Opened anew each time: whoever moved the file away meanwhile gets no more lines into it.
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            start = os.fstat(descriptor).st_size
            try:
                _write_all(descriptor, content)
            except OSError:
                os.ftruncate(descriptor, start)  # no half lines, and none of a URL that nobody got
                raise
        finally:
            os.close(descriptor)

    def _rotate_if_due(self, more_bytes: int) -> None:
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            return
        now = self._clock.now()
        is_old = now - self._began_at() >= self.rotation.max_age_seconds
        if size and (is_old or size + more_bytes > self.rotation.max_bytes):
            self._path.rename(self._free_name(now))
            self._remove_oldest()

    def _began_at(self) -> float:
        """Return the time of the first entry; of a file that does not begin with one, that of its last change."""
        with self._path.open("rb") as file:
            first = file.readline(4096)
        try:
            return datetime.fromisoformat(json.loads(first)["at"]).timestamp()
        except (ValueError, KeyError, TypeError):
            return self._path.stat().st_mtime

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
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
