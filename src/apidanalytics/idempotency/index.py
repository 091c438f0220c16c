"""The index of idempotency keys: one SQLite file that all workers and the agent share.

A key is a row. ``owner`` says how far it is::

                 +---------------- released (refused, or found not to be stored) ----------------+
                 v                                                                               |
    no row --claim--> owner = a worker --its batch is durable--> owner NULL: stored --window--> no row
                 |                 |                             ^
                 |                 +--the disk left it open--> owner = -spool --packed: found there, or not--> (either)
                 |
                 +--that worker died--> (settled by looking into its spools: stored, or released)

**A claim is durable before a byte of its batch is written**, so whoever finds a batch in a spool finds its row, too.
That a row is stored need not be durable: as long as the spool is there, it can be found out again. The agent makes
it durable before it removes the spool.

A row is known by the hash of tenant and key, and one claim to it from another by its ticket: what belongs to an old
claim, whose window is over, never touches a new one. Rows are numbered as they come, so the oldest are the first ones;
each transaction that adds rows removes twice as many whose time is over (``window``).
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final, Self

from apidanalytics.errors import DamagedError, NewerFormatError
from apidanalytics.idempotency.window import Window
from apidanalytics.model import Claim, Fate, Verdict, Wish

FORMAT_VERSION: Final = 1
BUSY_SECONDS: Final = 5.0
"""Longest wait for a process that does not take turns with the others, such as a person's sqlite3."""

_SCHEMA: Final = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS keys (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,      -- hash of tenant and key
    body BLOB NOT NULL,           -- hash of the unzipped body
    ticket INTEGER NOT NULL,
    owner INTEGER,                -- NULL: stored; a worker; or, negated, the spool in which it is or is not
    claimed_at INTEGER NOT NULL   -- Unix time
);
CREATE INDEX IF NOT EXISTS open_claims ON keys (owner) WHERE owner IS NOT NULL;
CREATE TABLE IF NOT EXISTS size (keys INTEGER NOT NULL);
INSERT INTO size SELECT 0 WHERE NOT EXISTS (SELECT * FROM size);
CREATE TRIGGER IF NOT EXISTS grown AFTER INSERT ON keys BEGIN UPDATE size SET keys = keys + 1; END;
CREATE TRIGGER IF NOT EXISTS shrunk AFTER DELETE ON keys BEGIN UPDATE size SET keys = keys - 1; END;
CREATE TABLE IF NOT EXISTS packed (spool INTEGER NOT NULL);
PRAGMA user_version = 1;
COMMIT;
"""

_UNKNOWN_BODY: Final = b""
"""Of a key that was found in a spool, which does not say the hash: every body is the one."""

KnownKey = tuple[Claim, int | None]
"""A claim in a spool, and its owner: None where it is stored, or, negated, the spool that it is in doubt about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexLimits:
    """How long and how many keys are kept."""

    window_seconds: float
    """``apidanalytics_idempotency_window``"""
    max_keys: int
    """``apidanalytics_idempotency_max_keys``"""
    is_synced: bool = True
    """Whether claims survive a power cut; False where acks do not either."""


Settlement = tuple[Claim, Fate]


