"""Commands as their user gives them, in this process, which saves starting one for each."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from apidanalytics.cli.main import main


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
