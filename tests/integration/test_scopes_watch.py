"""A watched file counts soon after it changed, and is left alone otherwise."""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from apidanalytics.clock import SystemClock
from apidanalytics.model import Tenant
from apidanalytics.scopes import forms
from apidanalytics.scopes.forms import EXAMPLE, DatabaseForm, YamlForm
from apidanalytics.scopes.lookup import CachedScopes, UncachedScopes
from apidanalytics.scopes.tenants import Flaws
from apidanalytics.scopes.watch import MOST_SECONDS_WAITED, WatchedFile
from tests.unit.scopes.samples import FakeClock, Rows, execute, seed_rows, write_database

SCOPE = "scopes: [{id: %s, org: acme, env: prod, tenant_id: t}]\n"
ADD_SCOPE = "INSERT INTO data_scope (id, scope, org, env) VALUES (?, ?, ?, ?)"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scopes.yaml"


@pytest.fixture
def watched(path: Path, tmp_path: Path, clock: FakeClock) -> WatchedFile:
    return WatchedFile(YamlForm(path=path), tmp_path / "scopes", clock)


def write(path: Path, text: str, at: float) -> None:
    path.write_text(text)
    os.utime(path, (at, at))


def test_a_file_that_was_just_changed_is_read_a_moment_later(
    path: Path, watched: WatchedFile, clock: FakeClock
) -> None:
    write(path, SCOPE % "a", at=clock.now() - 5.0)
    assert watched.poll() is not None
    write(path, "scopes: []", at=clock.now())
    assert watched.poll() is None
    write(path, SCOPE % "b", at=clock.now())
    clock.advance(1.0)
    published = watched.poll()
    assert published is not None
    with closing(UncachedScopes(published.path)) as scopes:
        assert scopes.tenant("b") is not None


def test_at_the_start_a_fresh_file_is_read_at_once_and_once_more(
    path: Path, watched: WatchedFile, clock: FakeClock
) -> None:
    write(path, SCOPE % "a", at=clock.now())
    assert watched.poll() is not None
    write(path, SCOPE % "b", at=clock.now())  # of the same size, in the same tick of the file system
    clock.advance(1.0)
    assert watched.poll() is not None
    clock.advance(1.0)
    assert watched.poll() is None


def test_a_file_that_never_comes_to_rest_is_read_all_the_same(
    path: Path, watched: WatchedFile, clock: FakeClock
) -> None:
    write(path, SCOPE % "a", at=clock.now() - 5.0)
    watched.poll()
    waited = 0.0
    for number in range(20):
        write(path, SCOPE % f"b{number}", at=clock.now())
        if watched.poll() is not None:
            break
        clock.advance(0.5)
        waited += 0.5
    assert waited == MOST_SECONDS_WAITED


class SlowForm:
    """Takes two seconds to read, and says something new each time."""

    def __init__(self, path: Path, clock: FakeClock) -> None:
        self.path = path
        self.clock = clock
        self.reads = 0

    def beside(self) -> Sequence[Path]:
        return ()

    def compile(self, target: Path) -> Flaws:
        self.clock.advance(2.0)
        self.reads += 1
        write_database(target, Rows(scopes=[(str(self.reads), "t", "acme", "prod")]))
        return Flaws()


def test_reading_takes_a_tenth_of_the_time_at_most(path: Path, tmp_path: Path, clock: FakeClock) -> None:
    form = SlowForm(path, clock)
    watched = WatchedFile(form, tmp_path / "scopes", clock)
    begun = clock.now()
    while clock.now() < begun + 100.0:
        write(path, "x", at=clock.now() - 1.0)
        watched.poll()
        clock.advance(1.0)
    assert form.reads == 5