class KeyIndex:
    """One process's way into the index. One thread uses it, and only while it is its turn (``current``).

    Every method may raise ``sqlite3.Error``, ``OSError`` or ``DamagedError``; then nothing was changed.
    """

    def __init__(self, database: sqlite3.Connection, limits: IndexLimits) -> None:
        self._database = database
        self._limits = limits
        self._window = Window(database, limits.window_seconds, limits.max_keys)
        self._synchronous = ""

    @classmethod
    def open(cls, path: Path, limits: IndexLimits) -> Self:
        """Open an index.

        Raises:
            NewerFormatError: a newer version of this program wrote it.
            DamagedError | sqlite3.Error: it is no index, or cannot be opened.

        """
        index = cls(_connect(path.absolute().as_uri() + "?mode=rw"), limits)
        try:
            index._check_format()
        except BaseException:
            index.close()
            raise
        return index

    @classmethod
    def create(cls, path: Path, limits: IndexLimits) -> None:
        """Make an index with nothing in it."""
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))  # SQLite would let others read it
        index = cls(_connect(path.absolute().as_uri()), limits)
        try:
            index._database.execute("PRAGMA journal_mode = WAL")
            index._database.executescript(_SCHEMA)
        finally:
            index.close()

    def _check_format(self) -> None:
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version > FORMAT_VERSION:
            raise NewerFormatError(f"the index of keys has format {version}; this version reads {FORMAT_VERSION}")
        if version < FORMAT_VERSION:
            raise DamagedError("it holds no index of keys")  # a finished one is all that ever gets this name

    def know(self, known: Iterable[KnownKey], at: float) -> None:
        """Add keys of which only the spools tell, as claimed at this time, unless they are there."""
        with self._transaction(durable=True):
            self._database.executemany(
                "INSERT OR IGNORE INTO keys (id, body, ticket, owner, claimed_at) VALUES (?, ?, ?, ?, ?)",
                ((name_of(c.tenant, c.key), _UNKNOWN_BODY, c.ticket, owner, int(at)) for c, owner in known),
            )

    def check(self) -> None:
        """Read all of it.

        Raises:
            DamagedError: SQLite finds something wrong.

        """
        found = self._database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise DamagedError(str(found))

    def close(self) -> None:
        """Let go of it."""
        self._database.close()

    def claim(
        self, wishes: Sequence[Wish], settlements: Sequence[Settlement], owner: int, now: float
    ) -> list[tuple[Verdict, Claim | None]]:
        """Settle earlier claims, then answer these wishes, in order; a claim comes with each ``GRANTED``.

        With neither, try whether the index can be written, durably.
        """
        with self._transaction(durable=bool(wishes) or not settlements):
            if not wishes and not settlements:
                self._database.execute("UPDATE size SET keys = keys")
            for claim, fate in settlements:
                self._settle(claim, fate)
            if wishes:
                self._window.bring_back(now)
            room = self._window.make_room(len(wishes), now) if wishes else 0
            answers: list[tuple[Verdict, Claim | None]] = []
            for wish in wishes:
                answer = self._answer(wish, owner, now, has_room=room > 0)
                room -= answer[0] is Verdict.GRANTED
                answers.append(answer)
            return answers

    def _answer(self, wish: Wish, owner: int, now: float, *, has_room: bool) -> tuple[Verdict, Claim | None]:
        execute = self._database.execute
        name = name_of(wish.tenant, wish.key)
        found = execute("SELECT seq, body, owner, claimed_at FROM keys WHERE id = ?", (name,)).fetchone()
        if found is not None:
            seq, body, its_owner, claimed_at = found
            if its_owner is not None:
                return Verdict.IN_USE, None
            if not self._window.is_over(claimed_at, now):
                return _compare(body, wish.body), None
            execute("DELETE FROM keys WHERE seq = ?", (seq,))
        elif not has_room:
            return Verdict.FULL, None
        claim = Claim(tenant=wish.tenant, key=wish.key, ticket=wish.ticket)
        row = (name, wish.body, wish.ticket, owner, int(now))
        execute("INSERT INTO keys (id, body, ticket, owner, claimed_at) VALUES (?, ?, ?, ?, ?)", row)
        return Verdict.GRANTED, claim

    def _settle(self, claim: Claim, fate: Fate) -> None:
        mine = (name_of(claim.tenant, claim.key), claim.ticket)
        if fate is Fate.STORED:
            self._database.execute("UPDATE keys SET owner = NULL WHERE id = ? AND ticket = ?", mine)
        elif fate is Fate.RELEASED or not claim.spool:
            self._database.execute("DELETE FROM keys WHERE id = ? AND ticket = ?", mine)
        else:
            # Not when the spool was packed meanwhile and the batch found in it: it is stored.
            query = "UPDATE keys SET owner = ? WHERE id = ? AND ticket = ? AND owner IS NOT NULL"
            self._database.execute(query, (-claim.spool, *mine))

    def claim_again(self, claimed: Iterable[tuple[Wish, Claim]], owner: int, now: float) -> None:
        """Take over open claims of an index that was lost, unless spools told of them already."""
        with self._transaction(durable=True):
            for wish, claim in claimed:
                name = name_of(wish.tenant, wish.key)
                row = (name, wish.body, claim.ticket, owner, int(now))
                query = "INSERT OR IGNORE INTO keys (id, body, ticket, owner, claimed_at) VALUES (?, ?, ?, ?, ?)"
                self._database.execute(query, row)
                self._database.execute(
                    "UPDATE keys SET body = ? WHERE id = ? AND ticket = ?", (wish.body, name, claim.ticket)
                )

    # For the agent.

    def know_stored(self, claims: Sequence[Claim], at: float) -> list[Claim]:
        """Add what a spool holds and a lost index knew, as claimed at this time; what is there stays as it is.

        Return those whose keys were claimed again meanwhile: their batches may be stored twice.
        """
        self.know(((claim, None) for claim in claims), at)
        return [claim for claim in claims if self._is_anothers(claim)]

    def _is_anothers(self, claim: Claim) -> bool:
        query = "SELECT ticket FROM keys WHERE id = ?"
        found = self._database.execute(query, (name_of(claim.tenant, claim.key),)).fetchone()
        return found is not None and found[0] != claim.ticket

    def owners(self) -> list[int]:
        """Return whose open claims there are: workers, and negated the numbers of spools."""
        return [owner for (owner,) in self._database.execute("SELECT DISTINCT owner FROM keys WHERE owner IS NOT NULL")]

    def close_claims(self, owner: int, found: Iterable[Claim]) -> tuple[int, int]:
        """Settle all open claims of an owner, durably: these are stored, the others released. Return how many."""
        with self._transaction(durable=True):
            stored = self._mark_stored(found)
            released = self._database.execute("DELETE FROM keys WHERE owner = ?", (owner,)).rowcount
        return stored, released

    def close_old_claims(self, owner: int, found: Iterable[Claim], now: float) -> tuple[int, int]:
        """Settle open claims of an owner, durably: these are stored, others released once their time is over."""
        with self._transaction(durable=True):
            stored = self._mark_stored(found)
            released = self._window.remove_over(owner, now)
        return stored, released

    def spool_goes(self, number: int, claims: Iterable[Claim]) -> None:
        """Make sure, durably, that the claims found in a spool are stored, and in doubt about it none is left."""
        with self._transaction(durable=True):
            if self.owners():
                self._mark_stored(claims)
                self._database.execute("DELETE FROM keys WHERE owner = ?", (-number,))
            # A change, so that this commit syncs what workers have written without a sync.
            self._database.execute("DELETE FROM packed")
            self._database.execute("INSERT INTO packed VALUES (?)", (number,))

    def _mark_stored(self, claims: Iterable[Claim]) -> int:
        return self._database.executemany(
            "UPDATE keys SET owner = NULL WHERE id = ? AND ticket = ? AND owner IS NOT NULL",
            ((name_of(claim.tenant, claim.key), claim.ticket) for claim in claims),
        ).rowcount

    @contextmanager
    def _transaction(self, *, durable: bool) -> Iterator[None]:
        """Change all of it or nothing; durable when it ends, if so wished and if acks are."""
        self._set_synchronous("FULL" if durable and self._limits.is_synced else "NORMAL")
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException as error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            if isinstance(error, TypeError | ValueError):
                raise DamagedError(f"a row of another form: {error}") from error
            raise

    def _set_synchronous(self, mode: str) -> None:
        if mode != self._synchronous:
            self._database.execute(f"PRAGMA synchronous = {mode}")
            self._synchronous = mode


def name_of(tenant: str, key: str) -> bytes:
    """Return the hash by which the index knows a tenant's key."""
    return blake2b(f"{tenant}\0{key}".encode(), digest_size=16).digest()


def _compare(body: bytes, other: bytes) -> Verdict:
    return Verdict.REPLAYED if body in (other, _UNKNOWN_BODY) else Verdict.REUSED


def _connect(uri: str) -> sqlite3.Connection:
    database = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA cell_size_check = ON")  # damage is found sooner
    except BaseException:
        database.close()
        raise
    return database
