"""One suite for whatever publishes scope data."""

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Protocol

import pytest
import yaml
from structlog.testing import capture_logs

from apidanalytics.scopes.forms import DatabaseForm, YamlForm
from apidanalytics.scopes.lookup import UncachedScopes
from apidanalytics.scopes.source import Published, ScopeSource
from apidanalytics.scopes.watch import WatchedFile
from tests.unit.scopes.samples import TEST_DEVELOPER, TEST_TENANT, FakeClock, Rows, seed_rows, who, write_database


class Upstream(Protocol):
    """Whoever owns the scope data."""

    def say(self, rows: Rows) -> None:
        """Replace all of it."""

    def break_it(self) -> None:
        """Make it something that cannot be read."""

    def remove(self) -> None:
        """Take it away."""

    def source(self, directory: Path) -> ScopeSource:
        """Return a source that follows it."""


class File:
    """A file that is replaced as a whole, and left alone long enough to be read."""

    def __init__(self, path: Path, clock: FakeClock) -> None:
        self.path = path
        self.clock = clock

    def replace(self, write: Callable[[Path], object]) -> None:
        part = self.path.with_name("part")
        write(part)
        self.clock.advance(10.0)
        os.utime(part, (self.clock.now() - 1.0, self.clock.now() - 1.0))
        part.rename(self.path)

    def break_it(self) -> None:
        self.replace(lambda path: path.write_text("scopes: [\n" * 100))

    def remove(self) -> None:
        self.clock.advance(10.0)
        self.path.unlink()


class YamlFile(File):
    def say(self, rows: Rows) -> None:
        products = {row[:2]: row[2] for row in rows.products}
        apps = {row[:2]: row[2:] for row in rows.apps}
        developers = {row[:2]: row[2:] for row in rows.developers}
        scopes = [{"id": i, "tenant_id": t, "org": o, "env": e} for i, t, o, e in rows.scopes]
        keys = []
        for tenant, key, app_id, product_id in rows.mapper:
            app, developer_id = apps[app_id, tenant]
            name, email = developers[developer_id, tenant]
            keys.append({"key": key, "tenant_id": tenant, "product": products[product_id, tenant], "app": app})
            keys[-1] |= {"developer": name, "email": email}
        self.replace(lambda path: path.write_text(yaml.safe_dump({"scopes": scopes, "api_keys": keys})))

    def source(self, directory: Path) -> ScopeSource:
        return WatchedFile(YamlForm(path=self.path), directory, self.clock)


class DatabaseFile(File):
    def say(self, rows: Rows) -> None:
        self.replace(lambda path: write_database(path, rows, prefixed=True))

    def source(self, directory: Path) -> ScopeSource:
        return WatchedFile(DatabaseForm(path=self.path), directory, self.clock)


@pytest.fixture(params=[YamlFile, DatabaseFile])
def upstream(request: pytest.FixtureRequest, tmp_path: Path) -> Upstream:
    made: Upstream = request.param(tmp_path / "upstream", FakeClock())
    made.say(seed_rows())
    return made


@pytest.fixture
def source(upstream: Upstream, tmp_path: Path) -> ScopeSource:
    return upstream.source(tmp_path / "scopes")


def poll(source: ScopeSource) -> Published:
    published = source.poll()
    assert published is not None
    return published


def rows_without_scopes() -> Rows:
    rows = seed_rows()
    rows.scopes = []
    return rows


def rows_with_a_second_scope() -> Rows:
    rows = seed_rows()
    rows.scopes.append(("second", "tenantid", "acme", "prod"))
    return rows


def test_the_first_poll_publishes_what_is_there(source: ScopeSource) -> None:
    published = poll(source)
    assert (published.tenants, published.api_keys) == (1, 1)
    with closing(UncachedScopes(published.path)) as scopes:
        assert scopes.tenant("testid") == scopes.tenant_of("testorg", "testenv") == TEST_TENANT
        assert who(scopes, TEST_TENANT, "testapikey") == TEST_DEVELOPER


def test_a_poll_without_news_publishes_nothing(source: ScopeSource) -> None:
    poll(source)
    assert [source.poll() for _ in range(3)] == [None] * 3


