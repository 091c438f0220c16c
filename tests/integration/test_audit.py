"""The audit finds every kind of difference, says it in a sentence, and finds none where there is none."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys

import pytest
from isal import isal_zlib

from apidanalytics.audit import spools
from apidanalytics.audit.difference import Kind
from apidanalytics.layout import DataDirectory
from apidanalytics.spool.frame import CRC, HEAD, HEAD_BYTES, format_end, format_header
from tests.harness import ROOT
from tests.integration.audit_world import TENANTS, World, flip, header, rewrite


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    made.fill()
    yield made
    made.close()


def command(world, *arguments):
    variables = {key: value for key, value in os.environ.items() if not key.startswith("APID")}
    variables |= {"PYTHONPATH": str(ROOT / "src"), "APID_LOCAL_STORAGE_PATH": str(world.root)}
    return subprocess.run(
        [sys.executable, "-m", "apidanalytics", *arguments],
        env={**variables, "APID_APIGEESYNC_APID_INSTANCE_ID": "collector-1"},
        cwd=world.root,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("arguments", [("audit", "--json"), ("status",)])
def test_a_directory_of_spools_that_cannot_be_listed_is_an_error_and_does_not_count_as_empty(world, arguments):
    world.data.sealed.rename(world.root / "elsewhere")
    world.data.sealed.touch()
    result = command(world, *arguments)
    assert (result.returncode, result.stdout) == (1, "")
    assert f"{world.data.sealed}: Not a directory." in result.stderr


def test_a_spool_that_cannot_be_opened_is_an_error_for_the_audit_too(tmp_path):
    with pytest.raises(IsADirectoryError):
        spools.skim(tmp_path)
    assert spools.skim(tmp_path / "packed.spool").amounts == {}


def execute(world, statement):
    with sqlite3.connect(world.data.ledger) as database:
        assert database.execute(statement).rowcount > 0
    database.close()


@pytest.mark.parametrize("deep", [False, True])
def test_where_all_is_well_the_equation_holds_and_there_is_no_difference(world, deep):
    report = world.audit(deep=deep)
    assert report.differences == ()
    assert report.checked.spools == 2
    assert (report.checked.files, report.checked.objects) == (4, 2)
    for tenant in TENANTS:
        counts = {word: count.records for word, count in report.books[tenant].items() if count.records}
        assert counts == {"accepted": 20, "uploaded": 2, "failed": 3, "staged": 4, "spooled": 11}


def lose_a_staged_file(world):
    world.staged()[0].unlink()


def lose_a_failed_file(world):
    next(world.data.failed.glob("*/*")).unlink()


def cut_a_staged_file(world):
    path = world.staged()[0]
    path.write_bytes(path.read_bytes()[:-1])


def forget_a_staged_row(world):
    execute(world, "DELETE FROM files WHERE state = 'staged' AND tenant = 'acme~prod'")


def invent_a_total(world):
    execute(world, "UPDATE totals SET records = records + 1 WHERE state = 'uploaded' AND tenant = 'acme~prod'")


def lose_an_object(world):
    world.objects()[0].unlink()


def cut_an_object(world):
    path = world.objects()[0]
    path.write_bytes(path.read_bytes()[:-1])


def double_an_object(world):
    path = world.objects()[0]
    shutil.copy(path, path.with_name(path.name.replace("_writer_", "_writer_1")))


def give_an_object_to_another_tenant(world):
    path = world.objects()[0]
    shutil.copy(path, world.objects()[-1].with_name(path.name))


def forget_an_uploaded_row(world):
    # The younger of the two, so that the ledger should remember it.
    execute(world, "UPDATE files SET settled_at = settled_at - 1000 WHERE tenant = 'zeta~test'")
    execute(world, "DELETE FROM files WHERE state = 'uploaded' AND tenant = 'acme~prod'")


def double_a_file_in_the_other_place(world):
    path = world.staged()[0]
    target = world.data.failed / path.parent.name
    target.mkdir(exist_ok=True)
    shutil.copy(path, target)


def double_a_file_under_another_name(world):
    path = world.staged()[0]
    shutil.copy(path, path.with_name(path.name.replace("_writer_", "_writer_1")))


def lose_a_spool_half_packed(world):
    execute(world, "UPDATE spools SET packed_at = NULL")


def tear_the_ledger(world):
    world.ledger.close()
    content = world.data.ledger.read_bytes()
    world.data.ledger.write_bytes(b"\xa5" * len(content))


def break_the_chain_of_a_sealed_spool(world):
    path = next(world.data.sealed.glob("*.spool"))
    flip(path, path.read_bytes().find(b"APSF", 1))


def cut_all_groups_off_a_sealed_spool(world):
    path = next(world.data.sealed.glob("*.spool"))
    os.truncate(path, path.read_bytes().find(b"APSF", 1))


def write_a_spool_of_a_newer_version(world):
    path = next(world.data.sealed.glob("*.spool"))
    path.write_bytes(newer_header() + path.read_bytes())


def newer_header():
    frame = format_header(header(1))
    body = frame[HEAD_BYTES:].replace(b'"format_version":2', b'"format_version":9')
    head = frame[: HEAD.size]
    return head + CRC.pack(isal_zlib.crc32(body, isal_zlib.crc32(head))) + body


@pytest.mark.parametrize(
    ("spoil", "kind", "says"),
    [
        (break_the_chain_of_a_sealed_spool, Kind.SPOOL_DAMAGED, "checksum does not match"),
        (cut_all_groups_off_a_sealed_spool, Kind.SPOOL_DAMAGED, "the mark of that is missing, though it was sealed"),
        (write_a_spool_of_a_newer_version, Kind.SPOOL_DAMAGED, "cannot be read: format 9"),
        (lose_a_staged_file, Kind.GONE, "is gone: 4 records"),
        (lose_a_failed_file, Kind.GONE, "is gone: 3 records"),
        (cut_a_staged_file, Kind.CHANGED, "bytes, and had"),
        (forget_a_staged_row, Kind.UNKNOWN, "is not in the ledger"),
        (forget_a_staged_row, Kind.TOTALS, "total of staged is 4 records in 1 files, and its rows add up to 0 in 0"),
        (invent_a_total, Kind.BOOKS, "20 records .* were accepted, but 21 .* are accounted for"),
        (lose_an_object, Kind.GONE, "is not in the store"),
        (cut_an_object, Kind.CHANGED, "has .* bytes instead of"),
        (double_an_object, Kind.UNKNOWN, "may be in the store twice"),
        (give_an_object_to_another_tenant, Kind.UNKNOWN, "^The object zeta~test/"),
        (forget_an_uploaded_row, Kind.UNKNOWN, "^The object acme~prod/"),
        (double_a_file_in_the_other_place, Kind.DOUBLED, "in staging/ and in failed/"),
        (double_a_file_under_another_name, Kind.UNKNOWN, "nobody counted it"),
        (lose_a_spool_half_packed, Kind.SPOOL_GONE, "and it is gone"),
        (tear_the_ledger, Kind.LEDGER, "cannot be read"),
    ],
)
def test_every_kind_of_difference_is_found_by_looking(world, spoil, kind, says):
    spoil(world)
    report = world.audit(is_running=True)  # looked at several times, and still so
    assert [d for d in report.differences if d.kind is kind and re.search(says, d.sentence)], report.differences


def flip_a_bit_of_a_staged_file(world):
    flip(world.staged()[0], 30)


def flip_the_time_in_a_gzip_header(world):
    flip(world.staged()[0], 5)


def add_a_line_within_the_same_size(world):
    path = world.staged()[0]
    size = path.stat().st_size
    rewrite(path, lambda content: content + b"{}\n")
    execute(world, f"UPDATE files SET size_bytes = {path.stat().st_size} WHERE size_bytes = {size}")


def flip_a_bit_of_a_sealed_spool(world):
    path = next(world.data.sealed.glob("*.spool"))
    flip(path, path.stat().st_size - len(format_end(0)) - 20)


def flip_a_bit_of_an_object(world):
    flip(world.objects()[0], 30)


@pytest.mark.parametrize(
    ("spoil", "kind", "says"),
    [
        (flip_a_bit_of_a_staged_file, Kind.CHANGED, "is damaged"),
        (flip_the_time_in_a_gzip_header, Kind.CHANGED, "another SHA-256"),
        (add_a_line_within_the_same_size, Kind.CHANGED, "has 5 lines of"),
        (flip_a_bit_of_a_sealed_spool, Kind.SPOOL_DAMAGED, "checksum does not match"),
        (flip_a_bit_of_an_object, Kind.CHANGED, "^The object .* is damaged"),
    ],
)
def test_what_only_reading_to_the_end_can_find_is_found_with_deep(world, spoil, kind, says):
    spoil(world)
    report = world.audit(deep=True, is_running=True)
    assert [d for d in report.differences if d.kind is kind and re.search(says, d.sentence)], report.differences
    assert not [d for d in world.audit().differences if d.kind is kind]


def test_what_a_crash_leaves_between_two_steps_is_no_difference(world):
    # A move to failed/ that the ledger has not heard of, and a delivered file that was not deleted yet.
    path = world.staged()[0]
    target = world.data.failed / path.parent.name
    target.mkdir(exist_ok=True)
    path.rename(target / path.name)
    delivered = world.objects()[0]
    again = world.data.staging / "acme~prod~20231114221400" / delivered.name
    again.parent.mkdir(exist_ok=True)
    shutil.copy(delivered, again)
    assert world.audit(deep=True).differences == ()


def test_a_spool_half_packed_counts_once(world, monkeypatch):
    path = next(world.data.sealed.glob("*.spool"))
    stage, staged = world.ledger.stage, []

    def stage_one(files, at):
        stage(files[:1], at)
        staged.extend(files)
        raise OSError

    monkeypatch.setattr(world.ledger, "stage", stage_one)
    with pytest.raises(OSError):
        world.pack(path)
    assert len(staged) == 2
    report = world.audit()
    assert report.differences == ()
    counts = {tenant: report.books[tenant] for tenant in TENANTS}
    assert [(c["accepted"].records, c["spooled"].records, c["staged"].records) for c in counts.values()] == [
        (20, 6, 9),
        (20, 11, 4),
    ]


def test_what_is_on_its_way_at_the_first_look_is_no_difference(world):
    path = world.staged()[0]
    away = world.root / path.name
    path.rename(away)
    report = world.audit(is_running=True, sleep=lambda _: away.exists() and away.rename(path))
    assert report.differences == ()


def test_set_aside_and_dropped_are_in_the_equation(world):
    first, second = world.ledger.files("staged")
    world.ledger.lost(first.id, "gone", 0.0)
    world.ledger.dropped([second.id], "full", 0.0)
    for path in world.staged():
        path.unlink()
    world.ledger.set_aside("x", 0, 99, "torn", 0.0, "acme~prod")  # bytes that were never accepted
    report = world.audit()
    assert report.differences == ()
    states = {word for book in report.books.values() for word, count in book.items() if count.records}
    assert {"set_aside", "dropped"} <= states


def test_the_command_says_what_is_wrong_and_ends_with_1(world):
    assert command(world, "audit", "--deep").returncode == 0
    path = world.staged()[0]
    path.unlink()
    result = command(world, "audit")
    assert result.returncode == 1
    assert f"! staging/{path.parent.name}/{path.name} is gone: 4 records" in result.stdout
    machine = command(world, "audit", "--json", "--since", "1d")
    assert machine.returncode == 1
    document = json.loads(machine.stdout)
    assert document["differences"][0]["kind"] == "gone"
    assert not document["holds"]
    assert document["totals"]["accepted"]["records"] == 40


def test_the_commands_say_what_is_missing_with_their_exit_codes(world, tmp_path):
    assert command(world, "audit", "--since", "soon").returncode == 2
    assert command(world, "audit", "--lake", "nowhere").returncode == 2
    assert command(world, "inspect", "nowhere").returncode == 1
    empty = type("Empty", (), {"root": tmp_path / "empty", "data": DataDirectory(tmp_path / "empty/ax")})
    empty.root.mkdir()
    for name in ("audit", "tail"):
        result = command(empty, name)
        assert result.returncode == 4
        assert "There is no data directory" in result.stderr
