"""Scope data for tests: rows, databases laid out as the seeds have them, and a plain Python oracle."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from apidanalytics.model import Developer, Tenant
from apidanalytics.scopes.developers import DeveloperCache
from apidanalytics.scopes.news import Kind
from apidanalytics.scopes.tails import NOBODY, WITHOUT_KEY, TailTable, tail_of
from tests.steps import at_once

Text = str | None


@dataclass
class Rows:
    """What stands in the five tables."""

    scopes: list[tuple[Text, Text, Text, Text]] = field(default_factory=list)  # id, scope, org, env
    mapper: list[tuple[Text, Text, Text, Text]] = field(
        default_factory=list
    )  # tenant_id, appcred_id, app_id, apiprdt_id
    products: list[tuple[Text, Text, Text]] = field(default_factory=list)  # id, tenant_id, name
    apps: list[tuple[Text, Text, Text, Text]] = field(default_factory=list)  # id, tenant_id, name, developer_id
    developers: list[tuple[Text, Text, Text, Text]] = field(default_factory=list)  # id, tenant_id, username, email


def seed_rows() -> Rows:
    """Return the test data of the first version (insertTestData in its suite)."""
    return Rows(
        scopes=[("testid", "tenantid", "testorg", "testenv")],
        mapper=[("tenantid", "testapikey", "testappid", "testproductid")],
        products=[("testproductid", "tenantid", "testproduct")],
        apps=[("testappid", "tenantid", "testapp", "testdeveloperid")],
        developers=[("testdeveloperid", "tenantid", "testdeveloper", "testdeveloper@test.com")],
    )


TEST_TENANT = Tenant(org="testorg", env="testenv", tenant_id="tenantid")
TEST_DEVELOPER = Developer(
    api_product="testproduct",
    developer_app="testapp",
    developer_email="testdeveloper@test.com",
    developer="testdeveloper",
)

TABLES = {
    "data_scope": "id text, apid_cluster_id text, scope text, org text, env text, created blob",
    "app_credential_apiproduct_mapper": "tenant_id text, appcred_id text, app_id text, apiprdt_id text, status text",
    "api_product": "id text, tenant_id text, name text, display_name text, quota_interval int",
    "app": "id text, tenant_id text, name text, company_id text, developer_id text, type int",
    "developer": "id text, tenant_id text, username text, first_name text, email text, password text",
}


def ddl(*, prefixed: bool = False, upper: bool = False, without: Iterable[str] = ()) -> str:
    """Return the statements that make the tables, without some of them or of their columns (``app.name``)."""
    skipped = set(without)
    statements = []
    for table, columns in TABLES.items():
        kept = [c for c in columns.split(", ") if f"{table}.{c.split()[0]}" not in skipped]
        if table not in skipped:
            statements.append(f"CREATE TABLE {_name(table, prefixed)} ({', '.join(kept)});")
    text = "\n".join(statements)
    return text.upper() if upper else text


def write_database(path: Path, rows: Rows, *, prefixed: bool = False, upper: bool = False, wal: bool = False) -> Path:
    """Make a database as apid would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        if wal:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(ddl(prefixed=prefixed, upper=upper))
        add_rows(connection, rows, prefixed=prefixed)
    return path


def add_rows(connection: sqlite3.Connection, rows: Rows, *, prefixed: bool = False) -> None:
    connection.execute("BEGIN")
    for table, columns, values in (
        ("data_scope", "id, scope, org, env", rows.scopes),
        ("app_credential_apiproduct_mapper", "tenant_id, appcred_id, app_id, apiprdt_id", rows.mapper),
        ("api_product", "id, tenant_id, name", rows.products),
        ("app", "id, tenant_id, name, developer_id", rows.apps),
        ("developer", "id, tenant_id, username, email", rows.developers),
    ):
        places = ", ".join("?" * len(columns.split(", ")))
        connection.executemany(f"INSERT INTO {_name(table, prefixed)} ({columns}) VALUES ({places})", values)
    connection.execute("COMMIT")


