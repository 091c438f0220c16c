"""Every error code and exit code stands in docs/errors.md."""

from pathlib import Path

import pytest

from apidanalytics.cli.exit_code import ExitCode
from apidanalytics.errors import ErrorCode

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"


@pytest.mark.parametrize("code", ErrorCode)
def test_every_error_code_is_explained(code):
    assert f"| {code} |" in PAGE.read_text()


@pytest.mark.parametrize("code", ExitCode)
def test_every_exit_code_is_explained(code):
    assert f"| {code.value} |" in PAGE.read_text().partition("# Exit codes")[2]
