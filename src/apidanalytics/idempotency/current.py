"""The index in use: found, made when there is none, and replaced when it is damaged.

::

    keys/index.<n+1>.db.part   half-made; synced     -----------> keys/index.<n+1>.db.new
    keys/index.<n>.db          damaged               -----------> damaged/, where the reason is by then
    keys/index.<n+1>.db.new    nothing else is there -----------> keys/index.<n+1>.db

Whoever finds the damage does that, in its turn; the others find their file gone at their next one, and open the new
one. **No name is used twice**: SQLite removes the log of a database that is closed by its name, and the last one to
close the damaged index must not remove the log of the next one. **What is lost is written before there is a ``.new``**,
which the next process would publish without a word.
"""

import copy
import os
import sqlite3
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

import structlog

from apidanalytics import durable
from apidanalytics.backoff import growing
from apidanalytics.clock import Clock
from apidanalytics.errors import DamagedError, NewerFormatError
from apidanalytics.idempotency.claimed import Known
from apidanalytics.idempotency.index import IndexLimits, KeyIndex
from apidanalytics.idempotency.lost import Lost
from apidanalytics.idempotency.turn import Turn
from apidanalytics.instants import format_recovery_time
from apidanalytics.layout import DataDirectory, format_key_index, parse_key_index

log = structlog.get_logger()

T = TypeVar("T")

AGAIN_SECONDS: Final = 1.0
"""After a new index could not be made it is tried again, since all spools are read for it: this long after, ..."""
LONGEST_SECONDS: Final = 30.0
"""... and twice as long each time, up to this."""
_LOGS: Final = ("-wal", "-shm")
_DAMAGE: Final = {
    sqlite3.SQLITE_ERROR,  # a table is not there
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_CONSTRAINT,  # a row is there twice, or not where it should be
    sqlite3.SQLITE_MISMATCH,
}


