"""The whole play against a stand-in for the service: it says so when a promise is broken, and only then."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from apidanalytics import demo
from apidanalytics.demo import command

STAND_IN = Path(__file__).with_name("stand_in.py")
SCOPES = """
scopes:
  - {id: scope-a, org: acme, env: prod, tenant_id: t1}
  - {id: scope-g, org: globex, env: prod, tenant_id: t2}
api_keys:
  - {key: key-1, tenant_id: t1, product: gold, app: shop, developer: dee, email: d@acme.example}
  - {key: key-1, tenant_id: t2, product: tin, app: map, developer: gus, email: g@globex.example}
"""


@pytest.fixture
def play(tmp_path, data_directory, monkeypatch, capsys):
    scopes = tmp_path / "scopes.yaml"
    scopes.write_text(SCOPES)

    def play(*stand_in: str) -> tuple[int, str]:
        real = command.Stage
        monkeypatch.setattr(
            command, "Stage", lambda **values: replace(real(**values), command=(sys.executable, *stand_in))
        )
        parser = argparse.ArgumentParser()
        demo.add_arguments(parser)
        options = ["--scopes", scopes, "--directory", data_directory, "--seconds", 1.5, "--connections", 8]
        code = demo.run(parser.parse_args(list(map(str, options))))
        return code, capsys.readouterr().out

    return play


def test_a_service_that_keeps_its_promise_is_applauded(play, data_directory):
    code, page = play(str(STAND_IN))
    assert code == 0, page
    assert "SIGKILL to ingest worker" in page
    assert "is in the lake exactly once" in " ".join(page.split())
    assert str(data_directory / "lake") in page


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("lost", "  lost: flow-"),
        ("doubled", "  doubled: flow-"),
        ("misplaced", "lies under"),
        ("altered", "delivered dc.amount: 1"),
        ("accepts", "x answered 200 instead of 400 UNSUPPORTED_CONTENT_TYPE"),
    ],
)
def test_a_service_that_breaks_it_is_found_out(play, fault, words):
    code, page = play(str(STAND_IN), fault)
    assert code == 1
    assert words in page.replace("\n", " ")
    assert "NOT kept" in page


def test_a_service_that_does_not_start_is_quoted(play):
    code, page = play("-c", "raise SystemExit('no luck today')")
    assert code == 1
    assert "the service ended by itself" in page
    assert "no luck today" in page
