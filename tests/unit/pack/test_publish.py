"""Into staging/: synced before it is seen, never replacing other content, and told to the ledger last."""

import gzip
import os
import stat
from pathlib import Path

import pytest

from apidanalytics.model import StagedFile
from apidanalytics.pack import publish
from apidanalytics.pack.compress import describe, write_gzip
from apidanalytics.pack.publish import Publisher
from tests.unit.pack.fakes import ACME, START_AT, lines

DIRECTORY = "acme~prod~20231114221400"


@pytest.fixture
def registered():
    return []


@pytest.fixture
def publisher(data, aside, registered):
    return Publisher(data, aside, registered.extend)


def make(publisher, name, content, directory=DIRECTORY):
    written = write_gzip(publisher.part(name), [content])
    return StagedFile(
        directory=directory,
        name=name,
        tenant=ACME,
        start_at=START_AT,
        records=content.count(b"\n"),
        bytes=len(content),
        size_bytes=written.size_bytes,
        sha256=written.sha256,
    )


def unzipped(path):
    return gzip.decompress(path.read_bytes())


def test_a_published_file_stands_in_its_private_directory_and_the_ledger_knows(data, publisher, registered):
    file = make(publisher, "a", lines(1, 2))
    assert publisher.publish([file]) == [file] == registered
    assert unzipped(data.staging / DIRECTORY / "a") == lines(1, 2)
    assert (data.staging / DIRECTORY).stat().st_mode & 0o777 == 0o700
    assert list(data.tmp.iterdir()) == []


def test_a_file_that_was_published_before_is_left_as_it_is_and_described_as_it_is(data, publisher, registered):
    target = data.staging / DIRECTORY / "a"
    target.parent.mkdir()
    target.write_bytes(gzip.compress(lines(1, 2), 9, mtime=5))
    before = target.read_bytes()
    (published,) = publisher.publish([make(publisher, "a", lines(1, 2))])
    assert target.read_bytes() == before
    found = describe(target)
    assert (published.size_bytes, published.sha256, published.md5) == (len(before), found.sha256, found.md5)
    assert published.xxh3 == found.xxh3
    assert registered == [published]


def test_a_file_of_other_content_is_never_replaced_and_ours_is_set_aside(data, ledger, publisher, registered):
    target = data.staging / DIRECTORY / "a"
    target.parent.mkdir()
    target.write_bytes(gzip.compress(lines(9)))
    other = make(publisher, "b", lines(3))
    assert publisher.publish([make(publisher, "a", lines(1, 2)), other]) == [other] == registered
    assert unzipped(target) == lines(9)
    assert unzipped(data.damaged / "a") == lines(1, 2)
    ((name, reason),) = ledger.aside
    assert (name, ledger.aside[name, reason]) == ("a", (ACME, 2, len(lines(1, 2))))


def test_a_file_that_was_damaged_since_it_was_published_is_set_aside_for_one_that_is_good(
    data, ledger, publisher, registered
):
    target = data.staging / DIRECTORY / "a"
    target.parent.mkdir()
    target.write_bytes(damaged := gzip.compress(lines(1, 2))[:-1] + b"!")
    file = make(publisher, "a", lines(1, 2))
    assert publisher.publish([file]) == [file] == registered
    assert unzipped(target) == lines(1, 2)
    assert (data.damaged / "a").read_bytes() == damaged
    assert list(ledger.aside.values()) == [(ACME, 0, 0)], "all of it is delivered"
    assert list(data.tmp.iterdir()) == []


def test_a_directory_that_the_uploader_removes_meanwhile_is_made_again(data, publisher, monkeypatch):
    link = os.link
    vanishings = iter([True, True, False])

    def vanishing(source, target):
        if next(vanishings):
            target.parent.rmdir()
        link(source, target)

    monkeypatch.setattr(publish.os, "link", vanishing)
    publisher.publish([make(publisher, "a", lines(1))])
    assert unzipped(data.staging / DIRECTORY / "a") == lines(1)


def test_a_directory_that_is_removed_while_it_is_looked_at_is_made_again(data, publisher, monkeypatch):
    mkdir, times = Path.mkdir, iter([True, False])

    def vanishing(path, *arguments, **options):
        if path.name == DIRECTORY and next(times, False):
            raise FileExistsError(path)  # as mkdir does when it is there, and then not there as a directory
        mkdir(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", vanishing)
    publisher.publish([make(publisher, "a", lines(1))])
    assert unzipped(data.staging / DIRECTORY / "a") == lines(1)


@pytest.mark.parametrize("count", [1, 40])
def test_content_is_synced_before_it_has_a_name_and_names_before_the_ledger_is_told(data, aside, monkeypatch, count):
    events = []
    fsync, link = os.fsync, os.link

    def noting_fsync(descriptor):
        fsync(descriptor)
        kind = "directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        events.append((kind, Path(f"/proc/self/fd/{descriptor}").readlink().name))

    def noting_link(source, target):
        events.append(("link", target.name))
        link(source, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(os, "link", noting_link)
    publisher = Publisher(data, aside, lambda files: events.append(("ledger", len(files))))
    names = [f"f{n}" for n in range(count)]
    publisher.publish([make(publisher, name, lines(1), directory=f"acme~prod~{name}") for name in names])

    kinds = [kind for kind, _ in events]
    assert kinds == ["file"] * count + ["link"] * count + ["directory"] * (count + 1) + ["ledger"]
    assert {name for kind, name in events if kind == "file"} == {f"{name}.part" for name in names}
    assert {name for kind, name in events if kind == "directory"} == {"staging", *(f"acme~prod~{n}" for n in names)}


def test_a_failing_sync_is_told_and_nothing_is_published(data, publisher, registered, monkeypatch):
    files = [make(publisher, f"f{n}", lines(n)) for n in range(20)]
    calls = []

    def failing(descriptor):
        calls.append(descriptor)
        if len(calls) == 7:
            raise OSError(5, "I/O error")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="I/O error"):
        publisher.publish(files)
    assert registered == []
    assert list(data.staging.iterdir()) == []


def test_nothing_to_publish_tells_the_ledger_nothing(publisher, registered):
    assert publisher.publish([]) == registered == []


def test_half_made_files_are_discarded_as_far_as_there_are_any(data, publisher):
    make(publisher, "a", lines(1))
    publisher.discard(["a", "never made"])
    assert list(data.tmp.iterdir()) == []
