"""The statements of the ledger. Each runs inside the caller's transaction and keeps the running totals right."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from apidanalytics.errors import DamagedError
from apidanalytics.layout import spool_of
from apidanalytics.model import SpoolHeader, StagedFile
from apidanalytics.upload.states import Chosen, Count, LedgerFile, State, Waiting

_COLUMNS = (
    "id, directory, name, tenant, start_at, records, bytes, size_bytes, sha256, md5, xxh3,"
    " state, attempts, next_attempt_at, staged_at, settled_at, etag, reason, doubt"
)

_NOT_UPLOADED = "state IN ('staged', 'failed', 'dropped')"

_MOST_VALUES = 500
"""In one statement; SQLite takes 999 in its oldest versions."""


def select(database: sqlite3.Connection, where: str, values: Sequence[object] = ()) -> list[LedgerFile]:
    """Return the files for which ``where`` holds; it may end in an order and a limit."""
    return [_file(row) for row in database.execute(f"SELECT {_COLUMNS} FROM files WHERE {where}", values)]  # noqa: S608 - ``where`` is ours # nosec B608


def in_order(
    database: sqlite3.Connection, state: State, tenant: str | None, limit: int, after: tuple[int, int] | None
) -> list[LedgerFile]:
    """Return the files in a state, oldest start first, those behind ``after``, a start and number."""
    where = "state = ? AND (? IS NULL OR tenant = ?)"
    values: tuple[object, ...] = (state, tenant, tenant)
    if after is not None:
        where += " AND (start_at, id) > (?, ?)"
        values += after
    return select(database, f"{where} ORDER BY start_at, id LIMIT ?", (*values, limit))


def by_name(database: sqlite3.Connection, directory: str, name: str) -> LedgerFile | None:
    """Return the file of this name, if it is known."""
    found = select(database, "directory = ? AND name = ?", (directory, name))
    return found[0] if found else None


def by_numbers(database: sqlite3.Connection, numbers: Sequence[int]) -> dict[int, LedgerFile]:
    """Return the files of these numbers that are known; there are few enough numbers for one statement."""
    return {known.id: known for known in select(database, f"id IN ({', '.join('?' * len(numbers))})", numbers)}


def waiting(database: sqlite3.Connection, after: int) -> list[Waiting]:
    """Return the staged files with numbers above ``after``: that costs what is new, and not what there is."""
    query = "SELECT id, tenant, start_at, next_attempt_at FROM files WHERE state = 'staged' AND id > ?"
    new = database.execute(query, (after,)).fetchall()
    return [Waiting(id=i, tenant=t, start_at=s, next_attempt_at=n) for i, t, s, n in new]


def in_states(database: sqlite3.Connection, numbers: Iterable[int], *states: State) -> list[LedgerFile]:
    """Return those of these files that are in one of the states."""
    found = [known for number in numbers for known in select(database, "id = ?", (number,))]
    return [known for known in found if known.state in states]


def assume_header(database: sqlite3.Connection, header: SpoolHeader) -> SpoolHeader:
    """Return what was assumed first of a spool's header: this, if nothing was."""
    row = (header.number, msgspec.json.encode(header))
    database.execute("INSERT OR IGNORE INTO assumed_headers VALUES (?, ?)", row)
    (content,) = database.execute("SELECT header FROM assumed_headers WHERE spool = ?", row[:1]).fetchone()
    return msgspec.json.decode(content, type=SpoolHeader)


def failed_directories(database: sqlite3.Connection, chosen: Chosen, now: float) -> Iterator[str]:
    """Yield the directories of the failed files that are chosen, each once, those that failed longest ago first.

    One that failed later than now did so before the clock was set back: it comes first.
    """
    query = (
        "SELECT directory FROM files WHERE state = 'failed' AND (:tenant IS NULL OR tenant = :tenant)"
        " AND (:name IS NULL OR substr(name, 1, length(:name)) = :name)"
    )
    ahead = " AND settled_at > :now ORDER BY settled_at, id"
    ordinary = " AND settled_at <= :now AND (:before IS NULL OR settled_at < :before) ORDER BY settled_at, id"
    values = {"tenant": chosen.tenant, "name": chosen.name, "before": chosen.before, "now": now}
    seen: set[str] = set()
    for which in (ahead, ordinary):
        for (directory,) in database.execute(query + which, values):
            if directory not in seen:
                seen.add(directory)
                yield directory


