"""One file of scope data, open for reading: the statements that are asked of it.

Ids are joined within one tenant, on every table, and an empty id is no id: what two tenants call the same stays
apart. Values come out as text; NULL is an empty string.

A *live* file is one that follows a feed: it has the tables of ``live``. All that is asked of it comes from one moment,
until ``renew`` moves on to the latest commit.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Final, TypeAlias

from apidanalytics.errors import LookupFailedError
from apidanalytics.model import Developer
from apidanalytics.scopes import live
from apidanalytics.scopes.developers import Answer
from apidanalytics.scopes.known_keys import KnownKeys
from apidanalytics.scopes.news import Kind, part_hash
from apidanalytics.scopes.ready import FILE_NAME as READY_NAME
from apidanalytics.scopes.ready import ReadyAnswers
from apidanalytics.scopes.tables import Tables, file_uri, find_tables
from apidanalytics.scopes.tenants import Row, TenantTable, tabulate

CACHE_KIB: Final = 16384
"""Memory for pages of the file, as far as it is large: the inner ones of a million keys fit in."""

BUSY_SECONDS: Final = 0.1
"""How long a look-up waits for another process that writes: look-ups run on the event loop."""

_Identity: TypeAlias = tuple[int, ...]


class ScopeDatabase:
    """Asks one SQLite file, which is never written. One call at a time, from any thread.

    Every method may raise ``LookupFailedError``: the file is missing, damaged, locked, or lacks a table.
    """

    is_live: bool
    sequence: str = ""
    """Of the last change list that answers contain; empty: none, or the file is not live."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._identity: _Identity = ()
            self._connection = _connect(path)
        except (OSError, sqlite3.Error) as error:
            raise _failed(path, error) from error
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<ScopeDatabase {self.path}>"

    def tenants(self) -> TenantTable:
        """Read all tenants."""
        try:
            return tabulate(self._connection.execute(self._select_scopes))
        except sqlite3.Error as error:
            raise _failed(self.path, error) from error

    def tenant(self, scope_uuid: str) -> TenantTable:
        """Read the tenant behind this scope: a table of one, or of none."""
        return tabulate(self._ask(f"{self._select_scopes} WHERE id = ?", scope_uuid))

    def tenant_of(self, org: str, env: str) -> TenantTable:
        """Read the tenant of this org and env: a table of one, or of none."""
        return tabulate(self._ask(f"{self._select_scopes} WHERE org = ? AND env = ?", org, env))

    def developer(self, tenant_id: str, api_key: str) -> Answer:
        """Return who stands behind an API key of this tenant, and what that depends on.

        Of several products the one with the lowest id counts, compared as text; one that does not exist, or whose app
        does not, is passed over. An app without a developer gives its product and its own name only.
        """
        if not tenant_id or not api_key:
            return Answer(None)
        return _answer(self._ask(self._select_developer, tenant_id, api_key))

    def developer_alone(self, tenant_id: str, api_key: str) -> Developer | None:
        """Return the same without what it depends on: for who remembers nothing."""
        if not tenant_id or not api_key:
            return None
        for row in self._ask(self._select_developer, tenant_id, api_key):
            if row[0]:
                return _developer(*row[4:8])
        return None

    def every_developer(self) -> Iterator[tuple[str, str, Answer]]:
        """Return tenant id, API key and answer for every key that is valid text: tens of seconds for a million."""
        try:
            rows = self._connection.execute(self._select_developers)
            for key, group in groupby(rows, itemgetter(-2, -1)):
                answer = _answer(group)
                try:
                    yield key[0].decode(), key[1].decode(), answer
                except UnicodeDecodeError:
                    continue
        except sqlite3.Error as error:
            raise _failed(self.path, error) from error

    def tenant_ids_of(self, api_key: str) -> list[str]:
        """Return every tenant id that has this API key, sorted. It reads the whole table: for a person who asks."""
        return sorted(_text(row[0]) for row in self._ask(self._select_tenant_ids, api_key))

    def changed(self) -> bool:
        """Return whether anybody has written to the file, or replaced it, since it was opened here.

        Costs a few microseconds. A file that has vanished counts as changed; commits to a live file do not count,
        ``renew`` takes them up.
        """
        try:
            return self._identify() != self._identity or (not self.is_live and self._read_version() != self._version)
        except (OSError, sqlite3.Error):
            return True

    def renew(self) -> None:
        """Answer as of the latest commit from now on; only a live file needs it."""
        if not self.is_live:
            return
        try:
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")
            self._connection.execute("BEGIN")
            self.sequence = live.read_sequence(self._connection)
        except sqlite3.Error as error:
            raise _failed(self.path, error) from error

    def ahead(self) -> "ScopeDatabase":
        """Return the same file as of the latest commit, and stay where this is; some 0.3 ms."""
        return ScopeDatabase(self.path)

    def exchange(self, other: "ScopeDatabase") -> None:
        """Answer as of the moment of another one of the same file, which answers as of the moment of this."""
        self._connection, other._connection = other._connection, self._connection  # noqa: SLF001 - one of us
        self.sequence, other.sequence = other.sequence, self.sequence

    def latest_sequence(self) -> str:
        """Return the sequence of the latest commit to a live file, without taking it up; some 0.2 ms."""
        if not self.is_live:
            return self.sequence
        try:
            with closing(_connect(self.path)) as another:
                return live.read_sequence(another)
        except (OSError, sqlite3.Error) as error:
            raise _failed(self.path, error) from error

    def known_keys(self) -> KnownKeys:
        """Return what is known of which API keys there are."""
        try:
            return KnownKeys.beside(self.path, live.added_keys(self._connection) if self.is_live else ())
        except sqlite3.Error as error:
            raise _failed(self.path, error) from error

    def changed_parts(self) -> list[int]:
        """Return the hashes of API keys and parts that changed since a live file's ready answers may have been made."""
        try:
            return live.changed(self._connection) if self.is_live else []
        except sqlite3.Error as error:
            raise _failed(self.path, error) from error

    def take_ready(self, ready: ReadyAnswers) -> None:
        """Have ready answers come from the newest file of them that fits to a live file as it is read now."""
        path = self.path.with_name(READY_NAME)
        if not self.is_live or ready.is_taken(path):
            return
        try:
            facts = live.read_all(self._connection)
        except sqlite3.Error as error:
            raise _failed(self.path, error) from error
        ready.take(path, first=int(facts.get(live.CHANGED_AFTER, 0)), last=int(facts.get(live.LISTS, 0)))

    def lists(self) -> int:
        """Return how many change lists there are in a live file."""
        return int(live.read_all(self._connection).get(live.LISTS, 0))

    def close(self) -> None:
        """Let go of the file. Safe to call twice."""
        self._connection.close()

    def _prepare(self) -> None:
        try:
            self._connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            self.is_live = live.is_live(self._connection)
            self._identity = self._identify()
            self._version = self._read_version()
            tables = find_tables(self._connection)
            self._connection.text_factory = bytes
        except (OSError, sqlite3.Error) as error:
            raise _failed(self.path, error) from error
        self.renew()
        self._select_scopes = _select_scopes(tables)
        self._select_developer = _select_developers(tables, "m.tenant_id = ? AND m.appcred_id = ?", "")
        self._select_developers = _select_developers(
            tables, "typeof(m.tenant_id) = 'text' AND typeof(m.appcred_id) = 'text'", "m.tenant_id, m.appcred_id,"
        )
        self._select_tenant_ids = f"SELECT DISTINCT CAST(tenant_id AS TEXT) FROM {tables.mapper} WHERE appcred_id = ?"  # noqa: S608 - the names are ours # nosec B608

    def _read_version(self) -> int:
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return int(version)

    def _identify(self) -> _Identity:
        stat = os.stat(self.path)  # noqa: PTH116 - twice as fast as Path.stat, and asked once a second and worker
        content = () if self.is_live else (stat.st_mtime_ns, stat.st_size)
        return stat.st_dev, stat.st_ino, *content

    def _ask(self, statement: str, *values: str) -> Iterable[Row]:
        try:
            return self._connection.execute(statement, values).fetchall()
        except UnicodeEncodeError:  # a lone surrogate: no text in a database can be equal to it
            return ()
        except sqlite3.Error as error:
            raise _failed(self.path, error) from error


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        file_uri(path), uri=True, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False
    )


