"""The tables are found under either name, and what is missing is named."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from apidanalytics.errors import LookupFailedError
from apidanalytics.scopes.tables import COLUMNS, LayoutError, Tables, find_tables
from tests.unit.scopes.samples import ddl


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        yield connection


PLAIN = Tables(
    data_scope="main.data_scope",
    mapper="main.app_credential_apiproduct_mapper",
    api_product="main.api_product",
    app="main.app",
    developer="main.developer",
)
PREFIXED = Tables(
    data_scope="main.edgex_data_scope",
    mapper="main.kms_app_credential_apiproduct_mapper",
    api_product="main.kms_api_product",
    app="main.kms_app",
    developer="main.kms_developer",
)


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize(("prefixed", "expected"), [(False, PLAIN), (True, PREFIXED)])
def test_tables_are_found_plain_or_prefixed_in_either_case(
    connection: sqlite3.Connection, upper: bool, prefixed: bool, expected: Tables
) -> None:
    connection.executescript(ddl(prefixed=prefixed, upper=upper))
    assert find_tables(connection) == expected


def test_where_both_names_are_there_the_prefixed_table_is_read(connection: sqlite3.Connection) -> None:
    connection.executescript(ddl(prefixed=True) + ddl())
    assert find_tables(connection) == PREFIXED


def test_every_table_may_have_its_own_kind_of_name(connection: sqlite3.Connection) -> None:
    connection.executescript(ddl(without=["app"]) + "CREATE TABLE Kms_App (Id, Tenant_Id, Name, Developer_Id);")
    assert find_tables(connection).app == "main.kms_app"


def test_a_view_will_do(connection: sqlite3.Connection) -> None:
    connection.executescript(
        ddl(without=["app"]) + "CREATE VIEW app AS SELECT 1 id, 2 tenant_id, 3 name, 4 developer_id;"
    )
    assert find_tables(connection) == PLAIN


def test_tables_of_an_attached_database_are_found_there(connection: sqlite3.Connection) -> None:
    connection.executescript("ATTACH ':memory:' AS source;" + ddl().replace("CREATE TABLE ", "CREATE TABLE source."))
    assert find_tables(connection, "source").app == "source.app"
    with pytest.raises(LayoutError):
        find_tables(connection)


def test_all_missing_tables_and_columns_are_named_at_once(connection: sqlite3.Connection) -> None:
    connection.executescript(ddl(prefixed=False, without=["developer", "app.name", "data_scope.org", "data_scope.env"]))
    with pytest.raises(LayoutError) as caught:
        find_tables(connection)
    assert caught.value.problems == (
        "column org of table data_scope is missing",
        "column env of table data_scope is missing",
        "column name of table app is missing",
        "table developer (or kms_developer) is missing",
    )
    assert isinstance(caught.value, LookupFailedError)
    assert "kms_developer" in str(caught.value)


@pytest.mark.parametrize("column", [f"{table}.{column}" for table, columns in COLUMNS.items() for column in columns])
def test_each_column_is_needed(connection: sqlite3.Connection, column: str) -> None:
    connection.executescript(ddl(without=[column]))
    with pytest.raises(LayoutError, match=f"column {column.partition('.')[2]} of table {column.partition('.')[0]} is"):
        find_tables(connection)


def test_an_empty_database_lacks_all_tables(connection: sqlite3.Connection) -> None:
    with pytest.raises(LayoutError) as caught:
        find_tables(connection)
    assert len(caught.value.problems) == 5
    assert caught.value.problems[0] == "table data_scope (or edgex_data_scope) is missing"
