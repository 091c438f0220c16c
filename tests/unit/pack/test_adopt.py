"""Files in staging/ and failed/ that the ledger does not know."""

import errno
import gzip
import hashlib
import os

import pytest
import xxhash
from structlog.testing import capture_logs

from apidanalytics.layout import FILES_PER_SPOOL, SpoolName
from apidanalytics.pack import salvage
from apidanalytics.pack.adopt import Adoption
from tests.unit.pack.fakes import NUMBER, FakeSpool, lines
from tests.unit.pack.gofiles import DIRECTORY, NAME, RECOVERED_DIRECTORY, bucket, gzipped, record

WHOLE, _ = gzipped([[record(1), record(2)], [record(3)]])


@pytest.fixture
def adoption(data, ledger, clock, strangers):
    return Adoption(data, ledger, ledger.adopt, clock=clock, strangers=strangers)


def test_a_whole_file_in_staging_is_counted_and_stays_as_it_is(data, adoption, ledger):
    path = bucket(data.staging, **{NAME: WHOLE}) / NAME
    staged = adoption.run()
    (file,) = ledger.files.values()
    assert (file.directory, file.name, file.tenant) == (DIRECTORY, NAME, "acme~test")
    assert (file.records, file.bytes) == (3, len(gzip.decompress(WHOLE)))
    assert (file.size_bytes, file.sha256) == (len(WHOLE), hashlib.sha256(WHOLE).hexdigest())
    assert file.xxh3 == xxhash.xxh3_128_hexdigest(WHOLE)
    assert path.read_bytes() == WHOLE
    assert (staged.files, staged.records) == (1, 3)


def test_a_file_in_failed_gets_another_chance_in_staging(data, adoption, ledger):
    bucket(data.failed, **{NAME: WHOLE})
    adoption.run()
    assert (data.staging / DIRECTORY / NAME).read_bytes() == WHOLE
    assert list(ledger.files) == [(DIRECTORY, NAME)]
    assert list(data.failed.iterdir()) == []


def test_a_file_that_cannot_be_read_keeps_no_other_waiting(data, adoption, ledger, monkeypatch):
    other = NAME.replace("writer_0", "writer_1")
    bucket(data.staging, **{NAME: WHOLE, other: WHOLE})
    real = salvage._chunks

    def chunks(path):
        if path.name == NAME:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path)

    monkeypatch.setattr(salvage, "_chunks", chunks)
    with capture_logs() as logs:
        assert adoption.run().files == 1
    assert list(ledger.files) == [(DIRECTORY, other)]
    assert [(entry["event"], entry["path"]) for entry in logs if entry["log_level"] == "error"] == [
        ("adopt.failed", str(data.staging / DIRECTORY / NAME))
    ]
    assert (data.staging / DIRECTORY / NAME).exists()


def test_a_known_file_is_not_even_read(data, adoption, ledger):
    bucket(data.failed, **{NAME: b"would be torn"})
    ledger.files[DIRECTORY, NAME] = "known"
    assert adoption.run().files == 0
    assert (data.failed / DIRECTORY / NAME).read_bytes() == b"would be torn"


@pytest.mark.parametrize("place", ["staging", "failed"])
@pytest.mark.parametrize("harm", [lambda c: c[:-9], lambda c: c[:40] + b"\xff" + c[41:]], ids=["cut", "damaged"])
def test_one_of_ours_that_is_not_whole_is_set_aside_because_it_was_when_it_was_published(
    data, adoption, ledger, place, harm
):
    name = NAME.replace("writer_0", f"writer_{NUMBER * FILES_PER_SPOOL}")
    bucket(getattr(data, place), **{name: harm(WHOLE)})
    assert adoption.run().files == 0
    assert (data.damaged / name).read_bytes() == harm(WHOLE)
    assert list(ledger.aside.values()) == [("acme~test", 0, len(harm(WHOLE)))]
    assert not list(data.staging.glob("*/*")) + list(data.failed.glob("*/*")) + list(data.recovered.iterdir())


