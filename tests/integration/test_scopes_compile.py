"""What a user's database holds becomes one layout, whatever types, collations and doubles it has."""

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from apidanalytics.model import Developer, Tenant
from apidanalytics.scopes.compile import compile_database, compile_entries, count
from apidanalytics.scopes.lookup import UncachedScopes
from apidanalytics.scopes.scopes_yaml import KeyEntry, ScopeData, ScopeEntry
from apidanalytics.scopes.source import SourceError
from apidanalytics.scopes.tenants import Flaws
from tests.unit.scopes.samples import (
    TEST_DEVELOPER,
    TEST_TENANT,
    add_rows,
    ddl,
    execute,
    seed_rows,
    who,
    write_database,
)


def make(path: Path, *scripts: str) -> Path:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for script in scripts:
            connection.executescript(script)
        add_rows(connection, seed_rows())
    return path


def test_a_compiled_file_is_private_and_stands_alone(tmp_path: Path) -> None:
    compile_database(tmp_path / "to.db", write_database(tmp_path / "from.db", seed_rows()))
    assert stat.S_IMODE((tmp_path / "to.db").stat().st_mode) == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"from.db", "to.db", "keys.i64"}


def test_the_same_rows_in_any_order_give_the_same_bytes(tmp_path: Path) -> None:
    rows = seed_rows()
    rows.scopes.append(("second", "tenantid", "acme", "prod"))
    rows.products.append(("another", "tenantid", "product"))
    for number in range(2):
        compile_database(tmp_path / f"{number}", write_database(tmp_path / f"{number}.db", rows, wal=number == 1))
        for table in (rows.scopes, rows.products):
            table.reverse()
    assert (tmp_path / "0").read_bytes() == (tmp_path / "1").read_bytes()


@pytest.mark.parametrize("kind", ["int64", "blob", "", "text collate nocase", "numeric"])
def test_columns_may_have_any_type_or_collation(tmp_path: Path, kind: str) -> None:
    source = make(tmp_path / "from.db", ddl().replace(" text", f" {kind}"))
    execute(source, "UPDATE app_credential_apiproduct_mapper SET appcred_id = 17")
    compile_database(tmp_path / "to.db", source)
    with closing(UncachedScopes(tmp_path / "to.db")) as scopes:
        assert scopes.tenant("testid") == TEST_TENANT
        assert scopes.tenant("TESTID") is None
        assert who(scopes, TEST_TENANT, "17") == TEST_DEVELOPER
        assert who(scopes, TEST_TENANT, "017") is None


def test_values_stored_as_blobs_are_the_same_text(tmp_path: Path) -> None:
    source = make(tmp_path / "from.db", ddl())
    for column in ("appcred_id", "tenant_id"):
        execute(source, f"UPDATE app_credential_apiproduct_mapper SET {column} = CAST({column} AS BLOB)")
    compile_database(tmp_path / "to.db", source)
    with closing(UncachedScopes(tmp_path / "to.db")) as scopes:
        assert who(scopes, TEST_TENANT, "testapikey") == TEST_DEVELOPER


def test_rows_that_stand_there_twice_are_one(tmp_path: Path) -> None:
    source = make(tmp_path / "from.db", ddl())
    with closing(sqlite3.connect(source, isolation_level=None)) as connection:
        add_rows(connection, seed_rows())
    compile_database(tmp_path / "to.db", source)
    assert (count(tmp_path / "to.db").tenants, count(tmp_path / "to.db").api_keys) == (1, 1)


@pytest.mark.parametrize("encoding", ["UTF-16le", "UTF-16be"])
def test_another_text_encoding_is_refused_with_a_reason(tmp_path: Path, encoding: str) -> None:
    source = make(tmp_path / "from.db", f"PRAGMA encoding = '{encoding}'", ddl())
    with pytest.raises(sqlite3.Error, match="text encoding"):
        compile_database(tmp_path / "to.db", source)


