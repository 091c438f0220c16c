"""One file of scope data, open for reading: the statements that are asked of it.

Ids are joined within one tenant, on every table, and an empty id is no id: what two tenants call the same stays
apart. Values come out as text; NULL is an empty string.
"""

import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeAlias

from apidanalytics.errors import LookupFailedError
from apidanalytics.model import Developer
from apidanalytics.scopes.tables import Tables, file_uri, find_tables
from apidanalytics.scopes.tenants import Row, TenantTable, tabulate

BUSY_SECONDS: Final = 0.1
"""How long a look-up waits for another process that writes: look-ups run on the event loop."""

_Identity: TypeAlias = tuple[int, int, int, int]


class ScopeDatabase:
    """Asks one SQLite file, which is never written. One call at a time, from any thread.

    Every method may raise ``LookupFailedError``: the file is missing, damaged, locked, or lacks a table.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._identity = _identify(path)
            self._connection = sqlite3.connect(
                file_uri(path), uri=True, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False
            )
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
        return tabulate(self._ask(self._select_scopes))

    def tenant(self, scope_uuid: str) -> TenantTable:
        """Read the tenant behind this scope: a table of one, or of none."""
        return tabulate(self._ask(f"{self._select_scopes} WHERE id = ?", scope_uuid))

    def tenant_of(self, org: str, env: str) -> TenantTable:
        """Read the tenant of this org and env: a table of one, or of none."""
        return tabulate(self._ask(f"{self._select_scopes} WHERE org = ? AND env = ?", org, env))

    def developer(self, tenant_id: str, api_key: str) -> Developer | None:
        """Return who stands behind an API key of this tenant; None when nobody is known.

        Of several products the one with the lowest id counts, compared as text. An app without a developer gives
        its product and its own name only.
        """
        if not tenant_id or not api_key:
            return None
        for row in self._ask(self._select_developer, tenant_id, api_key):
            product, app, email, name = [(value or b"").decode(errors="replace") for value in row]
            return Developer(api_product=product, developer_app=app, developer_email=email, developer=name)
        return None

    def changed(self) -> bool:
        """Return whether anybody has written to the file, or replaced it, since it was opened here.

        Costs a few microseconds. A file that has vanished counts as changed.
        """
        try:
            return _identify(self.path) != self._identity or self._read_version() != self._version
        except (OSError, sqlite3.Error):
            return True

    def close(self) -> None:
        """Let go of the file. Safe to call twice."""
        self._connection.close()

    def _prepare(self) -> None:
        try:
            self._version = self._read_version()
            tables = find_tables(self._connection)
            self._connection.text_factory = bytes
        except sqlite3.Error as error:
            raise _failed(self.path, error) from error
        self._select_scopes = _select_scopes(tables)
        self._select_developer = _select_developer(tables)

    def _read_version(self) -> int:
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return int(version)

    def _ask(self, statement: str, *values: str) -> Iterable[Row]:
        try:
            return self._connection.execute(statement, values).fetchall()
        except UnicodeEncodeError:  # a lone surrogate: no text in a database can be equal to it
            return ()
        except sqlite3.Error as error:
            raise _failed(self.path, error) from error


def _identify(path: Path) -> _Identity:
    stat = os.stat(path)  # noqa: PTH116 - twice as fast as Path.stat, and asked once a second and worker
    return stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size


def _failed(path: Path, error: Exception) -> LookupFailedError:
    return LookupFailedError(f"scope data cannot be read: {path}: {error}")


def _select_scopes(tables: Tables) -> str:
    columns = ", ".join(f"CAST({column} AS TEXT)" for column in ("id", "scope", "org", "env"))
    return f"SELECT {columns} FROM {tables.data_scope}"  # noqa: S608 - the names are ours


def _select_developer(tables: Tables) -> str:
    # CROSS JOIN keeps SQLite from changing the order: it may well begin with all products times all apps of the tenant.
    return f"""
        SELECT CAST(p.name AS TEXT), CAST(a.name AS TEXT), CAST(d.email AS TEXT), CAST(d.username AS TEXT)
        FROM {tables.mapper} AS m
        CROSS JOIN {tables.api_product} AS p ON p.tenant_id = m.tenant_id AND p.id = m.apiprdt_id
        CROSS JOIN {tables.app} AS a ON a.tenant_id = m.tenant_id AND a.id = m.app_id
        LEFT JOIN {tables.developer} AS d
            ON d.tenant_id = m.tenant_id AND d.id = a.developer_id AND a.developer_id <> ''
        WHERE m.tenant_id = ? AND m.appcred_id = ? AND m.apiprdt_id <> '' AND m.app_id <> ''
        ORDER BY m.apiprdt_id, m.app_id, coalesce(p.name, ''), coalesce(a.name, ''),
            coalesce(d.username, ''), coalesce(d.email, '')
        LIMIT 1
    """  # noqa: S608 - the names are ours