def _failed(path: Path, error: Exception) -> LookupFailedError:
    return LookupFailedError(f"scope data cannot be read: {path}: {error}")


def _select_scopes(tables: Tables) -> str:
    columns = ", ".join(f"CAST({column} AS TEXT)" for column in ("id", "scope", "org", "env"))
    return f"SELECT {columns} FROM {tables.data_scope}"  # noqa: S608 - the names are ours # nosec B608


def _answer(rows: Iterable[Row]) -> Answer:
    parts: list[int] = []
    for row in rows:
        product_id, app_id, developer_id = map(_text, row[1:4])
        parts += part_hash(Kind.PRODUCT, product_id), part_hash(Kind.APP, app_id)
        if row[0]:
            parts.append(part_hash(Kind.DEVELOPER, developer_id))
            return Answer(_developer(*row[4:8]), tuple(parts))
    return Answer(None, tuple(parts))


def _select_developers(tables: Tables, condition: str, order: str) -> str:
    # LEFT JOIN, because an answer depends on what is missing too; it also keeps SQLite from changing the order, which
    # it may well begin with all products times all apps of the tenant.
    return f"""
        SELECT p.id IS NOT NULL AND a.id IS NOT NULL, CAST(m.apiprdt_id AS TEXT), CAST(m.app_id AS TEXT),
            CAST(a.developer_id AS TEXT),
            CAST(p.name AS TEXT), CAST(a.name AS TEXT), CAST(d.email AS TEXT), CAST(d.username AS TEXT),
            m.tenant_id, m.appcred_id
        FROM {tables.mapper} AS m
        LEFT JOIN {tables.api_product} AS p ON p.tenant_id = m.tenant_id AND p.id = m.apiprdt_id
        LEFT JOIN {tables.app} AS a ON a.tenant_id = m.tenant_id AND a.id = m.app_id
        LEFT JOIN {tables.developer} AS d
            ON d.tenant_id = m.tenant_id AND d.id = a.developer_id AND a.developer_id <> ''
        WHERE {condition} AND m.tenant_id <> '' AND m.appcred_id <> '' AND m.apiprdt_id <> '' AND m.app_id <> ''
        ORDER BY {order} m.apiprdt_id, m.app_id, coalesce(p.name, ''), coalesce(a.name, ''),
            coalesce(d.username, ''), coalesce(d.email, '')
    """  # noqa: S608 - the names are ours # nosec B608


def _developer(product: bytes | None, app: bytes | None, email: bytes | None, name: bytes | None) -> Developer:
    return Developer(
        api_product=_text(product), developer_app=_text(app), developer_email=_text(email), developer=_text(name)
    )


def _text(value: bytes | None) -> str:
    return str(value, "utf-8", "replace") if value else ""
