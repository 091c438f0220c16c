"""Commands as their user gives them: in this process, which saves starting one for each, or in one of their own."""

import json
import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import pytest

from apidanalytics.cli.main import main
from tests.harness import ServiceProcess

_ON_THE_TERMINAL = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.SIG_DFL)  # whoever started the tests may have it ignored
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@dataclass(frozen=True)
class Said:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Shell:
    """Runs commands with the environment that is given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def uses(self, variables: dict[str, str]) -> None:
        """Give these settings to the commands, and none else."""
        for name, value in variables.items():
            if name.startswith(("APID_", "APIDANALYTICS_")):
                self._monkeypatch.setenv(name, value)

    def __call__(self, *arguments: str) -> Said:
        self._capsys.readouterr()
        try:
            code = main(arguments)
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, err = self._capsys.readouterr()
        return Said(int(code), out, err)


@contextmanager
def at_work(service: ServiceProcess, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command that goes on until it is told to end, and end it however the test does."""
    command = [sys.executable, "-m", "apidanalytics", *arguments]
    with subprocess.Popen(command, env=service.variables(), stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


class Terminal:
    """A command on a terminal of its own; ``with`` ends it however it is."""

    def __init__(self, variables: Mapping[str, str], *arguments: str, columns: int) -> None:
        # Not by a fork of this process: it has threads, and what they hold is held in the child for ever.
        self._terminal, theirs = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _ON_THE_TERMINAL, "-m", "apidanalytics", *arguments],
            env={**variables, "TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": "30"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.seen = b""
        """All that it has drawn."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)

    def read(self) -> bytes:
        """Return all that it has drawn up to now."""
        while select.select([self._terminal], [], [], 0.05)[0]:
            try:
                self.seen += os.read(self._terminal, 65536)
            except OSError:  # it has closed its side
                break
        return self.seen

    def write(self, keys: bytes) -> None:
        os.write(self._terminal, keys)

    def has_ended(self) -> bool:
        """Tell whether it has, having read what it drew before."""
        has_ended = self._process.poll() is not None
        self.read()
        return has_ended

    @property
    def code(self) -> int | None:
        return self._process.returncode
