"""A process of the service loads nothing that only a terminal needs."""

import subprocess
import sys

import pytest

from tests.harness import ROOT

LOADED = "print(*sorted({'rich', 'pygments', 'structlog'} & set(sys.modules)))"


def loaded_after(code):
    environment = {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", f"import sys; {code}; {LOADED}"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize("room", ["service.build_worker", "cli.run"])
def test_a_worker_and_the_agent_do_not_load_what_draws_on_a_terminal(room):
    code = f"from apidanalytics.telemetry import lean; lean.load_structlog(); import apidanalytics.{room}"
    assert loaded_after(code) == ["structlog"]


def test_the_command_line_loads_no_structlog_before_it_knows_what_to_run():
    assert loaded_after("import apidanalytics.cli.main") == []


def test_whoever_wants_to_draw_afterwards_can():
    code = "from apidanalytics.telemetry import lean; lean.load_structlog(); import rich.console; lean.load_structlog()"
    assert loaded_after(code) == ["rich", "structlog"]
