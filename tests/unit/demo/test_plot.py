"""The play's own decisions: whom to kill, what is still on its way, what to complain of."""

import argparse
from pathlib import Path

import pytest

from apidanalytics import demo
from apidanalytics.demo import command, plot
from apidanalytics.demo.child import Stage, free_address


def worker(pid, connections, state="running"):
    return {"index": 0, "pid": pid, "state": state, "restarts": 0, "connections": connections}


def counts(records):
    return {"records": records, "bytes": 0}


def test_the_worker_with_the_most_connections_is_killed():
    workers = [worker(1, 3), worker(2, 9), worker(3, 20, state="starting")]
    assert plot.busiest_worker({"workers": workers}) == 2


@pytest.mark.parametrize("status", [{}, {"workers": []}, {"workers": [worker(1, 1, state="down")]}])
def test_without_a_running_worker_nobody_is_killed(status):
    assert plot.busiest_worker(status) is None


STATES = ("accepted", "spooled", "staged", "failed", "uploaded")


def status(**records):
    amounts = {state: counts(records.get(state, 0)) for state in STATES}
    return {"tenants": {"acme~prod": amounts}, "totals": amounts}


def test_nothing_is_missing_when_all_that_was_accepted_is_uploaded():
    assert plot.missing(status(accepted=5, uploaded=5)) == []


@pytest.mark.parametrize("state", ["spooled", "staged", "failed"])
def test_what_is_on_its_way_is_missing(state):
    assert f"2 records are still {state}" in plot.missing(status(accepted=5, uploaded=3, **{state: 2}))


def test_books_that_do_not_balance_say_that_something_is_missing():
    (problem,) = plot.missing(status(accepted=5, uploaded=4))
    assert "acme~prod say 5 accepted, 4 uploaded" in problem


def test_a_service_that_says_nothing_has_not_delivered():
    assert plot.missing({})


def test_the_same_wrong_answer_is_said_once_with_its_count():
    assert plot.summed_up(["a", "b", "a"]) == ["2 x answered a", "1 x answered b"]


def stage(directory=Path("/play")):
    return Stage(directory=directory, scopes=Path("/scopes.yaml"), listen="127.0.0.1:1", collection_interval=2)


def test_the_service_gets_this_configuration_and_none_that_was_inherited():
    inherited = {"APID_CONFIG_FILE": "mine.yaml", "APID_APIDANALYTICS_DURABILITY": "memory", "HOME": "/root"}
    environment = stage().environment(inherited)
    assert environment["APID_LOCAL_STORAGE_PATH"] == "/play"
    assert environment["APID_APIDANALYTICS_COLLECTION_INTERVAL"] == "2"
    assert environment["HOME"] == "/root"
    assert "APID_CONFIG_FILE" not in environment
    assert "APID_APIDANALYTICS_DURABILITY" not in environment


def test_a_free_address_is_on_loopback():
    host, port = free_address().split(":")
    assert host == "127.0.0.1"
    assert int(port) > 0


def parse(*arguments):
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    return parser.parse_args(arguments)


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path, capsys):
    scopes = tmp_path / "scopes.yaml"
    scopes.write_text("scopes: [{id: s, org: o, env: e, tenant_id: t}]\n")
    assert demo.run(parse("--directory", str(tmp_path), "--scopes", str(scopes))) == command.EXIT_FAILURE
    assert "is not empty" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["scopes.yaml"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [("nothing: here", "is no scopes file"), ("[]", "is no scopes file"), ("scopes: []", "no tenant"), ("{", "cannot")],
)
def test_a_scopes_file_that_is_none_is_said_before_anything_is_made(tmp_path, capsys, text, problem):
    scopes = tmp_path / "scopes.yaml"
    scopes.write_text(text)
    directory = tmp_path / "play"
    assert demo.run(parse("--directory", str(directory), "--scopes", str(scopes))) == command.EXIT_FAILURE
    assert problem in capsys.readouterr().out
    assert not directory.exists()
