"""Versions of the scope data appear whole, are private, and go when nobody reads them."""

import os
import stat
from pathlib import Path

import pytest

from apidanalytics import durable
from apidanalytics.scopes.versions import Versions


def writing(content: bytes):
    return lambda path: path.write_bytes(content)


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "scopes"


@pytest.fixture
def versions(directory: Path) -> Versions:
    return Versions(directory, "source")


def test_a_version_is_named_by_its_content(versions: Versions, directory: Path) -> None:
    first = versions.publish(writing(b"one"))
    second = versions.publish(writing(b"two"))
    assert versions.publish(writing(b"one")) == first != second
    assert versions.path(first).read_bytes() == b"one"
    assert names(directory) == {first, second, "current.json"}
    assert versions.current == first


def test_directories_are_private(versions: Versions, directory: Path) -> None:
    version = versions.publish(writing(b"one"))
    for path in (directory, directory / version):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "current.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("bad"), KeyboardInterrupt()])
def test_a_build_that_fails_changes_nothing(versions: Versions, directory: Path, error: BaseException) -> None:
    version = versions.publish(writing(b"one"))

    def build(path: Path) -> None:
        path.write_bytes(b"half")
        raise error

    with pytest.raises(type(error)):
        versions.publish(build)
    assert names(directory) == {version, "current.json"}
    assert versions.current == version


def test_content_is_synced_before_it_is_published_and_the_pointer_comes_last(
    versions: Versions, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[tuple[str, str]] = []

    def record(name: str):
        real = getattr(durable, name)

        def step(path: Path, *rest: object) -> None:
            steps.append((name, path.name))
            real(path, *rest)

        monkeypatch.setattr(durable, name, step)

    for name in ("sync_file", "rename", "write"):
        record(name)
    versions.publish(writing(b"one"))
    assert steps == [("sync_file", "scopes.db"), ("rename", "next.part"), ("write", "current.json")]


def test_what_a_dead_process_left_half_made_is_swept(directory: Path) -> None:
    version = Versions(directory, "source").publish(writing(b"one"))
    (directory / "next.part").mkdir()
    (directory / "next.part" / "scopes.db").write_bytes(b"half")
    (directory / "0123456789abcdef").mkdir()
    Versions(directory, "source")
    assert names(directory) == {version, "current.json"}


def test_what_is_not_ours_is_left_alone(directory: Path) -> None:
    directory.mkdir()
    for name in ("notes.txt", "229444:229444:", "0123456789abcdeF", "0123456789abcdef0"):
        (directory / name).mkdir()
    Versions(directory, "source").retain(())
    assert len(names(directory)) == 4


def test_an_earlier_version_of_the_same_source_is_taken_up(directory: Path) -> None:
    version = Versions(directory, "source").publish(writing(b"one"))
    assert Versions(directory, "source").current == version


def test_a_version_of_another_source_is_not(directory: Path) -> None:
    Versions(directory, "source").publish(writing(b"one"))
    assert Versions(directory, "another").current is None
    assert names(directory) == {"current.json"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"format": 2}',
        b'{"format": 3, "version": "VERSION", "source": "source"}',
        b'{"format": 2, "version": "../VERSION", "source": "source"}',
        b'{"format": 2, "version": "0123456789abcdef", "source": "source"}',
    ],
)
def test_a_pointer_that_makes_no_sense_points_nowhere(directory: Path, content: bytes) -> None:
    version = Versions(directory, "source").publish(writing(b"one"))
    (directory / "current.json").write_bytes(content.replace(b"VERSION", version.encode()))
    assert Versions(directory, "source").current is None


def test_a_version_whose_content_is_not_what_its_name_says_is_made_anew(directory: Path) -> None:
    versions = Versions(directory, "source")
    version = versions.publish(writing(b"one"))
    versions.path(version).write_bytes(b"torn")
    assert Versions(directory, "source").current is None
    versions = Versions(directory, "source")
    assert versions.publish(writing(b"one")) == version
    assert versions.path(version).read_bytes() == b"one"


def test_a_damaged_version_is_replaced_without_a_restart_too(versions: Versions) -> None:
    version = versions.publish(writing(b"one"))
    versions.path(version).write_bytes(b"torn")
    versions.publish(writing(b"one"))
    assert versions.path(version).read_bytes() == b"one"


def test_a_reader_keeps_what_it_opened_when_its_version_is_removed(versions: Versions) -> None:
    version = versions.publish(writing(b"one"))
    descriptor = os.open(versions.path(version), os.O_RDONLY)
    versions.publish(writing(b"two"))
    versions.retain(())
    assert not versions.path(version).exists()
    assert os.read(descriptor, 10) == b"one"
    os.close(descriptor)