def execute(path: Path, statement: str, *values: Text) -> None:
    """Write into a database as somebody else does, in a connection of its own."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement, values)


def _name(table: str, prefixed: bool) -> str:
    if not prefixed:
        return table
    return f"edgex_{table}" if table == "data_scope" else f"kms_{table}"


class Oracle:
    """The rules, written down as plainly as possible: loops over rows."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def tenant(self, uuid: str) -> Tenant | None:
        found = [s for s in self._scopes() if s[0] == uuid]
        return self._tenant(min(found)) if found else None

    def tenant_of(self, org: str, env: str) -> Tenant | None:
        found = [s for s in self._scopes() if s[1:3] == (org, env)]
        return self._tenant(min(found)) if found else None

    def developer(self, tenant: Tenant, api_key: str) -> Developer | None:
        if not tenant.tenant_id or not api_key:
            return None
        found = list(self._answers(tenant.tenant_id, api_key))
        if not found:
            return None
        _, _, product, app, name, email = min(found)
        return Developer(api_product=product, developer_app=app, developer_email=email, developer=name)

    def tails(self, tenant: Tenant) -> "OracleTails":
        return OracleTails(self, tenant)

    def _scopes(self) -> list[tuple[str, str, str, str]]:
        """Return (id, org, env, tenant id) of what may send records."""
        return [(i, org, env, tenant or "") for i, tenant, org, env in self.rows.scopes if i and org and env]

    def _tenant(self, scope: tuple[str, str, str, str]) -> Tenant:
        return Tenant(org=scope[1], env=scope[2], tenant_id=scope[3])

    def _answers(self, tenant_id: str, api_key: str):
        for tenant, key, app_id, product_id in self.rows.mapper:
            if tenant != tenant_id or key != api_key or not app_id or not product_id:
                continue
            for product in self.rows.products:
                if product[:2] != (product_id, tenant_id):
                    continue
                for app in self.rows.apps:
                    if app[:2] != (app_id, tenant_id):
                        continue
                    for name, email in self._owners(tenant_id, app[3]):
                        yield product_id, app_id, product[2] or "", app[2] or "", name, email

    def _owners(self, tenant_id: str, developer_id: Text) -> list[tuple[str, str]]:
        owners = [
            (d[2] or "", d[3] or "")
            for d in self.rows.developers
            if developer_id and d[:2] == (developer_id, tenant_id)
        ]
        return owners or [("", "")]


class OracleTails(TailTable):
    """What the oracle says of the API keys of a tenant."""

    def __init__(self, oracle: Oracle, tenant: Tenant) -> None:
        super().__init__()
        self._oracle = oracle
        self._tenant = tenant

    def __missing__(self, api_key: str) -> bytes:
        return tail_of(self._oracle.developer(self._tenant, api_key)) if api_key else WITHOUT_KEY


class Scopes(Protocol):
    """What answers."""

    def tails(self, tenant: Tenant) -> TailTable: ...


def developer_in(tail: bytes) -> Developer:
    """Return what a tail says. An unknown developer has four empty values."""
    return Developer() if tail == WITHOUT_KEY else msgspec.json.decode(b"{" + tail[1:], type=Developer)


def who(scopes: Scopes, tenant: Tenant, api_key: str) -> Developer | None:
    """Return who stands behind an API key; None: nobody, or nothing is known of them."""
    tail = scopes.tails(tenant)[api_key]
    return None if tail in (WITHOUT_KEY, NOBODY) else developer_in(tail)


class FakeClock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self, now: float = 1_795_310_000.0) -> None:
        self.at = now

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at - 1_795_000_000.0

    def advance(self, seconds: float) -> None:
        self.at += seconds


def forget(cache: DeveloperCache, keys: list[tuple[str, str]], parts: list[tuple[Kind, str, str]]) -> None:
    """Have a cache forget what these keys and parts concern, at once."""
    at_once(cache.search(parts))
    cache.forget(keys, parts)
