"""The hashes of all API keys say "unknown" for certain, and "may exist" of every key there is."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apidanalytics.scopes.known_keys import FILE_NAME, KnownKeys, hash_key, hash_text, rewrite_keys, write_keys

KEYS = st.lists(st.tuples(st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=8)), max_size=40)


def clean(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


@given(keys=KEYS, others=KEYS)
def test_every_key_of_the_table_may_exist_and_no_other_one(tmp_path_factory, keys, others) -> None:
    keys = [key for key in keys if clean("".join(key))]
    database = tmp_path_factory.mktemp("keys") / "scopes.db"
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE mapper (tenant_id TEXT, appcred_id TEXT)")
        connection.executemany("INSERT INTO mapper VALUES (?, ?)", keys)
        write_keys(connection, "mapper", database)
    known = KnownKeys.beside(database)
    assert all(known.may_hold(*key) for key in keys)
    assert not any(known.may_hold(*key) for key in others if key not in keys)
    assert list(known) == sorted({hash_text(*key) for key in keys})


def test_text_and_bytes_have_the_same_hash_and_two_tenants_two() -> None:
    assert hash_text("t", "ü") == hash_key(b"t", "ü".encode())
    assert hash_text("t", "k") != hash_text("u", "k")
    assert hash_text("ta", "k") != hash_text("t", "ak")
    assert hash_text("t", "\ud800") != hash_text("t", "?")


def test_a_key_that_came_later_may_exist(tmp_path: Path) -> None:
    rewrite_keys(tmp_path / "scopes.db", [])
    known = KnownKeys.beside(tmp_path / "scopes.db", [hash_text("t", "earlier")])
    assert not known.may_hold("t", "new")
    known.add("t", "new")
    assert known.may_hold("t", "new")
    assert known.may_hold("t", "earlier")


@pytest.mark.parametrize("content", [None, b"1234567"])
def test_without_a_whole_file_every_key_may_exist(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / FILE_NAME).write_bytes(content)
    assert KnownKeys.beside(tmp_path / "scopes.db").may_hold("t", "k")


def test_a_file_can_be_replaced_while_somebody_reads_it(tmp_path: Path) -> None:
    database = tmp_path / "scopes.db"
    rewrite_keys(database, sorted([hash_text("t", "a")]))
    known = KnownKeys.beside(database)
    rewrite_keys(database, sorted([hash_text("t", "b")]))
    assert known.may_hold("t", "a")
    assert KnownKeys.beside(database).may_hold("t", "b")
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