def unfinished_directories(database: sqlite3.Connection) -> set[str]:
    """Return the directories that should still hold files."""
    query = "SELECT DISTINCT directory FROM files WHERE state = 'staged' OR state = 'failed'"
    return {directory for (directory,) in database.execute(query)}


def unfinished_in(database: sqlite3.Connection, directory: str) -> dict[str, State]:
    """Return the files that a directory should still hold, by name, and where."""
    query = "SELECT name, state FROM files WHERE directory = ? AND state IN ('staged', 'failed')"
    return {name: State(state) for name, state in database.execute(query, (directory,))}


def note_packed(database: sqlite3.Connection, spool_number: int, at: float) -> None:
    """Note that a spool was packed, once."""
    database.execute(
        "INSERT INTO spools VALUES (?, ?)"
        " ON CONFLICT DO UPDATE SET packed_at = excluded.packed_at WHERE packed_at IS NULL OR packed_at < 0",
        (spool_number, int(at)),
    )
    database.execute("DELETE FROM assumed_headers WHERE spool = ?", (spool_number,))


def note_given_up(database: sqlite3.Connection, spool_number: int, at: float) -> None:
    """Note that the rest of a spool will not be packed: by a time below zero, so that it does not count as packed."""
    query = "UPDATE spools SET packed_at = ? WHERE number = ? AND packed_at IS NULL"
    database.execute(query, (-max(int(at), 1), spool_number))


def forget_some(database: sqlite3.Connection, state: State, before: float) -> int:
    """Forget a few files that came to this state before this time; return how many.

    Those of a spool that is not all packed stay: packing, whenever it goes on, must know what it made of it.
    """
    half_packed = "SELECT number FROM spools WHERE packed_at IS NULL"
    # The state is written out, so that its index is used.
    where = f"state = '{state}' AND settled_at < ?"
    if database.execute(half_packed).fetchone() is not None:
        database.create_function("spool_of", 1, spool_of, deterministic=True)
        where += f" AND coalesce(spool_of(name), -1) NOT IN ({half_packed})"
    old = f"SELECT id FROM files WHERE {where} LIMIT 1000"  # noqa: S608 - the names are ours # nosec B608
    return database.execute(f"DELETE FROM files WHERE id IN ({old})", (before,)).rowcount  # noqa: S608 - the names are ours # nosec B608


def by_tenant(found: Iterable[Sequence[Any]]) -> dict[str, dict[State, Count]]:
    """Return rows of tenant, state, records, bytes and files by tenant and state."""
    totals: dict[str, dict[State, Count]] = {}
    for tenant, state, *amounts in found:
        totals.setdefault(tenant, {})[State(state)] = Count(*amounts)
    return totals


def add_total(database: sqlite3.Connection, tenant: str, state: State, count: Count) -> None:
    """Add to a tenant's total of a state."""
    database.execute(
        "INSERT INTO totals VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
        " records = records + excluded.records, bytes = bytes + excluded.bytes, files = files + excluded.files",
        (tenant, state, count.records, count.bytes, count.files),
    )


def insert(database: sqlite3.Connection, file: StagedFile, state: State, at: float) -> None:
    """Add a file, and count it in its state."""
    database.execute(
        "INSERT INTO files (directory, name, tenant, start_at, records, bytes, size_bytes, sha256, md5, xxh3,"
        " state, staged_at, settled_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            file.directory,
            file.name,
            file.tenant,
            file.start_at,
            file.records,
            file.bytes,
            file.size_bytes,
            file.sha256,
            file.md5,
            file.xxh3,
            state,
            at,
            None if state is State.STAGED else at,
        ),
    )
    add_total(database, file.tenant, state, _count(file))


def stage(database: sqlite3.Connection, file: StagedFile, state: State, at: float) -> bool:
    """Add a file that is not known, or that had been set aside; one that is known keeps its state. Tell which.

    Raises:
        DamagedError: the name is known with other content.

    """
    known = by_name(database, file.directory, file.name)
    if known is not None and known.state is not State.SET_ASIDE:
        if known.file.sha256 != file.sha256:
            raise DamagedError(f"{file.directory}/{file.name} is in the ledger with other content")
        return False
    if known is not None:
        # Its number must be new: the uploader notices files by their numbers.
        remove(database, known)
    insert(database, file, state, at)
    if known is not None and known.doubt is not None:
        doubt(database, (file.directory, file.name), known.doubt)
    return True


