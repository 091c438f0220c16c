"""A file of scope data that follows a feed: what it says of itself, beside the tables of ``tables``.

===============================  ===============================================================================
table                            rows
===============================  ===============================================================================
``apidanalytics_live``           ``name``, ``value``: format, the snapshot it was made from, the sequence it is at
``apidanalytics_added_keys``     ``hash`` of each API key that is not in ``keys.i64`` yet (``known_keys``)
``apidanalytics_changed``        ``hash`` of each API key and part (``news``) that changed, and after how many lists
===============================  ===============================================================================

A change list and its sequence are one transaction, and readers see either all of it or nothing.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Final

SCHEMA: Final = """
    CREATE TABLE apidanalytics_live (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE apidanalytics_added_keys (hash INTEGER PRIMARY KEY);
    CREATE TABLE apidanalytics_changed (hash INTEGER PRIMARY KEY, list INTEGER NOT NULL);
"""

SEQUENCE: Final = "sequence"
LISTS: Final = "lists"
"""How many change lists there are in it."""
CHANGED_AFTER: Final = "changed_after"
"""What changed after this many lists is in ``apidanalytics_changed``; earlier changes may not be any more."""


def is_live(connection: sqlite3.Connection) -> bool:
    """Return whether this file follows a feed."""
    found = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'apidanalytics_live'").fetchone()
    return found is not None


def read_all(connection: sqlite3.Connection) -> dict[str, str]:
    """Return everything the file says of itself."""
    return {_text(name): _text(value) for name, value in connection.execute("SELECT * FROM apidanalytics_live")}


def write(connection: sqlite3.Connection, values: Mapping[str, str]) -> None:
    """Say this of the file, within the caller's transaction."""
    connection.executemany("INSERT OR REPLACE INTO apidanalytics_live VALUES (?, ?)", values.items())


def read_sequence(connection: sqlite3.Connection) -> str:
    """Return the sequence of the last change list in it; empty before the first."""
    row = connection.execute("SELECT value FROM apidanalytics_live WHERE name = 'sequence'").fetchone()
    return _text(row[0]) if row else ""


def added_keys(connection: sqlite3.Connection) -> list[int]:
    """Return the hashes of the API keys that came since ``keys.i64`` was written."""
    return [row[0] for row in connection.execute("SELECT hash FROM apidanalytics_added_keys")]


def add_keys(connection: sqlite3.Connection, hashes: Iterable[int]) -> None:
    """Count these among the keys that came since, within the caller's transaction."""
    rows = ((value,) for value in hashes)
    connection.executemany("INSERT OR IGNORE INTO apidanalytics_added_keys VALUES (?)", rows)


def changed(connection: sqlite3.Connection) -> list[int]:
    """Return the hashes of what changed after ``CHANGED_AFTER`` lists, and perhaps of more."""
    return [row[0] for row in connection.execute("SELECT hash FROM apidanalytics_changed")]


def add_changed(connection: sqlite3.Connection, hashes: Iterable[int], list_: int) -> None:
    """Count these among what changed, with this list the latest time, within the caller's transaction."""
    rows = ((value, list_) for value in hashes)
    connection.executemany("INSERT OR REPLACE INTO apidanalytics_changed VALUES (?, ?)", rows)


def forget_changed(connection: sqlite3.Connection, lists: int) -> int:
    """Forget what changed last with one of the first so many lists, within the caller's transaction."""
    write(connection, {CHANGED_AFTER: str(lists)})
    return connection.execute("DELETE FROM apidanalytics_changed WHERE list <= ?", (lists,)).rowcount


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
