"""Every error code and exit code stands in docs/errors.md."""

from pathlib import Path

import pytest

from apidanalytics.cli.exit_code import ExitCode
from apidanalytics.errors import ErrorCode
from apidanalytics.ingest.busy import Busy

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"


@pytest.mark.parametrize("code", ErrorCode)
def test_every_error_code_is_explained(code):
    assert f"| {code} |" in PAGE.read_text()


@pytest.mark.parametrize("busy", [busy for busy in Busy if busy.code is ErrorCode.STORAGE_UNAVAILABLE])
def test_what_is_wrong_with_the_storage_is_explained_as_it_is_said(busy):
    (row,) = [line for line in PAGE.read_text().splitlines() if line.startswith("| 503 | STORAGE_UNAVAILABLE |")]
    assert f"`{busy.reason.partition(';')[0]}`" in row


@pytest.mark.parametrize("code", ExitCode)
def test_every_exit_code_is_explained(code):
    assert f"| {code.value} |" in PAGE.read_text().partition("# Exit codes")[2]