class CurrentIndex:
    """One process's way to the index. One thread uses it."""

    def __init__(self, data: DataDirectory, limits: IndexLimits, known: Callable[[], Known], clock: Clock) -> None:
        """``known`` finds the keys that are known without the index."""
        self._data = data
        self._limits = limits
        self._known = known
        self._clock = clock
        self._turn = Turn(data.keys)
        self._index: KeyIndex | None = None
        self._path: Path | None = None
        self._identity = (0, 0)
        self._failures = 0  # to make a new one, in a row
        self._failure: Exception | None = None
        self._not_before = 0.0

    def __repr__(self) -> str:
        return f"<CurrentIndex {self._path.name if self._path else 'not open'}>"

    def is_there(self) -> bool:
        """Tell whether there is an index: nobody has used a key where there is none."""
        if self._path is not None and self._path.exists():
            return True
        return any(self._data.keys.glob("index*.db")) or any(self._data.keys.glob("index*.db.new"))

    def size_bytes(self) -> int:
        """Return the length of the index in use."""
        return self._path.stat().st_size if self._path is not None else 0

    def use(self, call: Callable[[KeyIndex], T]) -> T:
        """Call with the index, in this process's turn; where the index is damaged, with a new one.

        Raises:
            sqlite3.Error | OSError: the disk refuses; nothing was changed.
            DamagedError: the new one is damaged, too.
            NewerFormatError: a newer version of this program wrote it.

        """
        with self._turn:
            try:
                return call(self._opened())
            except (sqlite3.DatabaseError, DamagedError) as error:
                if self._path is None or not _is_damage(error):
                    raise
                path, reason = self._path, str(error)
            self._made(lambda: self._replace(path, reason))
            return call(self._opened())

    def close(self) -> None:
        """Let go of the files."""
        self._let_go()
        self._turn.close()

    def _let_go(self) -> None:
        if self._index is not None:
            self._index.close()
            self._index = None

    def _opened(self) -> KeyIndex:
        if self._index is not None and self._is_current():
            return self._index
        self._let_go()
        path = self._find() or self._made(self._make_first)
        self._path = path
        if not durable.is_plain_file(path):  # it could lead anywhere, or keep everybody waiting
            raise DamagedError("it is no plain file")
        self._index = KeyIndex.open(path, self._limits)
        status = path.lstat()
        self._identity = (status.st_dev, status.st_ino)
        return self._index

    def _is_current(self) -> bool:
        assert self._path is not None  # an index is open
        try:
            status = os.lstat(self._path)  # a third of pathlib's time, and every batch with a key waits for it
        except FileNotFoundError:
            return False
        return (status.st_dev, status.st_ino) == self._identity

    def _find(self) -> Path | None:
        found = max((path for path in self._data.keys.glob("index*.db") if _number(path)), key=_number, default=None)
        if found is not None:
            return found
        for new in self._data.keys.glob("index*.db.new"):  # who replaced the one before died in the middle
            return _publish(new)
        return None

    def _make_first(self) -> Path:
        """Make an index where there is none; where this process had one, or spools know keys, it was taken away."""
        number = 1 if self._path is None else _number(self._path) + 1
        part, known = self._make(number)
        was_used = number > 1 or bool(known.keys)
        if not was_used and not known.unread:
            return _publish(self._finish(part))
        was = format_key_index(max(number - 1, 1))
        lost = self._lost(known, reason="it was taken away", was=was, is_gone=True, is_suspected=not was_used)
        lost.write(self._data.damaged)
        path = _publish(self._finish(part))
        if was_used:
            log.error("keys.index_gone", name=was, kept=lost.kept, unread=lost.unread, hint=lost.sentence)
        else:
            log.warning("keys.index_may_be_gone", name=was, unread=lost.unread, hint=lost.sentence)
        return path

    def _make(self, number: int) -> tuple[Path, Known]:
        """Make an index that holds what is known without it, and tell what that is."""
        part = self._data.keys / f"{format_key_index(number)}.part"
        for path in (part, *(part.with_name(part.name + suffix) for suffix in _LOGS)):
            self._clear(path)
        KeyIndex.create(part, self._limits)  # a full disk refuses that before all spools are read
        known = self._known()
        index = KeyIndex.open(part, self._limits)
        try:
            index.know(islice(known.keys, self._limits.max_keys), self._clock.now())
        finally:
            index.close()
        durable.sync_file(part)
        return part, known

    def _finish(self, part: Path) -> Path:
        """Have it published by whoever comes next, if this process dies."""
        new = part.with_suffix(".new")
        self._clear(new)
        durable.rename(part, new)
        return new

    def _clear(self, path: Path) -> None:
        """Remove a file, whatever it is; a directory, which is none of ours, is set aside."""
        if path.is_dir() and not path.is_symlink():
            durable.rename(path, self._data.damaged / f"{path.name}.{format_recovery_time(self._clock.now())}")
        else:
            path.unlink(missing_ok=True)

    def _made(self, make: Callable[[], T]) -> T:
        """Make a new index; after a failure not before its pause is over: until then it fails as it did."""
        if self._failure is not None and self._clock.monotonic() < self._not_before:
            raise copy.copy(self._failure)
        try:
            made = make()
        except (sqlite3.Error, OSError, NewerFormatError, DamagedError) as error:
            self._failures += 1
            self._failure = copy.copy(error)  # without what its traceback keeps: all keys
            pause = growing(self._failures, first=AGAIN_SECONDS, longest=LONGEST_SECONDS)
            self._not_before = self._clock.monotonic() + pause
            raise
        self._failures, self._failure = 0, None
        return made

    def _lost(
        self,
        known: Known,
        *,
        reason: str,
        was: str,
        bytes: int = 0,  # noqa: A002 - says what it is
        is_gone: bool = False,
        is_suspected: bool = False,
    ) -> Lost:
        return Lost(
            reason=reason,
            was=was,
            at=self._clock.now(),
            bytes=bytes,
            window_seconds=self._limits.window_seconds,
            kept=min(len(known.keys), self._limits.max_keys),
            unread={path.name: getattr(error, "strerror", None) or str(error) for path, error in known.unread.items()},
            is_gone=is_gone,
            is_suspected=is_suspected,
        )

    def _replace(self, path: Path, reason: str) -> None:
        """Set the index aside and publish a new one that holds what is known without it."""
        self._let_go()
        part, known = self._make(_number(path) + 1)
        lost = self._lost(known, reason=reason, was=path.name, bytes=path.lstat().st_size)
        lost.write(self._data.damaged)
        new = self._finish(part)
        durable.rename(path, self._data.damaged / lost.name)
        for suffix in _LOGS:
            log_path = path.with_name(path.name + suffix)
            if os.path.lexists(log_path):
                log_path.rename(self._data.damaged / f"{lost.name}{suffix}")
        _publish(new)
        log.error(
            "keys.index_lost",
            reason=reason,
            moved_to=f"damaged/{lost.name}",
            kept=lost.kept,
            unread=lost.unread,
            hint=lost.sentence,
        )


def _publish(new: Path) -> Path:
    path = new.with_suffix("")
    durable.rename(new, path)
    return path


def _number(path: Path) -> int:
    try:
        return parse_key_index(path.name)
    except ValueError:
        return 0


def _is_damage(error: Exception) -> bool:
    """Tell damage from a disk that is full, failing or not permitted, which may pass."""
    if isinstance(error, DamagedError):
        return True
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # not from SQLite itself
        return "decode" in str(error)
    return code & 0xFF in _DAMAGE or code == sqlite3.SQLITE_IOERR_SHORT_READ
