"""The file of one version, open for writing: a change list and its sequence go in as one transaction."""

import sqlite3
import threading
from collections.abc import Iterable
from contextlib import closing
from functools import partial
from heapq import merge
from pathlib import Path
from typing import Final

from apidanalytics import failpoints
from apidanalytics.apigeesync.build import FORMAT, read_selectors
from apidanalytics.apigeesync.concern import Concern
from apidanalytics.apigeesync.errors import SnapshotNeededError
from apidanalytics.apigeesync.rows import Effect, Key, Texts, check_fit, effect_of, key_of
from apidanalytics.apigeesync.sequence import Sequence
from apidanalytics.apigeesync.tables import KEPT, SCOPES, Table, quoted, read_tables
from apidanalytics.apigeesync.values import canonical
from apidanalytics.apigeesync.wire import Change
from apidanalytics.scopes import live
from apidanalytics.scopes.known_keys import KnownKeys, hash_text, rewrite_keys
from apidanalytics.scopes.news import News
from apidanalytics.scopes.ready import FILE_NAME as READY_NAME
from apidanalytics.scopes.ready import ReadyFile
from apidanalytics.scopes.tables import file_uri

MAX_ADDED_KEYS: Final = 50_000
"""API keys that came since their file was written; with more of them it is written anew."""


MAX_CHANGED: Final = 50_000
"""API keys and parts that changed since the ready answers were made; with more of them they are made anew."""
MIN_READY_KEYS: Final = 10_000
"""With fewer API keys there are no ready answers: they soon are in the memory of every worker."""
TIDY_LOG_BYTES: Final = 4 << 20


