"""Look-ups on real files: what changes in them counts, and what goes wrong with them is survived."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from apidanalytics.errors import LookupFailedError
from apidanalytics.model import Developer, Tenant
from apidanalytics.scopes.compile import compile_database
from apidanalytics.scopes.lookup import CachedScopes, UncachedScopes
from tests.unit.scopes.samples import (
    TEST_DEVELOPER,
    TEST_TENANT,
    FakeClock,
    ddl,
    execute,
    seed_rows,
    who,
    write_database,
)

Scopes = CachedScopes | UncachedScopes
ADD_SCOPE = "INSERT INTO data_scope (id, scope, org, env) VALUES (?, ?, ?, ?)"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def open_cached(clock: FakeClock) -> Iterator[Callable[..., CachedScopes]]:
    with ExitStack() as stack:
        yield lambda path, max_keys=100: stack.enter_context(
            closing(CachedScopes(path, max_keys=max_keys, refresh_interval=1800.0, clock=clock))
        )


@pytest.fixture(params=["cached", "uncached"])
def open_scopes(
    request: pytest.FixtureRequest, open_cached: Callable[..., CachedScopes]
) -> Iterator[Callable[[Path], Scopes]]:
    with ExitStack() as stack:
        if request.param == "cached":
            yield open_cached
        else:
            yield lambda path: stack.enter_context(closing(UncachedScopes(path)))


@pytest.fixture(params=["rollback journal", "write-ahead log"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_database(tmp_path / "scopes.db", seed_rows(), wal=request.param == "write-ahead log")


def count_statements(scopes: CachedScopes) -> list[str]:
    """Return a list that grows with every statement that reaches the database."""
    statements: list[str] = []
    scopes._database._connection.set_trace_callback(statements.append)
    return statements


def test_an_unknown_scope_never_reaches_the_database(path: Path, open_cached: Callable[..., CachedScopes]) -> None:
    scopes = open_cached(path)
    statements = count_statements(scopes)
    for number in range(1000):
        assert scopes.tenant(f"unknown {number}") is None
        assert scopes.tenant_of("testorg", f"unknown {number}") is None
    assert scopes.tenant("testid") == TEST_TENANT
    assert statements == []


@pytest.mark.parametrize(("key", "answer"), [("testapikey", TEST_DEVELOPER), ("unknown", None)])
def test_a_key_reaches_the_database_once_known_or_not(
    path: Path, open_cached: Callable[..., CachedScopes], key: str, answer: Developer | None
) -> None:
    scopes = open_cached(path)
    statements = count_statements(scopes)
    assert [who(scopes, TEST_TENANT, key) for _ in range(5)] == [answer] * 5
    assert len(statements) == 1


def test_what_is_remembered_of_keys_is_bounded(path: Path, open_cached: Callable[..., CachedScopes]) -> None:
    scopes = open_cached(path, max_keys=10)
    for number in range(100):
        who(scopes, TEST_TENANT, f"unknown {number}")
        remembered = int(repr(scopes).partition("developers=")[2].split()[0])
        assert number > 10 or remembered
        assert remembered <= 10


def test_a_scope_added_or_removed_by_somebody_else_counts_at_the_next_tick(
    path: Path, open_scopes: Callable[[Path], Scopes]
) -> None:
    scopes = open_scopes(path)
    assert not scopes.tick()
    execute(path, ADD_SCOPE, "new", "tenantid", "acme", "prod")
    assert scopes.tick()
    assert (
        scopes.tenant("new") == scopes.tenant_of("acme", "prod") == Tenant(org="acme", env="prod", tenant_id="tenantid")
    )
    execute(path, "DELETE FROM data_scope WHERE id = 'testid'")
    assert scopes.tick()
    assert scopes.tenant("testid") is None
    assert scopes.tenant_of("testorg", "testenv") is None


def test_an_api_key_added_later_is_no_longer_unknown(path: Path, open_scopes: Callable[[Path], Scopes]) -> None:
    scopes = open_scopes(path)
    assert who(scopes, TEST_TENANT, "new") is None
    insert = (
        "INSERT INTO app_credential_apiproduct_mapper (tenant_id, appcred_id, app_id, apiprdt_id) VALUES (?, ?, ?, ?)"
    )
    execute(path, insert, "tenantid", "new", "testappid", "testproductid")
    scopes.tick()
    assert who(scopes, TEST_TENANT, "new") == TEST_DEVELOPER


def test_uncached_answers_are_never_late(path: Path) -> None:
    with closing(UncachedScopes(path)) as scopes:
        execute(path, ADD_SCOPE, "new", "tenantid", "acme", "prod")
        assert scopes.tenant("new") is not None
        execute(path, "UPDATE developer SET username = 'renamed'")
        developer = who(scopes, TEST_TENANT, "testapikey")
        assert developer is not None
        assert developer.developer == "renamed"


def test_a_tick_without_a_change_does_nothing(path: Path, open_scopes: Callable[[Path], Scopes]) -> None:
    scopes = open_scopes(path)
    who(scopes, TEST_TENANT, "testapikey")
    assert not any(scopes.tick() for _ in range(10))


def test_everything_is_read_anew_when_the_refresh_interval_is_over(
    path: Path, open_cached: Callable[..., CachedScopes], clock: FakeClock
) -> None:
    scopes = open_cached(path)
    who(scopes, TEST_TENANT, "testapikey")
    clock.advance(1799.0)
    assert not scopes.tick()
    clock.advance(1.0)
    assert scopes.tick()
    assert "developers=0 " in repr(scopes)
    assert not scopes.tick()


def test_a_file_replaced_by_rename_is_noticed(
    tmp_path: Path, path: Path, open_scopes: Callable[[Path], Scopes]
) -> None:
    scopes = open_scopes(path)
    rows = seed_rows()
    rows.scopes = [("other", "tenantid", "testorg", "testenv")]
    write_database(tmp_path / "next.db", rows).rename(path)
    assert scopes.tick()
    assert scopes.tenant("testid") is None
    assert scopes.tenant("other") == TEST_TENANT


def test_a_file_overwritten_in_place_is_noticed(tmp_path: Path, open_scopes: Callable[[Path], Scopes]) -> None:
    path = write_database(tmp_path / "scopes.db", seed_rows())
    scopes = open_scopes(path)
    rows = seed_rows()
    rows.scopes = [("other", "tenantid", "testorg", "testenv")]
    os.utime(path, (0, 0))
    scopes.tick()
    shutil.copyfile(write_database(tmp_path / "next.db", rows), path)
    assert scopes.tick()
    assert scopes.tenant("other") == TEST_TENANT


def test_a_switch_brings_the_answers_of_another_file(
    tmp_path: Path, path: Path, open_scopes: Callable[[Path], Scopes]
) -> None:
    scopes = open_scopes(path)
    assert who(scopes, TEST_TENANT, "testapikey") == TEST_DEVELOPER
    rows = seed_rows()
    rows.products = [("testproductid", "tenantid", "renamed")]
    scopes.switch(write_database(tmp_path / "next.db", rows))
    developer = who(scopes, TEST_TENANT, "testapikey")
    assert developer is not None
    assert developer.api_product == "renamed"


@pytest.mark.parametrize("make", ["nothing", "junk", "empty", "tables missing"])
def test_a_switch_to_a_file_that_cannot_be_read_changes_nothing(
    tmp_path: Path, path: Path, open_scopes: Callable[[Path], Scopes], make: str
) -> None:
    scopes = open_scopes(path)
    with pytest.raises(LookupFailedError, match=r"next\.db|is missing"):
        scopes.switch(_unreadable(tmp_path / "next.db", make))
    assert scopes.tenant("testid") == TEST_TENANT
    assert who(scopes, TEST_TENANT, "testapikey") == TEST_DEVELOPER


@pytest.mark.parametrize("make", ["nothing", "junk", "empty", "tables missing"])
def test_a_file_that_cannot_be_read_is_a_failed_lookup(
    tmp_path: Path, open_scopes: Callable[[Path], Scopes], make: str
) -> None:
    with pytest.raises(LookupFailedError):
        open_scopes(_unreadable(tmp_path / "scopes.db", make))


def _unreadable(path: Path, make: str) -> Path:
    if make == "junk":
        path.write_bytes(b"this is no database" * 1000)
    elif make == "empty":
        path.touch()
    elif make == "tables missing":
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(ddl(without=["app"]))
    return path


def test_a_file_that_vanishes_leaves_the_answers_and_is_said_once(
    tmp_path: Path, path: Path, open_cached: Callable[..., CachedScopes]
) -> None:
    scopes = open_cached(path)
    path.rename(tmp_path / "away.db")
    with capture_logs() as lines:
        assert not any(scopes.tick() for _ in range(5))
        assert scopes.tenant("testid") == TEST_TENANT
        (tmp_path / "away.db").rename(path)
        assert not scopes.tick()
        execute(path, ADD_SCOPE, "new", "tenantid", "acme", "prod")
        assert scopes.tick()
    assert [line["event"] for line in lines] == ["scopes.refresh_failed", "scopes.refresh_mended"]
    assert str(path) in lines[0]["reason"]
    assert scopes.tenant("new") is not None


def test_a_damaged_database_is_a_failed_lookup_and_the_scopes_in_memory_stay(
    tmp_path: Path, open_cached: Callable[..., CachedScopes]
) -> None:
    path = write_database(tmp_path / "scopes.db", seed_rows())
    scopes = open_cached(path)
    path.write_bytes(b"\xff" * path.stat().st_size)
    with pytest.raises(LookupFailedError):
        who(scopes, TEST_TENANT, "testapikey")
    assert scopes.tenant("testid") == TEST_TENANT
    with capture_logs():
        assert not scopes.tick()
    assert scopes.tenant("testid") == TEST_TENANT


@pytest.mark.parametrize("ask", [
    lambda scopes: scopes.tenant("testid"),
    lambda scopes: scopes.tenant_of("testorg", "testenv"),
    lambda scopes: who(scopes, TEST_TENANT, "testapikey"),
])  # fmt: skip
def test_a_locked_database_is_a_failed_lookup_and_no_long_wait(tmp_path: Path, ask) -> None:
    path = write_database(tmp_path / "scopes.db", seed_rows())
    with closing(UncachedScopes(path)) as scopes, closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LookupFailedError, match="locked"):
            ask(scopes)
        writer.execute("ROLLBACK")
        assert ask(scopes) is not None


def test_a_snapshot_fresh_from_the_server_can_be_read(tmp_path: Path, open_scopes: Callable[[Path], Scopes]) -> None:
    path = write_database(tmp_path / "sqlite3", seed_rows(), prefixed=True, wal=True)
    assert path.read_bytes()[18:20] == b"\x02\x02"  # opening it needs -wal and -shm beside it
    assert [p.name for p in tmp_path.iterdir()] == ["sqlite3"]
    assert open_scopes(path).tenant("testid") == TEST_TENANT


def test_reading_writes_nothing_into_the_file(path: Path, open_scopes: Callable[[Path], Scopes]) -> None:
    before = path.read_bytes()
    scopes = open_scopes(path)
    who(scopes, TEST_TENANT, "testapikey")
    scopes.close()
    assert path.read_bytes() == before


def test_what_a_dead_writer_left_in_its_log_is_read_and_left_there(
    tmp_path: Path, open_scopes: Callable[[Path], Scopes]
) -> None:
    original = write_database(tmp_path / "original.db", seed_rows(), wal=True)
    with closing(sqlite3.connect(original, isolation_level=None)) as writer:
        writer.execute(ADD_SCOPE, ("new", "tenantid", "acme", "prod"))
        for end in ("", "-wal"):
            shutil.copy(f"{original}{end}", tmp_path / f"left.db{end}")
    left = [tmp_path / "left.db", tmp_path / "left.db-wal"]
    before = [path.read_bytes() for path in left]
    scopes = open_scopes(left[0])
    assert scopes.tenant("new") is not None
    scopes.close()
    assert [path.read_bytes() for path in left] == before


@pytest.mark.parametrize("name", ["a b.db", "100%.db", "what?.db", "a#b.db", "ü&=.db"])
def test_a_path_may_have_any_characters(tmp_path: Path, open_scopes: Callable[[Path], Scopes], name: str) -> None:
    assert open_scopes(write_database(tmp_path / name, seed_rows())).tenant("testid") == TEST_TENANT


def test_rows_that_are_no_scopes_are_counted_in_the_log(
    tmp_path: Path, open_cached: Callable[..., CachedScopes]
) -> None:
    rows = seed_rows()
    rows.scopes += [(None, "t", "a", "b"), ("x", "t", "", "b"), ("y", "t", "x" * 200, "b")]
    with capture_logs() as lines:
        scopes = open_cached(write_database(tmp_path / "scopes.db", rows))
        scopes.switch(tmp_path / "scopes.db")
    assert [line["event"] for line in lines] == ["scopes.rows_skipped", "scopes.tenants_refused"]
    assert lines[0]["incomplete"] == 2


def test_values_that_are_not_utf8_do_no_harm(tmp_path: Path, open_scopes: Callable[[Path], Scopes]) -> None:
    path = write_database(tmp_path / "scopes.db", seed_rows())
    execute(path, "UPDATE developer SET username = CAST(x'ff41' AS TEXT)")
    execute(path, "INSERT INTO data_scope (id, org, env) VALUES ('bad', CAST(x'ff' AS TEXT), 'prod')")
    with capture_logs():
        scopes = open_scopes(path)
    assert scopes.tenant("bad") is None
    developer = who(scopes, TEST_TENANT, "testapikey")
    assert developer is not None
    assert developer.developer == "\ufffdA"


def test_closing_twice_is_fine(path: Path, open_scopes: Callable[[Path], Scopes]) -> None:
    scopes = open_scopes(path)
    scopes.close()
    scopes.close()
    with pytest.raises(LookupFailedError):
        who(scopes, TEST_TENANT, "testapikey")


def test_lookups_use_the_index_of_a_compiled_file_whatever_its_content(tmp_path: Path) -> None:
    target = tmp_path / "compiled.db"
    compile_database(target, write_database(tmp_path / "user.db", seed_rows()))
    with closing(UncachedScopes(target)) as scopes:
        database = scopes._database
        for statement, values in (
            (database._select_developer, ("t", "k")),
            (f"{database._select_scopes} WHERE id = ?", ("u",)),
            (f"{database._select_scopes} WHERE org = ? AND env = ?", ("o", "e")),
        ):
            plan = database._connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
            steps = [step[3].decode() for step in plan if b"ORDER BY" not in step[3]]
            assert all(step.startswith("SEARCH") for step in steps)
            assert "AUTOMATIC" not in "".join(steps)
        first = database._connection.execute(f"EXPLAIN QUERY PLAN {database._select_developer}", ("t", "k")).fetchone()
        assert first[3].decode().endswith("(tenant_id=? AND appcred_id=?)")
