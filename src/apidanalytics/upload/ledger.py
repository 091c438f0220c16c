"""The ledger: what became of every file, and per tenant the counts that must add up.

    accepted = spooled + staged + failed + uploaded + set aside + dropped by policy        (records, per tenant)

The directories are the truth about what is left to do; the ledger is the history, the attempts and the totals. Totals
are kept in the transaction of each change, so that reading them costs the same on the first day as after a year.

Every call is one synced transaction, and saying a thing twice changes nothing. Calls may come from any thread, but
not from the event loop: they wait for the disk.
"""

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from apidanalytics.model import SpoolHeader, StagedFile
from apidanalytics.upload import rows, schema, spools, usage
from apidanalytics.upload.states import Chosen, Count, LedgerFile, State, Waiting


class Ledger:
    """The database of one agent; ``open`` it once, ``close`` it at the end."""

    def __init__(self, database: sqlite3.Connection, reader: sqlite3.Connection, *, is_new: bool) -> None:
        self.is_new = is_new
        """Nothing was known when it was opened: totals start with what is found in the directories."""
        self._database = database
        self._reader = reader
        self._writing = threading.Lock()
        self._reading = threading.Lock()

    @classmethod
    def open(cls, path: Path, damaged: Path, now: float) -> Self:
        """Open the ledger at ``path``; one that cannot be read is moved to ``damaged`` and a new one begins.

        Raises:
            NewerFormatError: a newer version wrote it.
            sqlite3.OperationalError: the disk is full or failing.

        """
        found = schema.open_ledger(path, damaged, now)
        usage.watch(found.database)
        return cls(found.database, found.reader, is_new=found.is_new)

    def close(self) -> None:
        """Close it; closing twice is fine."""
        with self._writing:
            self._database.close()
        with self._reading:
            self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # What packing tells.

    def known(self, directory: str, names: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Return (records, bytes of lines) of those of these files of one bucket directory that need not be made."""
        query = "SELECT records, bytes FROM files WHERE directory = ? AND name = ? AND state <> 'set_aside'"
        with self._read() as database:
            found = ((name, database.execute(query, (directory, name)).fetchone()) for name in names)
            return {name: row for name, row in found if row is not None}

    def is_packed(self, spool_number: int) -> bool:
        """Tell whether every file of this spool was staged."""
        with self._read() as database:
            return spools.is_packed(database, spool_number)

    def is_accepted(self, spool_number: int) -> bool:
        """Tell whether this spool's records are in the totals already."""
        with self._read() as database:
            return database.execute("SELECT 1 FROM spools WHERE number = ?", (spool_number,)).fetchone() is not None

    def accepted(self, spool_number: int, counts: Mapping[str, tuple[int, int]]) -> None:
        """Count (records, bytes of lines) by tenant as accepted, once per spool number."""
        with self._write() as database:
            spools.accept(database, spool_number, counts)

    def made_of(self, spool_number: int) -> dict[str, tuple[int, int]]:
        """Return (records, bytes of lines) by tenant of what this spool became, or what was set aside of it."""
        with self._read() as database:
            return spools.made_of(database, spool_number)

    def assumed(self, header: SpoolHeader) -> SpoolHeader:
        """Return what was assumed first of a spool whose own header is damaged: this, if nothing was."""
        with self._write() as database:
            return rows.assume_header(database, header)

    def stage(self, files: Sequence[StagedFile], staged_at: float) -> None:
        """Note that these files stand in ``staging/``; one that is known already keeps its state.

        Raises:
            DamagedError: a name is known with other content; then nothing is noted.

        """
        with self._write() as database:
            for file in files:
                rows.stage(database, file, State.STAGED, staged_at)

    def packed(self, spool_number: int, at: float) -> None:
        """Note that every file of this spool was staged."""
        with self._write() as database:
            rows.note_packed(database, spool_number, at)

    def given_up(self, spool_number: int, at: float) -> None:
        """Note that the rest of this spool, if it was accepted, will not be staged: it was set aside."""
        with self._write() as database:
            rows.note_given_up(database, spool_number, at)

    def set_aside(
        self,
        name: str,
        records: int,
        bytes: int,  # noqa: A002 - says what it is
        reason: str,
        at: float,
        tenant: str = "",
    ) -> None:
        """Count what cannot be delivered, once per name and reason; the tenant ``""`` is one that nobody can tell."""
        with self._write() as database:
            row = (name, reason, tenant, records, bytes, at)
            if database.execute("INSERT OR IGNORE INTO set_aside VALUES (?, ?, ?, ?, ?, ?)", row).rowcount:
                rows.add_total(database, tenant, State.SET_ASIDE, Count(records, bytes, 1))

    # What uploading asks.

    def waiting(self, after: int = 0) -> list[Waiting]:
        """Return the staged files with numbers above ``after``, oldest start first."""
        with self._read() as database:
            new = rows.waiting(database, after)
        return sorted(new, key=lambda file: (file.start_at, file.id))

    def file(self, number: int) -> LedgerFile | None:
        """Return a file by its number."""
        return self.numbered((number,)).get(number)

    def numbered(self, numbers: Sequence[int]) -> dict[int, LedgerFile]:
        """Return those of a few files that are known, by their numbers."""
        with self._read() as database:
            return rows.by_numbers(database, numbers)

    def files_in(self, directory: str) -> dict[str, LedgerFile]:
        """Return all known files of a bucket directory, by name."""
        with self._read() as database:
            return {known.file.name: known for known in rows.select(database, "directory = ?", (directory,))}

    def files(
        self, state: State, *, tenant: str | None = None, limit: int = -1, after: tuple[int, int] | None = None
    ) -> list[LedgerFile]:
        """Return the files in a state, oldest start first; ``after`` a start and number."""
        with self._read() as database:
            return rows.in_order(database, state, tenant, limit, after)

    def unfinished_directories(self) -> set[str]:
        """Return the directories that should still hold files."""
        with self._read() as database:
            return rows.unfinished_directories(database)

    def unfinished_in(self, directory: str) -> dict[str, State]:
        """Return the files that a bucket directory should still hold, by name, and where: staged or failed."""
        with self._read() as database:
            return rows.unfinished_in(database, directory)

    def failed_directories(self, limit: int, chosen: Chosen | None = None, *, now: float) -> list[str]:
        """Return at most ``limit`` directories with failed files, those that failed longest ago first."""
        with self._read() as database:
            found = rows.failed_directories(database, chosen or Chosen(), now)
            return list(islice(found, None if limit < 0 else limit))

    def failed_files(self, *, after: int, limit: int, tenant: str | None = None) -> list[LedgerFile]:
        """Return failed files with numbers above ``after``, in their order."""
        where = "state = 'failed' AND id > ? AND (? IS NULL OR tenant = ?) ORDER BY id LIMIT ?"
        with self._read() as database:
            return rows.select(database, where, (after, tenant, tenant, limit))

    def failed_named(self, name: str, limit: int) -> list[LedgerFile]:
        """Return failed files whose names are, or begin with, this."""
        where = "state = 'failed' AND substr(name, 1, length(?)) = ? ORDER BY id LIMIT ?"
        with self._read() as database:
            return rows.select(database, where, (name, name, limit))

    def totals(self) -> dict[str, dict[State, Count]]:
        """Return the totals by tenant and state; the cost grows with the tenants only."""
        with self._read() as database:
            return rows.by_tenant(database.execute("SELECT tenant, state, records, bytes, files FROM totals"))

    def disk_usage(self) -> dict[str, int]:
        """Return by tenant how much of the disk its staged and failed files take. It waits for a commit under way."""
        with self._writing:
            return usage.read(self._database)

    def pauses(self) -> dict[str, float]:
        """Return since when uploads are paused by hand, by tenant; ``""`` stands for all of them."""
        with self._read() as database:
            return dict(database.execute("SELECT tenant, since FROM pauses").fetchall())

    def pause(self, tenant: str, since: float | None) -> None:
        """Keep a pause (one that is in force stays as it is), or with None forget it."""
        query = "DELETE FROM pauses WHERE tenant = ?" if since is None else "INSERT OR IGNORE INTO pauses VALUES (?, ?)"
        with self._write() as database:
            database.execute(query, (tenant,) if since is None else (tenant, since))

    # What uploading tells.

    def uploaded(self, etags: Mapping[int, str | None], at: float) -> None:
        """Note that the store has these files, by number; one that was dropped on its way has arrived after all."""
        with self._write() as database:
            rows.move_uploaded(database, etags, at)

    def deferred(self, number: int, attempts: int, next_attempt_at: float, reason: str) -> None:
        """Note how often a staged file was tried, and when it is tried again."""
        with self._write() as database:
            rows.defer(database, number, attempts, next_attempt_at, reason)

    def doubted(self, file: StagedFile, reason: str) -> None:
        """Note, for good, that the store may keep other bytes under a file's name, and why."""
        with self._write() as database:
            rows.doubt(database, (file.directory, file.name), reason)

    def failed(self, number: int, attempts: int, reason: str, at: float) -> None:
        """Note that a file was given up for now, and stands in ``failed/``."""
        with self._write() as database:
            for known in rows.in_states(database, (number,), State.STAGED):
                rows.move(database, known, State.FAILED, at, reason)
                database.execute("UPDATE files SET attempts = ? WHERE id = ?", (attempts, number))

    def revived(self, numbers: Iterable[int], attempts: int, at: float) -> list[Waiting]:
        """Note that these files stand in ``staging/`` again, with so many attempts behind them; return them."""
        with self._write() as database:
            revived = rows.in_states(database, numbers, State.FAILED)
            for known in revived:
                rows.move(database, known, State.STAGED, at, known.reason)
                database.execute("UPDATE files SET attempts = ? WHERE id = ?", (attempts, known.id))
        return [Waiting(id=k.id, tenant=k.file.tenant, start_at=k.file.start_at) for k in revived]

    def lost(self, number: int, reason: str, at: float) -> bool:
        """Note that a file cannot be delivered; tell whether that is news."""
        with self._write() as database:
            found = rows.in_states(database, (number,), State.STAGED, State.FAILED)
            for known in found:
                rows.move(database, known, State.SET_ASIDE, at, reason)
        return bool(found)

    def dropped(self, numbers: Iterable[int], reason: str, at: float) -> list[LedgerFile]:
        """Note that these files are given up to make room; return those that nobody had settled before."""
        with self._write() as database:
            found = rows.in_states(database, numbers, State.STAGED, State.FAILED)
            for known in found:
                rows.move(database, known, State.DROPPED, at, reason)
        return found

    def adopted(self, file: StagedFile, state: State, at: float) -> None:
        """Add a file that was found on disk and that nobody had counted: accepted, and STAGED or FAILED."""
        with self._write() as database:
            known = rows.by_name(database, file.directory, file.name)
            if rows.stage(database, file, state, at) and known is None:
                rows.add_total(database, file.tenant, State.ACCEPTED, Count(file.records, file.bytes))

    def forget(self, before: float) -> int:
        """Forget what was uploaded, dropped, packed or given up before this Unix time, not totals; return the files."""
        with self._write() as database:
            database.execute("DELETE FROM spools WHERE abs(packed_at) < ?", (before,))
        forgotten = 0
        for state in (State.UPLOADED, State.DROPPED):
            while found := self._forget_some(state, before):
                forgotten += found
        return forgotten

    def _forget_some(self, state: State, before: float) -> int:
        with self._write() as database:  # a few at a time: nobody else waits long for the ledger
            return rows.forget_some(database, state, before)

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._writing, schema.suspecting(self._database):
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                # A failed COMMIT may have ended the transaction already.
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        with self._reading, schema.suspecting(self._reader):
            yield self._reader