def test_what_changes_is_a_new_version_in_a_file_of_its_own(upstream: Upstream, source: ScopeSource) -> None:
    first = poll(source)
    upstream.say(rows_with_a_second_scope())
    second = poll(source)
    assert (second.tenants, second.version != first.version, second.path != first.path) == (2, True, True)
    with closing(UncachedScopes(first.path)) as before, closing(UncachedScopes(second.path)) as after:
        assert before.tenant("second") is None
        assert after.tenant("second") is not None


def test_a_scope_removed_is_not_in_the_next_version(upstream: Upstream, source: ScopeSource) -> None:
    poll(source)
    upstream.say(rows_without_scopes())
    published = poll(source)
    assert published.tenants == 0
    with closing(UncachedScopes(published.path)) as scopes:
        assert scopes.tenant("testid") is None


def test_the_same_data_written_again_is_no_news(upstream: Upstream, source: ScopeSource) -> None:
    poll(source)
    upstream.say(seed_rows())
    assert source.poll() is None


@pytest.mark.parametrize("trouble", ["break_it", "remove"])
def test_trouble_leaves_the_last_good_version_and_is_said_once(
    upstream: Upstream, source: ScopeSource, trouble: str
) -> None:
    published = poll(source)
    getattr(upstream, trouble)()
    with capture_logs() as lines:
        assert [source.poll() for _ in range(3)] == [None] * 3
    assert [line["event"] for line in lines] == ["scopes.source_failed"]
    assert lines[0]["reason"]
    assert lines[0]["serving"] == published.version
    assert published.path.exists()


@pytest.mark.parametrize("trouble", ["break_it", "remove"])
def test_the_end_of_trouble_is_said_even_when_nothing_else_is_new(
    upstream: Upstream, source: ScopeSource, trouble: str
) -> None:
    poll(source)
    getattr(upstream, trouble)()
    with capture_logs() as lines:
        source.poll()
        upstream.say(seed_rows())
        assert source.poll() is None
    assert [line["event"] for line in lines] == ["scopes.source_failed", "scopes.source_mended"]


@pytest.mark.parametrize("trouble", ["break_it", "remove"])
def test_trouble_at_the_start_is_waited_out(upstream: Upstream, source: ScopeSource, trouble: str) -> None:
    getattr(upstream, trouble)()
    with capture_logs() as lines:
        assert source.poll() is None
        upstream.say(seed_rows())
        assert poll(source).tenants == 1
    assert [line["event"] for line in lines] == ["scopes.source_failed", "scopes.source_mended", "scopes.published"]
    assert lines[0]["serving"] is None


@pytest.mark.parametrize("trouble", ["break_it", "remove"])
def test_a_restart_in_the_middle_of_trouble_serves_the_last_good_version(
    upstream: Upstream, source: ScopeSource, tmp_path: Path, trouble: str
) -> None:
    poll(source)
    upstream.say(rows_with_a_second_scope())
    last = poll(source)
    getattr(upstream, trouble)()
    restarted = upstream.source(tmp_path / "scopes")
    assert restarted.poll() == last
    assert restarted.poll() is None


def test_a_restart_publishes_the_same_data_under_the_same_version(
    upstream: Upstream, source: ScopeSource, tmp_path: Path
) -> None:
    assert poll(upstream.source(tmp_path / "scopes")) == poll(source)


def test_versions_stay_until_nobody_reads_them(upstream: Upstream, source: ScopeSource) -> None:
    first = poll(source)
    upstream.say(rows_with_a_second_scope())
    second = poll(source)
    upstream.say(rows_without_scopes())
    third = poll(source)
    source.retain({first.version, third.version})
    assert [p.path.exists() for p in (first, second, third)] == [True, False, True]
    source.retain(())
    assert [p.path.exists() for p in (first, second, third)] == [False, False, True]


def test_a_version_that_comes_back_is_readable_though_it_was_let_go(upstream: Upstream, source: ScopeSource) -> None:
    first = poll(source)
    upstream.say(rows_with_a_second_scope())
    second = poll(source)
    upstream.say(seed_rows())
    again = poll(source)
    assert again == first
    source.retain({second.version})
    upstream.say(rows_with_a_second_scope())
    poll(source)
    source.retain(())
    upstream.say(seed_rows())
    with closing(UncachedScopes(poll(source).path)) as scopes:
        assert scopes.tenant("testid") == TEST_TENANT
