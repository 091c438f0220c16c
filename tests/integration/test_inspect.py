"""``inspect`` shows what is inside, masked, and says what is wrong with it."""

import gzip
import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from apidanalytics.audit.contents import inspect
from apidanalytics.cli.main import main
from tests.integration.audit_world import START_AT, World, flip

GO_FILE = "ab_20231114221400.20231114221600_6f1c8f2e-b8d6-4d12_writer_0.txt.gz"


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.close()


def test_a_spool_is_shown_by_bucket_with_its_header(world):
    (found,) = inspect(world.spool(records=4), samples=1)
    assert found.buckets == {
        "acme~prod~20231114221400": (4, found.bytes - found.buckets["zeta~test~20231114221400"][1]),
        "zeta~test~20231114221400": (4, found.buckets["zeta~test~20231114221400"][1]),
    }
    assert found.about["instance_id"] == "collector-1"
    assert found.about["created_at"] == START_AT
    assert found.samples == [{"tenant": "acme~prod", "n": 0}]
    assert not found.problems


def test_the_second_piece_of_one_name_in_damaged_is_a_spool_too(world):
    path = world.spool()
    numbered = path.rename(path.with_name(f"{path.name}.2"))
    (found,) = inspect(numbered.parent)
    assert (found.path, found.kind, found.problems) == (str(numbered), "spool", [])


def test_a_damaged_spool_says_where(world):
    path = world.spool()
    flip(path, path.stat().st_size - 3)
    (found,) = inspect(path)
    (problem,) = found.problems
    assert problem.startswith("byte ")
    assert problem.endswith("checksum does not match")


def test_a_file_of_the_go_original_is_read_as_far_as_it_goes(tmp_path):
    directory = tmp_path / "acme~prod~20231114221400"
    directory.mkdir()
    path = directory / GO_FILE
    path.write_bytes(gzip.compress(b'{"access_token":"x"}\n' * 100)[:-9])
    (found,) = inspect(tmp_path, samples=1)
    assert found.buckets.keys() == {"acme~prod~20231114221400"}
    assert found.samples == [{"access_token": "***"}]
    assert "cut short" in found.problems[0]


def test_a_directory_is_shown_file_by_file(world, capsys):
    world.fill()
    assert main(["inspect", str(world.root)]) == 0
    text = capsys.readouterr().out
    assert "8 files, 40 records" in text
    assert "acme~prod~20231114221400" in text


def test_what_is_damaged_ends_with_1_and_what_is_no_file_of_ours_too(world, capsys):
    world.pack(world.spool())
    path = world.staged()[0]
    flip(path, 30)
    other = world.root / "notes.txt"
    other.write_text("hello")
    capsys.readouterr()
    for spoiled in (path, other):
        assert main(["inspect", "--json", str(spoiled)]) == 1
        assert json.loads(capsys.readouterr().out)["problems"]


def test_what_moves_on_while_a_directory_is_looked_at_is_passed_over(tmp_path, monkeypatch):
    for number in range(3):
        directory = tmp_path / f"acme~prod~2023111422140{number}"
        directory.mkdir()
        (directory / GO_FILE).write_bytes(gzip.compress(b'{"n":1}\n'))
    is_file = Path.is_file

    def is_file_still(path):
        was = is_file(path)
        if path.parent.name.endswith("1"):
            shutil.rmtree(path.parent)
        return was

    monkeypatch.setattr(Path, "is_file", is_file_still)
    assert [found.records for found in inspect(tmp_path)] == [1, 1]


def test_a_directory_that_may_not_be_read_is_not_called_empty(tmp_path, monkeypatch, capsys):
    (tmp_path / "ax/sealed").mkdir(parents=True)
    scan = os.scandir

    def refuse(path):
        if Path(path).name == "sealed":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert main(["inspect", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert said.err == f"Cannot read {tmp_path}/ax/sealed: Permission denied\n"
    assert said.out == ""


def test_a_directory_whose_buckets_come_and_go_can_be_looked_at(tmp_path):
    is_over = threading.Event()

    def come_and_go():
        while not is_over.is_set():
            for number in range(50):
                directory = tmp_path / f"acme~prod~202311142214{number:02}"
                directory.mkdir()
                directory.rmdir()

    service = threading.Thread(target=come_and_go)
    service.start()
    try:
        for _ in range(500):
            assert list(inspect(tmp_path)) == []
    finally:
        is_over.set()
        service.join()