@pytest.mark.parametrize("place", ["staging", "failed"])
def test_of_a_torn_file_the_complete_lines_are_delivered_as_recovered(data, adoption, ledger, place):
    content, flushed = gzipped([[record(1)], [record(2)]])
    bucket(getattr(data, place), **{NAME: content[: flushed[1] - 2]})
    adoption.run()
    (path,) = data.staging.glob("*/*")
    assert gzip.decompress(path.read_bytes()).startswith(record(1) + b"\n")
    assert path.parent.name == f"{DIRECTORY}~recoveredTS~20231114221820.123"
    assert path.name.endswith("_recovered_20231114221820.123.txt.gz")
    assert list(ledger.files) == [(path.parent.name, path.name)]
    assert list(getattr(data, place).glob(f"{DIRECTORY}/*")) == list(data.recovered.iterdir()) == []


def test_a_torn_file_in_a_recovered_bucket_comes_back_under_the_same_bucket(data, adoption):
    content, _ = gzipped([[record(1)]], closed=False)
    bucket(data.staging, RECOVERED_DIRECTORY, **{NAME: content})
    adoption.run()
    (path,) = data.staging.glob("*/*")
    assert path.parent.name == RECOVERED_DIRECTORY


def test_a_file_without_records_is_removed(data, adoption, ledger):
    bucket(data.staging, **{NAME: gzip.compress(b"")})
    adoption.run()
    assert ledger.files == {}
    assert list(data.staging.iterdir()) == []


def test_files_of_a_spool_that_waits_are_left_to_packing(data, adoption, bench, ledger):
    bench.pack(FakeSpool().add("acme~prod", lines(1)))
    ledger.files.clear()
    (data.sealed / str(SpoolName(number=NUMBER))).touch()
    assert adoption.run().files == 0
    assert ledger.files == {}


def test_our_own_files_are_counted_when_the_ledger_is_lost_and_their_spool_is_gone(data, adoption, bench, ledger):
    bench.pack(FakeSpool().add("acme~prod", lines(1, 2)))
    known = dict(ledger.files)
    ledger.files.clear()
    adoption.run()
    assert ledger.files == known


def test_names_that_do_not_parse_are_reported_and_left_alone(data, adoption, ledger):
    bucket(data.staging, "no tenant", **{NAME: WHOLE})
    bucket(data.staging, **{"notes.txt": b"?"})
    (data.failed / "file").touch()
    with capture_logs() as logs:
        adoption.run()
        adoption.run()
    reported = [entry["path"] for entry in logs if entry["event"] == "pack.unknown_name"]
    assert sorted(reported) == sorted(
        map(str, [data.staging / "no tenant", data.staging / DIRECTORY / "notes.txt", data.failed / "file"])
    )
    assert (data.staging / "no tenant" / NAME).read_bytes() == WHOLE
    assert ledger.files == {}


def test_a_link_out_of_the_directory_is_not_followed(data, adoption, ledger, tmp_path):
    (tmp_path / "outside").mkdir()
    (data.staging / DIRECTORY).symlink_to(tmp_path / "outside")
    inside = bucket(data.failed)
    (inside / NAME).symlink_to(tmp_path / "elsewhere")
    adoption.run()
    assert ledger.files == {}
    assert (inside / NAME).is_symlink()


def test_a_file_in_failed_whose_place_in_staging_is_taken_is_reported_and_left_alone(
    data, adoption, ledger, monkeypatch
):
    bucket(data.failed, **{NAME: WHOLE})
    bucket(data.staging, **{NAME: gzip.compress(record(9) + b"\n")})
    monkeypatch.setattr(ledger, "known", lambda _directory, _names: set())
    with capture_logs() as logs:
        adoption.run()
    assert [entry["path"] for entry in logs if entry["event"] == "pack.unknown_name"] == [
        str(data.failed / DIRECTORY / NAME)
    ]
    assert gzip.decompress((data.staging / DIRECTORY / NAME).read_bytes()) == record(9) + b"\n"


def test_nothing_to_adopt_says_nothing(adoption):
    with capture_logs() as logs:
        assert adoption.run().files == 0
    assert logs == []
