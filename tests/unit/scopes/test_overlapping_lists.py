"""Change lists that come while others are looked for: all answers are always as of one of them."""

import sqlite3
from array import array
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from apidanalytics.model import Tenant
from apidanalytics.scopes import dependents, live
from apidanalytics.scopes.lookup import CachedScopes
from apidanalytics.scopes.news import Kind, News
from tests.steps import at_once
from tests.unit.scopes.samples import FakeClock, seed_rows, who, write_database

TENANT = Tenant(org="testorg", env="testenv", tenant_id="tenantid")
FIRST, OTHER = "testapikey", "otherkey"


class File:
    """A live file with two keys of one product."""

    def __init__(self, path: Path) -> None:
        self.path = path
        rows = seed_rows()
        rows.mapper.append(("tenantid", OTHER, "otherapp", "testproductid"))
        rows.apps.append(("otherapp", "tenantid", "other", "testdeveloperid"))
        write_database(path, rows, prefixed=True, wal=True)
        self.writer = sqlite3.connect(path, isolation_level=None)
        self.writer.executescript(live.SCHEMA)
        live.write(self.writer, {"sequence": "0"})
        self.sequence = 0

    def rename(self) -> News:
        """Commit a change list that gives the product its sequence as a name."""
        after, self.sequence = str(self.sequence), self.sequence + 1
        self.writer.execute("BEGIN")
        self.writer.execute("UPDATE kms_api_product SET name = ? WHERE id = 'testproductid'", (str(self.sequence),))
        live.write(self.writer, {"sequence": str(self.sequence)})
        self.writer.execute("COMMIT")
        return News(after=after, sequence=str(self.sequence), parts=((Kind.PRODUCT, "tenantid", "testproductid"),))


@pytest.fixture
def file(tmp_path: Path) -> Iterator[File]:
    made = File(tmp_path / "scopes.db")
    with closing(made.writer):
        yield made


@pytest.fixture
def scopes(file: File, monkeypatch: pytest.MonkeyPatch) -> Iterator[CachedScopes]:
    """Scopes that remember so much that a search takes several steps."""
    monkeypatch.setattr(dependents, "_BUCKETS", 1)
    with closing(CachedScopes(file.path, max_keys=4000, refresh_interval=1800, clock=FakeClock())) as made:
        tails = made.tails(TENANT)
        for number in range(3000):
            made._developers._places.remember(tails, f"k{number}", (b"", array("q", [number] * 4).tobytes()))
        yield made


def product(scopes: CachedScopes, api_key: str) -> str:
    found = who(scopes, TENANT, api_key)
    return "" if found is None else found.api_product


def test_a_commit_during_the_search_counts_with_its_own_news(file: File, scopes: CachedScopes) -> None:
    """Of one key the product would be old, which is remembered, and of the other that of a later list."""
    assert product(scopes, FIRST) == "testproduct"
    news = file.rename()
    search = scopes.renewal([news])
    next(search)
    later = file.rename()
    assert product(scopes, FIRST) == product(scopes, OTHER) == "testproduct"
    at_once(search)
    assert product(scopes, FIRST) == product(scopes, OTHER) == scopes.sequence == "1"
    at_once(scopes.renewal([later]))
    assert product(scopes, FIRST) == product(scopes, OTHER) == scopes.sequence == "2"


def test_a_commit_without_news_waits_for_them(file: File, scopes: CachedScopes) -> None:
    assert product(scopes, FIRST) == "testproduct"
    first, second = file.rename(), file.rename()
    at_once(scopes.renewal([first]))
    assert product(scopes, FIRST) == product(scopes, OTHER) == "testproduct"
    at_once(scopes.renewal([second]))
    assert product(scopes, FIRST) == product(scopes, OTHER) == scopes.sequence == "2"


def test_news_that_never_come_are_not_waited_for(file: File, scopes: CachedScopes) -> None:
    first, _ = file.rename(), file.rename()
    at_once(scopes.renewal([first]))
    scopes.tick()
    assert scopes.tick()
    assert product(scopes, FIRST) == scopes.sequence == "2"


def test_news_of_what_was_read_anew_already_change_nothing(file: File, scopes: CachedScopes) -> None:
    news = [file.rename(), file.rename()]
    scopes.switch(file.path)
    latest = file.rename()
    developers = scopes._developers
    at_once(scopes.renewal(news))
    at_once(scopes.renewal([latest]))
    assert scopes._developers is developers
    assert product(scopes, FIRST) == scopes.sequence == "3"


def test_what_is_asked_during_the_search_is_answered_as_before(file: File, scopes: CachedScopes) -> None:
    assert product(scopes, FIRST) == "testproduct"
    news = file.rename()
    turns = 0
    for _ in scopes.renewal([news]):
        turns += 1
        assert product(scopes, FIRST) == product(scopes, OTHER) == "testproduct"
    assert turns > 1
    assert product(scopes, FIRST) == product(scopes, OTHER) == "1"
