"""What the tests of the commands share."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.commands import Shell
from tests.harness import ServiceProcess


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="apa-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def shell(monkeypatch, capsys) -> Shell:
    return Shell(monkeypatch, capsys)


@pytest.fixture
def codes_of(tmp_path):
    """Return a function that runs commands, and tells the exit code of each by its line."""

    def run(shell: Shell, lines: dict[str, int], service: ServiceProcess | None = None) -> dict[str, int]:
        data = service.directory / "ax" if service else tmp_path
        words = {line: line.format(data=data, new=tmp_path / "new").split() for line in lines}
        return {line: _code(shell, service, words[line]) for line in lines}

    return run


def _code(shell: Shell, service: ServiceProcess | None, words: list[str]) -> int:
    # What takes over signals, or completes its options only on a command line, has a process of its own.
    own = words[0] in {"run", "demo"} and service is not None
    return service.command(*words).returncode if own else shell(*words).code
