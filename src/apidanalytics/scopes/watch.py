"""Watches a file of scope data, and publishes a version whenever it says something new.

``WatchedFile`` is the source behind ``apidanalytics_scopes_file`` and ``apidanalytics_scopes_database``. A file that
is broken or missing leaves the last good version in force, across a restart too, and is read again when it changes.
"""

import os
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Final, Protocol, TypeAlias

import structlog

from apidanalytics.clock import Clock
from apidanalytics.scopes.compile import count
from apidanalytics.scopes.flaws import FlawsLog
from apidanalytics.scopes.source import Published, SourceError
from apidanalytics.scopes.tenants import Flaws
from apidanalytics.scopes.trouble import Lasting, Trouble
from apidanalytics.scopes.versions import Versions

SETTLED_SECONDS: Final = 0.2
"""A file changed less than this ago may still be half written: it is looked at again at the next poll."""

MOST_SECONDS_WAITED: Final = 2.0
"""A file that is written to all the time is read nevertheless after this."""

PAUSE_FACTOR: Final = 9
"""After reading comes a pause of this many times as long as it took: a tenth of the time at most goes into it."""

Signature: TypeAlias = tuple[tuple[int, int, int, int], ...]
"""Device, inode, time of change and size of each file that counts; empty: it is missing."""

_log: Final = structlog.get_logger()


class Form(Protocol):
    """What the watched file is."""

    @property
    def path(self) -> Path:
        """Return where it is."""

    def beside(self) -> Sequence[Path]:
        """Return further files whose change is a change of this one."""

    def compile(self, target: Path) -> Flaws:
        """Write what the file says to ``target``, as workers read it.

        Raises:
            SourceError: it is not what it should be; reading it again would give the same.
            OSError, sqlite3.Error: it cannot be read now.

        """


class Verdict(Enum):
    """What to do about a file at a poll."""

    NOTHING = "nothing"
    """It is as it was when it was read."""
    WAIT = "wait"
    """It has changed, but may still be changing, or was read only just now."""
    READ = "read"
    """Read it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the file system shows, and when."""

    signature: Signature
    changed_at: float
    """Unix time of the last change."""
    now: float
    """Unix time."""
    monotonic: float

    @property
    def is_settled(self) -> bool:
        """True when the last change is long enough ago that another one would show. A future one cannot be judged."""
        return not 0 <= self.now - self.changed_at < SETTLED_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What was read so far."""

    known: Signature | None = None
    """What needs no reading; None: it has to be read in any case."""
    waiting_since: float | None = None
    """Monotonic time of the first ``WAIT`` in a row."""
    not_before: float = float("-inf")
    """Monotonic time until which nothing is read."""
    is_first: bool = True
    """Nothing was ever read: somebody waits for it, so there is no waiting for a file to settle."""


def decide(seen: Seen, memory: Memory) -> Verdict:
    """Say what to do about a file that looks like this."""
    if seen.signature == memory.known:
        return Verdict.NOTHING
    if seen.monotonic < memory.not_before:
        return Verdict.WAIT
    if memory.is_first or seen.is_settled:
        return Verdict.READ
    waited = memory.waiting_since is not None and seen.monotonic - memory.waiting_since >= MOST_SECONDS_WAITED
    return Verdict.READ if waited else Verdict.WAIT


class WatchedFile:
    """A ``ScopeSource`` that compiles one file into versions."""

    def __init__(self, form: Form, directory: Path, clock: Clock) -> None:
        """Take over ``directory``, which only this source uses: ``<local_storage_path>/scopes``."""
        self._form = form
        self._clock = clock
        self._versions = Versions(directory, source=f"{type(form).__name__} {form.path.absolute()}")
        self._published: Published | None = None
        self._memory = Memory()
        self._flaws = FlawsLog()
        self._trouble = Trouble(
            "scopes.source",
            "the last good version stays in force; the file is read again when it changes",
            now=clock.now,
        )

    def __repr__(self) -> str:
        return f"<WatchedFile {self._form.path} published={self._published and self._published.version}>"

    @property
    def trouble(self) -> Lasting | None:
        """Why the file cannot be read now."""
        return self._trouble.now

    def poll(self) -> Published | None:
        """Return the new version if the file says something new."""
        seen = self._look()
        verdict = decide(seen, self._memory)
        if verdict is Verdict.NOTHING:
            return None
        if verdict is Verdict.WAIT:
            if self._memory.waiting_since is None:
                self._memory = replace(self._memory, waiting_since=seen.monotonic)
            return None
        return self._read(seen)

    def retain(self, in_use: Collection[str]) -> None:
        """Remove every version but the current one and these."""
        self._versions.retain(in_use)

    def _look(self) -> Seen:
        now, monotonic = self._clock.now(), self._clock.monotonic()
        main = _stat(self._form.path)
        if main is None:
            return Seen(signature=(), changed_at=0, now=now, monotonic=monotonic)
        others = [stat for stat in map(_stat, self._form.beside()) if stat is not None and stat.st_size]
        stats = [main, *others]
        return Seen(
            signature=tuple((stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats),
            changed_at=max(stat.st_mtime for stat in stats),
            now=now,
            monotonic=monotonic,
        )

    def _read(self, seen: Seen) -> Published | None:
        is_final = seen.is_settled
        try:
            published = self._publish()
        except SourceError as error:
            published = self._keep(str(error))
        except (OSError, sqlite3.Error) as error:  # a missing file stays missing until it shows; others may pass
            is_final = not seen.signature
            published = self._keep(str(error))
        finished = self._clock.monotonic()
        self._memory = Memory(
            known=seen.signature if is_final else None,
            not_before=finished + PAUSE_FACTOR * (finished - seen.monotonic),
            is_first=False,
        )
        return published

    def _publish(self) -> Published | None:
        flaws: list[Flaws] = []
        version = self._versions.publish(lambda target: flaws.append(self._form.compile(target)))
        self._flaws.log(flaws[0])
        self._trouble.end(source=str(self._form.path))
        return self._adopt(version)

    def _keep(self, reason: str) -> Published | None:
        """Go on with the last good version; at start that is the one an earlier process left."""
        serving = self._versions.current
        self._trouble.begin(reason, source=str(self._form.path), serving=serving)
        return self._adopt(serving) if serving else None

    def _adopt(self, version: str) -> Published | None:
        """Return this version, unless it is the one that was returned last."""
        if self._published is not None and self._published.version == version:
            return None
        path = self._versions.path(version)
        counts = count(path)
        self._published = Published(version=version, path=path, tenants=counts.tenants, api_keys=counts.api_keys)
        _log.info(
            "scopes.published",
            source=str(self._form.path),
            version=version,
            tenants=counts.tenants,
            api_keys=counts.api_keys,
            keys_without_scope=counts.orphan_keys,
        )
        return self._published


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
