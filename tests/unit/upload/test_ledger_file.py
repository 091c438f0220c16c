"""The ledger's file: formats, damage, and the room of its log."""

import sqlite3
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from apidanalytics.errors import NewerFormatError
from apidanalytics.upload import schema
from apidanalytics.upload.states import State
from tests.unit.upload.ledger_files import counts, opened, staged


@pytest.fixture
def path(tmp_path):
    (tmp_path / "damaged").mkdir()
    return tmp_path / "ledger.db"


def damage(path, begin, length=None):
    """Write over a stretch of the database, or all from ``begin`` on, with no log beside it that could heal it."""
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    content = bytearray(path.read_bytes())
    length = length or len(content) - begin
    content[begin : begin + length] = b"\xa5" * length
    path.write_bytes(content)
    return content


def test_a_newer_format_is_left_alone(path):
    opened(path).close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 3")
    database.close()
    before = path.read_bytes()
    with pytest.raises(NewerFormatError, match="format 3"):
        opened(path)
    assert path.read_bytes() == before


def test_a_ledger_that_began_without_a_column_gets_it_and_an_older_version_can_do_without(path):
    opened(path).close()
    with sqlite3.connect(path) as database:
        database.execute("ALTER TABLE files DROP COLUMN xxh3")
        database.execute("ALTER TABLE files DROP COLUMN doubt")
        version = database.execute("PRAGMA user_version").fetchone()
        add_as_before(database)
    database.close()
    with opened(path) as ledger:
        assert not ledger.is_new
        ledger.stage([replace(staged("new"), xxh3="11")], 1.0)
        ledger.doubted(staged("new"), "other bytes")
        assert {known.file.name: known.doubt for known in ledger.files(State.STAGED)} == {
            "old": None,
            "new": "other bytes",
        }
        assert {known.file.name: known.file.xxh3 for known in ledger.files(State.STAGED)} == {"old": None, "new": "11"}
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA user_version").fetchone() == version
        database.execute("DELETE FROM files WHERE name = 'old'")
        add_as_before(database)
    database.close()


def add_as_before(database):
    database.execute(
        "INSERT INTO files"
        " (directory, name, tenant, start_at, records, bytes, size_bytes, sha256, md5, state, staged_at)"
        " VALUES ('d', 'old', 'acme~prod', 0, 3, 30, 3, '00', '00', 'staged', 1.0)"
    )


def test_a_ledger_of_the_first_format_is_brought_to_this_one_with_all_it_knows(path):
    opened(path).close()
    with sqlite3.connect(path) as database:
        database.execute("ALTER TABLE files DROP COLUMN md5")
        database.execute("ALTER TABLE files DROP COLUMN xxh3")
        database.execute("PRAGMA user_version = 1")
        database.execute(
            "INSERT INTO files"
            " (directory, name, tenant, start_at, records, bytes, size_bytes, sha256, state, staged_at)"
            " VALUES ('d', 'old', 'acme~prod', 0, 3, 30, 3, '00', 'staged', 1.0)"
        )
        database.execute("INSERT INTO totals VALUES ('acme~prod', 'staged', 3, 30, 1)")
    database.close()
    with opened(path) as ledger:
        assert not ledger.is_new
        ledger.stage([replace(staged("new"), md5="11")], 1.0)
        assert {known.file.name: known.file.md5 for known in ledger.files(State.STAGED)} == {"old": None, "new": "11"}
        assert counts(ledger) == {"staged": 6}
    with opened(path) as ledger:
        assert len(ledger.files(State.STAGED)) == 2


@pytest.mark.parametrize("begin", [0, 4096, 12288])
def test_a_damaged_ledger_is_moved_away_loudly_and_a_new_one_begins(path, begin):
    with opened(path) as ledger:
        ledger.stage([staged(f"f{n}") for n in range(500)], 1.0)
    content = damage(path, begin)
    with capture_logs() as logs, opened(path) as ledger:
        assert ledger.totals() == {}
        ledger.stage([staged()], 1.0)
    (moved,) = path.parent.glob("damaged/ledger.db.*[0-9]")
    assert moved.read_bytes() == content
    assert moved.with_name(moved.name + ".reason.json").exists()
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("upload.ledger_damaged", "error")]


def test_damage_found_while_running_has_the_ledger_checked_at_the_next_start(path, monkeypatch):
    monkeypatch.setattr(schema, "_CHECKED_BYTES", 0)  # as if it were too large to be checked every time
    opened(path).close()
    with sqlite3.connect(path) as database:
        page = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'files_uploaded'").fetchone()[0]
    database.close()
    damage(path, (page - 1) * 4096, 4096)
    with opened(path) as ledger, pytest.raises(sqlite3.DatabaseError, match="malformed"):
        ledger.forget(1e12)
    with opened(path) as ledger:
        assert ledger.is_new
    assert len(list(path.parent.glob("damaged/*.reason.json"))) == 1
    assert not list(path.parent.glob("*.suspect"))


def test_the_log_keeps_its_room_from_one_start_to_the_next(path):
    for _ in range(3):
        with opened(path) as ledger:
            for number in range(300):
                ledger.set_aside("x", 0, 0, f"{number}", 1.0)
        assert path.with_name("ledger.db-wal").stat().st_size < 2 * (1 << 20)
        assert path.with_name("ledger.db-wal").stat().st_size >= 1 << 20


def test_a_file_that_is_no_ledger_is_moved_away(path):
    path.write_bytes(b"this is not a database, whatever its name says" * 100)
    with opened(path) as ledger:
        assert ledger.is_new
    assert len(list(path.parent.glob("damaged/*"))) == 2


def test_another_programs_database_is_moved_away(path):
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE files (x)")
        database.execute("PRAGMA user_version = 1")
    database.close()
    with opened(path) as ledger:
        ledger.stage([staged()], 1.0)
        assert counts(ledger) == {"staged": 3}


def test_trouble_of_the_disk_is_no_reason_to_begin_anew(path):
    path.mkdir()
    with pytest.raises(sqlite3.OperationalError):
        opened(path)
    assert list(path.parent.glob("damaged/*")) == []