def defer(database: sqlite3.Connection, number: int, attempts: int, next_attempt_at: float, reason: str) -> None:
    """Note how often a staged file was tried, and when it is tried again."""
    query = "UPDATE files SET attempts = ?, next_attempt_at = ?, reason = ? WHERE id = ? AND state = 'staged'"
    database.execute(query, (attempts, next_attempt_at, reason, number))


def doubt(database: sqlite3.Connection, key: tuple[str, str], reason: str) -> None:
    """Note why the store may keep other bytes than a file's, by directory and name; the first reason stays."""
    where = "directory = ? AND name = ?"
    database.execute(f"UPDATE files SET doubt = coalesce(doubt, ?) WHERE {where}", (reason, *key))  # noqa: S608 - ours # nosec B608


def remove(database: sqlite3.Connection, known: LedgerFile) -> None:
    """Take a file out of the ledger and out of the total of its state."""
    database.execute("DELETE FROM files WHERE id = ?", (known.id,))
    add_total(database, known.file.tenant, known.state, _negative(known.file))


def move(database: sqlite3.Connection, known: LedgerFile, state: State, at: float, reason: str | None) -> None:
    """Bring a file into another state, with its totals."""
    database.execute(
        "UPDATE files SET state = ?, settled_at = ?, reason = ?, next_attempt_at = 0 WHERE id = ?",
        (state, None if state is State.STAGED else at, reason, known.id),
    )
    add_total(database, known.file.tenant, known.state, _negative(known.file))
    add_total(database, known.file.tenant, state, _count(known.file))


def move_uploaded(database: sqlite3.Connection, etags: Mapping[int, str | None], at: float) -> None:
    """Bring files to UPLOADED, with the totals, by number: as ``move`` does, for many at once, the usual case.

    Those that are STAGED, FAILED or DROPPED, and no others.
    """
    found = _may_be_uploaded(database, list(etags))
    database.executemany(
        "UPDATE files SET state = 'uploaded', settled_at = ?, reason = NULL, next_attempt_at = 0, etag = ?"
        " WHERE id = ?",
        [(at, etags[number], number) for number, *_ in found],
    )
    changes: dict[tuple[str, State], Count] = {}
    for _, tenant, was, records, size in found:
        for state, sign in ((State(was), -1), (State.UPLOADED, 1)):
            before = changes.get((tenant, state), Count())
            changes[tenant, state] = before + Count(sign * records, sign * size, sign)
    for (tenant, state), count in changes.items():
        add_total(database, tenant, state, count)


def _may_be_uploaded(database: sqlite3.Connection, numbers: Sequence[int]) -> list[tuple[int, str, str, int, int]]:
    """Return number, tenant, state, records and bytes of each."""
    found: list[tuple[int, str, str, int, int]] = []
    for first in range(0, len(numbers), _MOST_VALUES):
        some = numbers[first : first + _MOST_VALUES]
        marks = ", ".join("?" * len(some))
        query = f"SELECT id, tenant, state, records, bytes FROM files WHERE id IN ({marks}) AND {_NOT_UPLOADED}"  # noqa: S608 - marks only # nosec B608
        found += database.execute(query, some)
    return found


def _count(file: StagedFile) -> Count:
    return Count(file.records, file.bytes, 1)


def _negative(file: StagedFile) -> Count:
    return Count(-file.records, -file.bytes, -1)


def _file(row: Sequence[Any]) -> LedgerFile:
    number, directory, name, tenant, start_at, records, size, size_bytes, sha256, md5, xxh3, *rest = row
    state, attempts, next_attempt_at, staged_at, settled_at, etag, reason, doubt = rest
    file = StagedFile(
        directory=directory,
        name=name,
        tenant=tenant,
        start_at=start_at,
        records=records,
        bytes=size,
        size_bytes=size_bytes,
        sha256=sha256,
        md5=md5,
        xxh3=xxh3,
    )
    return LedgerFile(
        id=number,
        file=file,
        state=State(state),
        attempts=attempts,
        next_attempt_at=next_attempt_at,
        staged_at=staged_at,
        settled_at=settled_at,
        etag=etag,
        reason=reason,
        doubt=doubt,
    )