def test_missing_tables_and_columns_are_all_named(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "from.db")) as connection:
        connection.executescript(ddl(without=["app", "developer.email"]))
    with pytest.raises(SourceError) as caught:
        compile_database(tmp_path / "to.db", tmp_path / "from.db")
    assert caught.value.problems == (
        "table app (or kms_app) is missing",
        "column email of table developer is missing",
    )


def test_a_missing_database_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        compile_database(tmp_path / "to.db", tmp_path / "from.db")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_database_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "from.db").write_bytes(b"junk" * 999)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        compile_database(tmp_path / "to.db", tmp_path / "from.db")


def test_commits_that_are_still_in_the_log_count(tmp_path: Path) -> None:
    source = write_database(tmp_path / "from.db", seed_rows(), wal=True)
    with closing(sqlite3.connect(source, isolation_level=None)) as writer:
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute("INSERT INTO data_scope (id, scope, org, env) VALUES ('new', 't', 'acme', 'prod')")
        writer.execute("BEGIN")
        writer.execute("INSERT INTO data_scope (id, scope, org, env) VALUES ('open', 't', 'acme', 'dev')")
        compile_database(tmp_path / "to.db", source)
    assert count(tmp_path / "to.db").tenants == 2


def test_what_is_wrong_with_rows_is_found_and_left_out(tmp_path: Path) -> None:
    rows = seed_rows()
    rows.scopes += [(None, "t", "a", "b"), ("x", "t", "y" * 200, "b"), ("z", "other", "testorg", "testenv")]
    flaws = compile_database(tmp_path / "to.db", write_database(tmp_path / "from.db", rows))
    assert flaws == Flaws(incomplete=1, too_long=(f"{'y' * 200}~b",), ambiguous=("testorg~testenv",))
    with closing(sqlite3.connect(tmp_path / "to.db")) as connection:
        assert connection.execute("SELECT id FROM data_scope ORDER BY id").fetchall() == [("testid",), ("z",)]


def test_keys_that_no_scope_leads_to_are_counted(tmp_path: Path) -> None:
    rows = seed_rows()
    rows.mapper.append(("typo", "key", "app", "product"))
    compile_database(tmp_path / "to.db", write_database(tmp_path / "from.db", rows))
    counts = count(tmp_path / "to.db")
    assert (counts.tenants, counts.api_keys, counts.orphan_keys) == (1, 2, 1)


def test_entries_of_a_scopes_file_answer_as_they_say(tmp_path: Path) -> None:
    data = ScopeData(
        scopes=(ScopeEntry(id="a", org="acme", env="prod", tenant_id="t"),),
        api_keys=(
            KeyEntry(key="two", tenant_id="t", product="z", app="app", developer="d", email="e"),
            KeyEntry(key="two", tenant_id="t", product="y", app="app", developer="d", email="e"),
            KeyEntry(key="company", tenant_id="t", product="z", app="other app"),
            KeyEntry(key="mail", tenant_id="t", product="z", app="app", email="only@mail"),
            KeyEntry(key="two", tenant_id="u", product="x", app="elsewhere"),
        ),
    )
    compile_entries(tmp_path / "to.db", data)
    tenant = Tenant(org="acme", env="prod", tenant_id="t")
    with closing(UncachedScopes(tmp_path / "to.db")) as scopes:
        assert who(scopes, tenant, "two") == Developer(
            api_product="y", developer_app="app", developer="d", developer_email="e"
        )
        assert who(scopes, tenant, "company") == Developer(api_product="z", developer_app="other app")
        assert who(scopes, tenant, "mail") == Developer(
            api_product="z", developer_app="app", developer_email="only@mail"
        )
        assert scopes.tenant("a") == tenant
    counts = count(tmp_path / "to.db")
    assert (counts.tenants, counts.api_keys, counts.orphan_keys) == (1, 4, 1)
