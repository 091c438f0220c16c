"""Half-written buckets of the Go original: complete lines are delivered, once, and only then the file goes."""

import gzip
import json

import pytest
from structlog.testing import capture_logs

from apidanalytics.layout import BucketName, FileName
from apidanalytics.pack.adopt import Adoption
from apidanalytics.pack.leftovers import find_begun_copies, recovered_name
from tests.unit.pack.gofiles import (
    DIRECTORY,
    NAME,
    RECOVERED_AT,
    RECOVERED_DIRECTORY,
    RECOVERED_NAME,
    bucket,
    gzipped,
    record,
)

NOW = "20231114221820.123"
LINES = record(1) + b"\n" + record(2, 70_000) + b"\n"


@pytest.fixture
def adoption(data, ledger, clock, strangers):
    return Adoption(data, ledger, ledger.adopt, clock=clock, strangers=strangers)


def torn():
    content, _ = gzipped([[record(1)], [record(2, 70_000)]], closed=False)
    return content


def staged(data):
    return {str(p.relative_to(data.staging)): gzip.decompress(p.read_bytes()) for p in data.staging.glob("*/*")}


def test_a_bucket_in_tmp_is_delivered_as_recovered_now(data, adoption, ledger):
    bucket(data.tmp, **{NAME: torn()})
    adoption.run()
    directory = f"{DIRECTORY}~recoveredTS~{NOW}"
    name = NAME.replace(".txt.gz", f"_recovered_{NOW}.txt.gz")
    assert staged(data) == {f"{directory}/{name}": LINES}
    (file,) = ledger.files.values()
    assert (file.directory, file.name, file.tenant, file.records) == (directory, name, "acme~test", 2)
    assert file.start_at == BucketName.parse(DIRECTORY).start_at
    assert FileName.parse(name).recovered == NOW
    assert list(data.tmp.iterdir()) == list(data.recovered.iterdir()) == list(data.damaged.iterdir()) == []


def test_a_bucket_in_recovered_keeps_the_time_that_the_go_original_gave_it(data, adoption):
    bucket(data.recovered, RECOVERED_DIRECTORY, **{NAME: torn()})
    adoption.run()
    assert staged(data) == {f"{RECOVERED_DIRECTORY}/{RECOVERED_NAME}": LINES}


def test_a_bucket_in_recovered_without_a_time_gets_one_that_stays(data, adoption):
    bucket(data.recovered, **{NAME: torn()})
    adoption.run()
    assert list(staged(data)) == [f"{DIRECTORY}~recoveredTS~{NOW}/{recovered_name(NAME, NOW)}"]


def test_a_file_that_was_recovered_already_gets_no_second_mark(data, adoption):
    bucket(data.recovered, RECOVERED_DIRECTORY, **{RECOVERED_NAME: torn()})
    adoption.run()
    assert staged(data) == {f"{RECOVERED_DIRECTORY}/{RECOVERED_NAME}": LINES}


def test_of_a_file_and_its_begun_copy_the_file_is_delivered_once_and_the_copy_is_kept_aside(data, adoption, ledger):
    copy, _ = gzipped([[record(1)]], closed=False)
    bucket(data.recovered, RECOVERED_DIRECTORY, **{NAME: torn(), RECOVERED_NAME: copy})
    adoption.run()
    assert staged(data) == {f"{RECOVERED_DIRECTORY}/{RECOVERED_NAME}": LINES}
    assert (data.damaged / RECOVERED_NAME).read_bytes() == copy
    assert list(ledger.aside.values()) == [("acme~test", 0, 0)]
    assert list(data.recovered.iterdir()) == []


def test_of_a_damaged_file_a_copy_is_kept(data, adoption, ledger):
    content, flushed = gzipped([[record(1)], [record(2)]])
    damaged = content[: flushed[0]] + b"\xff" * 50
    bucket(data.recovered, RECOVERED_DIRECTORY, **{NAME: damaged})
    adoption.run()
    assert staged(data) == {f"{RECOVERED_DIRECTORY}/{RECOVERED_NAME}": record(1) + b"\n"}
    assert (data.damaged / NAME).read_bytes() == damaged
    assert json.loads((data.damaged / f"{NAME}.reason.json").read_text())["reason"]
    assert list(ledger.aside.values()) == [("acme~test", 0, len(damaged))]


def test_lines_that_are_no_records_are_left_out_counted_and_kept(data, adoption, ledger):
    content = gzip.compress(record(1) + b"\n" + record(2)[:-3] + b"\n")
    bucket(data.recovered, RECOVERED_DIRECTORY, **{NAME: content})
    adoption.run()
    assert list(staged(data).values()) == [record(1) + b"\n"]
    assert list(ledger.aside) == [(NAME, "1 lines are no records (acme~test)")]
    assert (data.damaged / NAME).read_bytes() == content


