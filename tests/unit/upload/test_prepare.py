"""Opening what is next, and what happens to a file that is not what the ledger says."""

import hashlib
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from apidanalytics.layout import DataDirectory
from apidanalytics.model import StagedFile
from apidanalytics.upload.checksum import ChangedError
from apidanalytics.upload.content import PIECE_BYTES
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.outcome import Unreadable
from apidanalytics.upload.prepare import prepare, set_changed_aside
from apidanalytics.upload.shelves import Shelves
from apidanalytics.upload.states import State

DIRECTORY = "acme~prod~20260101000000"
CONTENT = b"12345"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def data(tmp_path):
    data = DataDirectory(tmp_path)
    data.create()
    (data.staging / DIRECTORY).mkdir()
    return data


@pytest.fixture
def ledger(data):
    with Ledger.open(data.ledger, data.damaged, 0.0) as ledger:
        ledger.stage(
            [
                StagedFile(
                    directory=DIRECTORY,
                    name="f1",
                    tenant="acme~prod",
                    start_at=0,
                    records=1,
                    bytes=10,
                    size_bytes=5,
                    sha256=SHA256,
                )
            ],
            1.0,
        )
        yield ledger


def prepare_one(ledger, shelves, number):
    (prepared,) = prepare(ledger, shelves, [number], 2.0)
    if isinstance(prepared, Exception):
        raise prepared
    return prepared


def test_several_are_opened_at_once_each_with_its_own_result(data, ledger):
    other = StagedFile(
        directory=DIRECTORY, name="f2", tenant="a~b", start_at=0, records=1, bytes=1, size_bytes=9, sha256=SHA256
    )
    ledger.stage([other], 1.0)
    for name in ("f1", "f2"):
        (data.staging / DIRECTORY / name).write_bytes(CONTENT)
    second, none, first = prepare(ledger, Shelves(data), [2, 99, 1], 2.0)
    assert isinstance(second.content, ChangedError)
    assert none is None
    assert first.content.whole == CONTENT


def test_the_error_of_one_is_nobody_elses(data, ledger):
    class Failing(Shelves):
        def path_of(self, key):
            if key[1] == "f2":
                raise ValueError("of f2")
            return super().path_of(key)

    ledger.stage([replace(ledger.file(1).file, name="f2")], 1.0)
    (data.staging / DIRECTORY / "f1").write_bytes(CONTENT)
    first, second = prepare(ledger, Failing(data), [1, 2], 2.0)
    assert first.content.whole == CONTENT
    assert repr(second) == "ValueError('of f2')"


def test_a_staged_file_is_opened(data, ledger):
    (data.staging / DIRECTORY / "f1").write_bytes(b"12345")
    prepared = prepare_one(ledger, Shelves(data), 1)
    assert (prepared.known.file.name, prepared.content.size_bytes) == ("f1", 5)
    prepared.content.close()


def test_a_file_that_is_not_staged_any_more_is_passed_over(data, ledger):
    ledger.uploaded({1: None}, 2.0)
    assert prepare_one(ledger, Shelves(data), 1) is None
    assert prepare_one(ledger, Shelves(data), 99) is None


def test_a_missing_file_is_set_aside_and_said_aloud_once(data, ledger):
    with capture_logs() as logs:
        assert prepare_one(ledger, Shelves(data), 1) is None
        assert prepare_one(ledger, Shelves(data), 1) is None
    assert ledger.file(1).state is State.SET_ASIDE
    assert [(entry["event"], entry["records"]) for entry in logs] == [("upload.file_missing", 1)]


def test_a_file_that_was_dropped_at_that_moment_is_no_news(data, ledger):
    class Dropping(Shelves):
        def where(self, key):
            ledger.dropped([1], "no room", 2.0)
            return super().where(key)

    with capture_logs() as logs:
        assert prepare_one(ledger, Dropping(data), 1) is None
    assert ledger.file(1).state is State.DROPPED
    assert logs == []


def test_a_file_that_stands_in_failed_is_known_to_stand_there(data, ledger):
    (data.failed / DIRECTORY).mkdir()
    (data.failed / DIRECTORY / "f1").write_bytes(b"12345")
    assert prepare_one(ledger, Shelves(data), 1) is None
    assert ledger.file(1).state is State.FAILED


@pytest.mark.parametrize("noted", [MD5, None], ids=["noted", "of-an-early-version"])
def test_the_md5_of_when_it_was_made_goes_along(data, ledger, noted):
    made = ledger.file(1).file
    ledger.stage([replace(made, name="f2", md5=noted)], 1.0)
    (data.staging / DIRECTORY / "f2").write_bytes(CONTENT)
    assert prepare_one(ledger, Shelves(data), 2).md5 == MD5


def set_aside(data, ledger):
    """Have the file of number 1 found to be another one, and set it aside."""
    prepared = prepare_one(ledger, Shelves(data), 1)
    assert isinstance(prepared.content, ChangedError)
    set_changed_aside(ledger, Shelves(data), prepared.known, str(prepared.content), 2.0)


def test_a_file_of_the_same_size_and_other_bytes_is_never_sent_but_kept_in_damaged(data, ledger):
    (data.staging / DIRECTORY / "f1").write_bytes(b"12344")
    set_aside(data, ledger)
    assert (data.damaged / "f1").read_bytes() == b"12344"
    assert "SHA-256" in ledger.file(1).reason


def test_a_large_file_is_not_read_before_it_is_sent(data, ledger):
    content = bytes(PIECE_BYTES + 1)
    made = replace(ledger.file(1).file, name="f2", size_bytes=len(content), sha256="of other bytes", md5=MD5)
    ledger.stage([made], 1.0)
    (data.staging / DIRECTORY / "f2").write_bytes(content)
    prepared = prepare_one(ledger, Shelves(data), 2)
    assert prepared.content.size_bytes == len(content)
    prepared.content.close()


def test_a_file_of_another_size_is_never_sent_but_kept_in_damaged(data, ledger):
    (data.staging / DIRECTORY / "f1").write_bytes(b"123")
    with capture_logs() as logs:
        set_aside(data, ledger)
    assert ledger.file(1).state is State.SET_ASIDE
    assert (data.damaged / "f1").read_bytes() == b"123"
    assert [entry["event"] for entry in logs] == ["upload.file_changed"]


def test_a_changed_file_that_was_dropped_meanwhile_is_not_looked_for(data, ledger):
    known = ledger.file(1)
    ledger.dropped([1], "no room", 2.0)
    with capture_logs() as logs:
        set_changed_aside(ledger, Shelves(data), known, "other bytes", 3.0)
    assert ledger.file(1).state is State.DROPPED
    assert logs == []
    assert list(data.damaged.iterdir()) == []


def test_a_file_that_cannot_be_opened_is_an_attempt(data, ledger):
    (data.staging / DIRECTORY / "f1").mkdir()
    prepared = prepare_one(ledger, Shelves(data), 1)
    assert isinstance(prepared.content, Unreadable)