class VersionFile:
    """One version of the scope data, for its one writer. Blocking, from any thread; one call waits for another."""

    def __init__(self, path: Path, cluster_id: str) -> None:
        """Open it.

        Raises:
            sqlite3.Error, ValueError: it is not what it should be.

        """
        self.path = path
        self._cluster_id = cluster_id
        self._one_at_a_time = threading.Lock()  # a call may outlive the task that waited for it
        self._connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def __repr__(self) -> str:
        return f"<VersionFile {self.version} at {self.sequence}>"

    @property
    def version(self) -> str:
        """The version's name."""
        return self.path.parent.name

    def _prepare(self) -> None:
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute("PRAGMA wal_autocheckpoint = 0")  # ``tidy`` does it: a change list waits for no disk
        facts = live.read_all(self._connection)
        if facts.get("format") != FORMAT:
            raise ValueError("of another format")
        self.txid = facts["snapshot"]
        self.taken_at = float(facts["taken_at"])
        self.contact_at = float(facts.get("contact_at", self.taken_at))
        text = facts.get(live.SEQUENCE, "")
        self.sequence = Sequence.parse(text) if text else None
        self._tables = read_tables(self._connection)
        self._added = len(live.added_keys(self._connection))
        self._changed = len(live.changed(self._connection))
        self._lists = int(facts.get(live.LISTS, 0))
        self.selectors = read_selectors(self._connection, self._cluster_id)
        # Kept in the file: a process that dies before it has the next snapshot must not forget that one is due.
        self.is_outgrown = "outgrown" in facts

    def is_sound(self) -> bool:
        """Return whether the database is whole; it takes seconds for a million keys, and others may go on meanwhile."""
        try:
            with closing(sqlite3.connect(file_uri(self.path), uri=True)) as connection:
                return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
        except sqlite3.OperationalError:
            return True  # it is locked, or gone: that says nothing of its content
        except sqlite3.DatabaseError:
            return False

    def apply(self, changes: Iterable[Change], last: Sequence, now: float) -> News:
        """Apply a change list and store its sequence: all of it, or nothing.

        Afterwards ``selectors`` are those that the scopes name then; if they are others than those that the snapshot
        was taken for, ``is_outgrown`` says that only a new snapshot has their data.

        Raises:
            SnapshotNeededError: a change does not fit to what is here, or the file is damaged.
            sqlite3.OperationalError: the file cannot be written; nothing has changed.

        """
        failpoints.hit("sync.before_apply")
        with self._one_at_a_time:
            try:
                return self._transact(changes, last, now)
            except sqlite3.OperationalError:
                raise  # a full disk, for one: it may pass
            except sqlite3.DatabaseError as error:
                raise SnapshotNeededError(f"the file of this version is damaged ({error})") from error

    def _transact(self, changes: Iterable[Change], last: Sequence, now: float) -> News:
        before = str(self.sequence or "")
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            concern = self._apply(changes)
            live.add_keys(self._connection, (hash_text(*key) for key in concern.keys))
            live.add_changed(self._connection, concern.hashes(), self._lists + 1)
            selectors = read_selectors(self._connection, self._cluster_id) if concern.scopes else self.selectors
            is_outgrown = self.is_outgrown or set(selectors) != set(self.selectors)
            facts = {live.SEQUENCE: str(last), live.LISTS: str(self._lists + 1), "contact_at": repr(now)}
            live.write(self._connection, facts | ({"outgrown": "yes"} if is_outgrown else {}))
            failpoints.hit("sync.before_commit")
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        failpoints.hit("sync.after_commit")
        self.sequence, self.selectors, self.is_outgrown = last, selectors, is_outgrown
        self._lists += 1
        self._added += len(concern.keys)
        self._changed += len(concern.keys) + len(concern.parts)
        return concern.news(before, str(last))

    def needs_tidying(self) -> bool:
        """Return whether the log is long enough that ``tidy`` is worth its writes."""
        return self._added > MAX_ADDED_KEYS or self.log_bytes() > TIDY_LOG_BYTES

    def tidy(self) -> None:
        """Bring the log into the file as far as readers allow, and added keys into their file when they are many.

        The former may take seconds, and change lists go on meanwhile.
        """
        with closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=rw", uri=True)) as another:
            another.execute("PRAGMA synchronous = NORMAL")
            another.execute("PRAGMA wal_checkpoint(PASSIVE)")
        if self._added <= MAX_ADDED_KEYS:
            return
        with self._one_at_a_time:
            added = sorted(live.added_keys(self._connection))
            rewrite_keys(self.path, merge(KnownKeys.beside(self.path), added))
            self._connection.execute("DELETE FROM apidanalytics_added_keys")
            self._added = 0

    def needs_ready_answers(self) -> bool:
        """Return whether the file of ready answers is worth making, or making anew."""
        path = self.path.with_name(READY_NAME)
        return self._changed > MAX_CHANGED if path.exists() else len(KnownKeys.beside(self.path)) >= MIN_READY_KEYS

    def forget_changed(self) -> None:
        """Forget what changed before the file of ready answers was made: from now on, only that or a later one counts.

        Raises:
            OSError, ValueError, sqlite3.Error: it cannot be read or written.

        """
        file = ReadyFile(self.path.with_name(READY_NAME))
        file.close()
        with self._one_at_a_time:
            self._connection.execute("BEGIN IMMEDIATE")
            live.forget_changed(self._connection, file.lists)
            self._connection.execute("COMMIT")
            self._changed = len(live.changed(self._connection))

    def counts(self) -> tuple[int, int]:
        """Return the number of orgs with an env, and of API keys."""
        statement = f"SELECT count(*) FROM (SELECT DISTINCT org, env FROM {SCOPES})"  # noqa: S608 - ours # nosec B608
        with self._one_at_a_time:
            (tenants,) = self._connection.execute(statement).fetchone()
        return int(tenants), self._added + len(KnownKeys.beside(self.path))

    def log_bytes(self) -> int:
        """Return the length of the write-ahead log."""
        try:
            return self.path.with_name(f"{self.path.name}-wal").stat().st_size
        except FileNotFoundError:
            return 0

    def close(self) -> None:
        """Let go of the file, once what is under way is done. Safe to call twice."""
        with self._one_at_a_time:
            self._connection.close()

    def _apply(self, changes: Iterable[Change]) -> Concern:
        concern = Concern()
        for change in changes:
            if self._is_old(change):
                continue
            table = check_fit(change, self._tables)
            if table.name in KEPT:
                effect = effect_of(change, table, partial(self._find, table), self.selectors)
                self._put(table, effect)
                concern.add(table.name, effect)
        return concern

    def _is_old(self, change: Change) -> bool:
        """Return whether this very change is in already."""
        if self.sequence is None or not change.sequence:
            return False
        try:
            return Sequence.parse(change.sequence) <= self.sequence
        except ValueError as error:
            raise SnapshotNeededError("a change has a sequence that is none") from error

    def _find(self, table: Table, key: Key) -> Texts | None:
        statement = f"SELECT {quoted(table.columns)} FROM {table.name} WHERE {_where(table)}"  # noqa: S608 - checked # nosec B608
        row = self._connection.execute(statement, key).fetchone()
        if row is None:
            return None
        return {name: canonical(value, table.columns[name]) for name, value in zip(table.columns, row, strict=True)}

    def _put(self, table: Table, effect: Effect) -> None:
        if effect.before == effect.after:
            return
        for row in filter(None, (effect.before, effect.after)):
            self._connection.execute(f"DELETE FROM {table.name} WHERE {_where(table)}", key_of(row, table))  # noqa: S608 - the names are ours # nosec B608
        if (after := effect.after) is not None:
            places = ", ".join("?" * len(after))
            statement = f"INSERT OR REPLACE INTO {table.name} ({quoted(after)}) VALUES ({places})"  # noqa: S608
            self._connection.execute(statement, list(after.values()))


def _where(table: Table) -> str:
    return " AND ".join(f"{quoted([column])} = ?" for column in table.key)