def test_what_cannot_be_read_at_all_goes_to_damaged(data, adoption):
    bucket(data.recovered, RECOVERED_DIRECTORY, **{NAME: b"no gzip at all"})
    adoption.run()
    assert staged(data) == {}
    assert (data.damaged / NAME).read_bytes() == b"no gzip at all"
    assert list(data.recovered.iterdir()) == list(data.tmp.iterdir()) == []


def test_a_torn_file_without_a_complete_line_is_reported_with_its_length_and_gone(data, adoption):
    content, _ = gzipped([[record(1)]], closed=False)
    bucket(data.recovered, RECOVERED_DIRECTORY, **{NAME: content[:30]})
    with capture_logs() as logs:
        adoption.run()
    (entry,) = [entry for entry in logs if entry["event"] == "recover.file"]
    assert (entry["records"], entry["file"]) == (0, NAME)
    assert staged(data) == {}
    assert list(data.recovered.iterdir()) == list(data.damaged.iterdir()) == []


def test_names_that_do_not_parse_are_reported_and_keep_their_directory(data, adoption):
    bucket(data.recovered, RECOVERED_DIRECTORY, **{NAME: torn(), "notes.txt": b"?"})
    (data.recovered / "lost+found").mkdir()
    with capture_logs() as logs:
        adoption.run()
    reported = {entry["path"] for entry in logs if entry["event"] == "pack.unknown_name"}
    assert reported == {str(data.recovered / RECOVERED_DIRECTORY / "notes.txt"), str(data.recovered / "lost+found")}
    assert (data.recovered / RECOVERED_DIRECTORY / "notes.txt").read_bytes() == b"?"
    assert len(staged(data)) == 1


def test_a_crash_after_the_ledger_was_told_only_leaves_the_original_to_remove(data, adoption, ledger):
    bucket(data.recovered, RECOVERED_DIRECTORY, **{NAME: torn()})
    adoption.run()
    for path in data.staging.glob("*/*"):
        path.unlink()  # uploaded since
    bucket(data.recovered, RECOVERED_DIRECTORY, **{NAME: torn()})
    adoption.run()
    assert staged(data) == {}
    assert list(data.recovered.iterdir()) == []
    assert len(ledger.files) == 1


def test_a_crash_before_the_ledger_was_told_ends_in_the_same_file(data, adoption, ledger):
    bucket(data.recovered, RECOVERED_DIRECTORY, **{NAME: torn()})
    adoption.run()
    before, known = staged(data), dict(ledger.files)
    ledger.files.clear()
    bucket(data.recovered, RECOVERED_DIRECTORY, **{NAME: torn()})
    adoption.run()
    assert (staged(data), ledger.files) == (before, known)


@pytest.mark.parametrize("error", [OSError(5, "I/O error"), RuntimeError("database is locked")])
def test_a_directory_that_the_disk_or_the_ledger_refuses_keeps_no_other_waiting(data, adoption, monkeypatch, error):
    other = RECOVERED_DIRECTORY.replace("acme", "beta")
    bucket(data.recovered, RECOVERED_DIRECTORY, **{NAME: torn()})
    bucket(data.recovered, other, **{NAME: torn()})
    deliver = adoption._leftovers.deliver

    def failing(found):
        if found.path.name == RECOVERED_DIRECTORY:
            raise error
        return deliver(found)

    monkeypatch.setattr(adoption._leftovers, "deliver", failing)
    with capture_logs() as logs:
        adoption.run()
    assert list(staged(data)) == [f"{other}/{RECOVERED_NAME}"]
    assert (data.recovered / RECOVERED_DIRECTORY / NAME).exists()
    assert [entry["path"] for entry in logs if entry["event"] == "adopt.failed"] == [
        str(data.recovered / RECOVERED_DIRECTORY)
    ]


def test_a_mark_is_added_once():
    assert recovered_name(NAME, RECOVERED_AT) == RECOVERED_NAME
    assert recovered_name(RECOVERED_NAME, "20300101000000.000") == RECOVERED_NAME


def test_only_a_copy_beside_its_original_is_a_begun_copy():
    assert find_begun_copies({NAME, RECOVERED_NAME}, RECOVERED_AT) == {RECOVERED_NAME}
    assert find_begun_copies({RECOVERED_NAME}, RECOVERED_AT) == set()
    assert find_begun_copies({NAME, RECOVERED_NAME}, "20300101000000.000") == set()