def test_a_broken_file_is_not_read_again_until_it_changes(
    path: Path, watched: WatchedFile, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[bytes] = []
    real = forms.parse
    monkeypatch.setattr(forms, "parse", lambda content: (parsed.append(content), real(content))[1])
    write(path, "scopes: [", at=clock.now() - 5.0)
    with capture_logs():
        for _ in range(10):
            watched.poll()
            clock.advance(1.0)
    assert len(parsed) == 1


def test_the_log_says_what_is_wrong_and_where(path: Path, watched: WatchedFile, clock: FakeClock) -> None:
    write(path, SCOPE % "a" + "\nscope: x\n", at=clock.now() - 5.0)
    with capture_logs() as lines:
        watched.poll()
    (line,) = lines
    assert line["event"] == "scopes.source_failed"
    assert line["source"] == str(path)
    assert line["reason"] == "line 3: the file has no field 'scope' (did you mean scopes?)"
    assert line["hint"]


def test_another_mistake_in_a_broken_file_is_said(path: Path, watched: WatchedFile, clock: FakeClock) -> None:
    with capture_logs() as lines:
        for text in ("scopes: [", "scopes: {}", "scopes: {}\n"):
            write(path, text, at=clock.now() - 5.0)
            watched.poll()
            clock.advance(10.0)
    assert [line["event"] for line in lines] == ["scopes.source_failed"] * 2


def test_a_file_that_is_too_large_is_refused(
    path: Path, watched: WatchedFile, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "MAX_YAML_BYTES", 100)
    write(path, SCOPE % ("a" * 100), at=clock.now() - 5.0)
    with capture_logs() as lines:
        assert watched.poll() is None
    assert "over 100 bytes" in lines[0]["reason"]


def test_what_is_published_is_said(path: Path, watched: WatchedFile, clock: FakeClock) -> None:
    orphan = "api_keys: [{key: k, tenant_id: typo, product: p, app: a}]\n"
    write(path, SCOPE % "a" + orphan, at=clock.now() - 5.0)
    with capture_logs() as lines:
        published = watched.poll()
    assert published is not None
    assert lines == [
        {
            "event": "scopes.published",
            "log_level": "info",
            "source": str(path),
            "version": published.version,
            "tenants": 1,
            "api_keys": 1,
            "keys_without_scope": 1,
        }
    ]


def test_a_tenant_that_is_refused_is_said_once_and_the_others_are_served(
    path: Path, watched: WatchedFile, clock: FakeClock
) -> None:
    long = f"  - {{id: long, org: {'x' * 200}, env: prod, tenant_id: t}}\n"
    with capture_logs() as lines:
        for other in ("a", "b"):
            write(
                path, f"scopes:\n{long}  - {{id: {other}, org: acme, env: prod, tenant_id: t}}\n", at=clock.now() - 5.0
            )
            published = watched.poll()
            assert published is not None
            assert published.tenants == 1
            clock.advance(10.0)
    events = [line["event"] for line in lines]
    assert events == ["scopes.tenants_refused", "scopes.published", "scopes.published"]


def test_a_restart_with_another_source_forgets_what_the_former_said(
    path: Path, watched: WatchedFile, tmp_path: Path, clock: FakeClock
) -> None:
    write(path, SCOPE % "a", at=clock.now() - 5.0)
    watched.poll()
    with capture_logs() as lines:
        assert WatchedFile(YamlForm(path=tmp_path / "missing.yaml"), tmp_path / "scopes", clock).poll() is None
    assert lines[0]["serving"] is None


def test_a_full_disk_leaves_the_last_version_and_is_tried_again(
    path: Path, watched: WatchedFile, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(path, SCOPE % "a", at=clock.now() - 5.0)
    first = watched.poll()
    assert first is not None
    clock.advance(10.0)
    write(path, SCOPE % "b", at=clock.now() - 5.0)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with capture_logs() as lines:
        with monkeypatch.context() as patched:
            patched.setattr(forms, "compile_entries", full)
            assert watched.poll() is None
            assert watched.poll() is None
        assert watched.poll() is not None
    assert [line["event"] for line in lines] == [
        "scopes.source_failed",
        "scopes.source_mended",
        "scopes.published",
    ]
    assert first.path.exists()


@pytest.mark.parametrize("wal", [False, True])
def test_a_commit_of_somebody_else_in_a_database_counts(tmp_path: Path, wal: bool) -> None:
    path = write_database(tmp_path / "user.db", seed_rows(), wal=wal)
    watched = WatchedFile(DatabaseForm(path=path), tmp_path / "scopes", SystemClock())
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        assert watched.poll() is not None
        for number in range(3):
            writer.execute(ADD_SCOPE, (f"new {number}", "t", f"org{number}", "prod"))
            published = _wait_for_version(watched)
            assert published.tenants == number + 2


@pytest.mark.parametrize("wal", [False, True])
def test_reading_a_database_is_no_change_of_it(tmp_path: Path, wal: bool) -> None:
    path = write_database(tmp_path / "user.db", seed_rows(), wal=wal)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    form = CountingForm(path)
    watched = WatchedFile(form, tmp_path / "scopes", FakeClock())
    for _ in range(5):
        watched.poll()
    assert form.reads == 1


def test_a_missing_file_is_not_looked_for_but_by_a_glance(tmp_path: Path) -> None:
    form = CountingForm(tmp_path / "user.db")
    watched = WatchedFile(form, tmp_path / "scopes", FakeClock())
    with capture_logs():
        for _ in range(5):
            watched.poll()
    assert form.reads == 1


class CountingForm:
    """A database that knows how often it was read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reads = 0

    def beside(self) -> Sequence[Path]:
        return DatabaseForm(path=self.path).beside()

    def compile(self, target: Path) -> Flaws:
        self.reads += 1
        return DatabaseForm(path=self.path).compile(target)


def test_a_locked_database_is_read_as_soon_as_it_is_free(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apidanalytics.scopes.compile.BUSY_SECONDS", 0.01)
    path = write_database(tmp_path / "user.db", seed_rows())
    watched = WatchedFile(DatabaseForm(path=path), tmp_path / "scopes", clock)
    with capture_logs() as lines, closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        assert watched.poll() is None
        writer.execute("ROLLBACK")
        assert watched.poll() is not None
    assert "locked" in lines[0]["reason"]


def test_missing_tables_are_named_in_the_log(tmp_path: Path, clock: FakeClock) -> None:
    path = write_database(tmp_path / "user.db", seed_rows())
    execute(path, "DROP TABLE api_product")
    with capture_logs() as lines:
        assert WatchedFile(DatabaseForm(path=path), tmp_path / "scopes", clock).poll() is None
    assert lines[0]["reason"] == "table api_product (or kms_api_product) is missing"


def test_a_scope_added_to_the_file_counts_in_a_worker_within_a_second_or_two(tmp_path: Path, path: Path) -> None:
    path.write_bytes(EXAMPLE.read_bytes())
    watched = WatchedFile(YamlForm(path=path), tmp_path / "scopes", SystemClock())
    first = watched.poll()
    assert first is not None
    with closing(CachedScopes(first.path, max_keys=10, refresh_interval=1800.0, clock=SystemClock())) as scopes:
        assert scopes.tenant("added") is None
        line = "  - {id: added, org: umbrella, env: prod, tenant_id: u}\n"
        path.write_text(path.read_text().replace("api_keys:\n", f"{line}api_keys:\n"))
        scopes.switch(_wait_for_version(watched).path)
        watched.retain(())
        assert scopes.tenant("added") == Tenant(org="umbrella", env="prod", tenant_id="u")
        assert scopes.tenant("testid") is not None


def _wait_for_version(watched: WatchedFile):
    """Poll as the agent does, only faster; the time limit of the test ends the wait."""
    while (published := watched.poll()) is None:
        pass
    return published
