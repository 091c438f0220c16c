"""A process loads what it uses: the time that it takes to start is mostly the time to load."""

import subprocess
import sys

import pytest

from apidanalytics.cli import main
from tests.harness import ROOT

HEAVY = ("aiohttp", "prometheus_client", "rich", "structlog")


def loaded_after(code):
    command = [sys.executable, "-c", f"import sys; {code}; print(*sorted({set(HEAVY)} & set(sys.modules)))"]
    environment = {"PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize(("room", "needed"), [("service.build_worker", []), ("cli.run", ["aiohttp"])])
def test_a_worker_and_an_agent_load_nothing_that_draws_and_no_page_that_is_not_served(room, needed):
    code = f"from apidanalytics.telemetry import lean; lean.load_structlog(); import apidanalytics.{room}"
    assert loaded_after(code) == [*needed, "structlog"]


class CalledError(Exception):
    pass


@pytest.mark.parametrize("arguments", [["run"], ["worker", "--control-fd", "99", "--listen-fd", "98"]])
def test_the_agent_and_its_workers_begin_with_that(monkeypatch, arguments):
    def called():
        raise CalledError

    monkeypatch.setattr(main.lean, "load_structlog", called)
    with pytest.raises(CalledError):
        main.main(arguments)


def test_the_commands_that_ask_a_running_service_do_not_load_the_service():
    asking = ("status", "tenants", "files", "failed", "uploads", "flush", "scopes", "audit")
    code = f"from apidanalytics.cli import {', '.join(asking)}"
    assert loaded_after(code) == ["rich", "structlog"]


def test_the_command_line_loads_nothing_heavy_before_it_knows_what_to_run():
    assert loaded_after("import apidanalytics.cli.main") == []


def test_whoever_wants_to_draw_afterwards_can():
    code = "from apidanalytics.telemetry import lean; lean.load_structlog(); import rich.console; lean.load_structlog()"
    assert loaded_after(code) == ["rich", "structlog"]
