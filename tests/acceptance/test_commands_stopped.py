"""The commands where no service runs: in a directory that one left, where there never was one, and for the shell."""

import subprocess
from collections.abc import Iterator

import pytest

from apidanalytics.control.lock import DataDirectoryLock
from apidanalytics.layout import DataDirectory
from tests.acceptance import exit_codes
from tests.acceptance.commands import Shell
from tests.harness import ServiceProcess

GOOD, GOOD_SCOPE = "testorg~testenv", "testid"
RECORD = {"client_received_start_timestamp": 1700000000000}
READING = [
    ("status",),
    ("tenants",),
    ("files",),
    ("files", "show", "1"),
]


@pytest.fixture(scope="module")
def stopped(home, free_port) -> Iterator[ServiceProcess]:
    """A service that has delivered one record, and was ended."""
    service = ServiceProcess(
        {
            "local_storage_path": home / "stopped",
            "api_listen": f"127.0.0.1:{free_port()}",
            "apidanalytics_collection_interval": 86400,
            "apidanalytics_workers": 1,
        }
    )
    try:
        service.start()
        service.post(GOOD_SCOPE, [RECORD])
        assert service.command("flush").returncode == 0
        assert service.terminate() == 0
        yield service
    finally:
        service.close()


@pytest.fixture
def at_rest(shell, stopped) -> Shell:
    shell.uses(stopped.variables())
    return shell


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_of_a_stopped_service_the_data_directory_is_shown_and_the_exit_code_says_so(at_rest, command):
    done = at_rest(*command)
    assert done.code == 4, done.err
    assert GOOD in done.out
    assert "no agent answers" in done.err
    assert "this is what its data directory holds" in done.err
    assert at_rest(*command, "--json").json


def test_the_tenants_of_a_stopped_service_add_up(at_rest):
    (row,) = at_rest("tenants", "--json").json["tenants"]
    assert (row["counts"]["accepted"]["records"], row["counts"]["uploaded"]["records"]) == (1, 1)
    (file,) = at_rest("files", "--json").json["files"]
    assert (file["state"], file["records"]) == ("uploaded", 1)


def test_a_stopped_service_is_paused_and_resumed_in_its_directory(at_rest):
    done = at_rest("pause", "--tenant", GOOD)
    assert done.code == 0
    assert "counts from its next start" in done.err
    assert at_rest("tenants", "--json").json["tenants"][0]["paused_since"] is not None
    assert f"Uploads of {GOOD} are paused by hand; a start does not end that." in at_rest("status").out
    assert at_rest("resume", "--tenant", GOOD).code == 0
    assert at_rest("tenants", "--json").json["tenants"][0]["paused_since"] is None
    assert at_rest("pause", "--tenant", "no~one").code == 1


@pytest.mark.parametrize("command", ["pause", "resume", "failed retry"])
def test_nothing_is_changed_in_the_directory_of_a_stopped_service_by_settings_with_a_problem(at_rest, command):
    at_rest.uses({"APID_LOG_LEVEL": "loud"})
    done = at_rest(*command.split())
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[-1].startswith("log_level: 'loud' should be")


@pytest.mark.parametrize("command", ["events", "flush"])
def test_what_only_a_running_service_can_do_is_said_of_a_stopped_one(at_rest, command):
    done = at_rest(command)
    assert (done.code, done.out) == (4, "")
    assert "No agent answers" in done.err


@pytest.mark.parametrize("command", [("status",), ("tenants",), ("files",), ("pause",)], ids=" ".join)
def test_where_nothing_was_ever_collected_that_is_said(shell, tmp_path, command):
    shell.uses({"APID_LOCAL_STORAGE_PATH": str(tmp_path / "nothing")})
    done = shell(*command)
    assert (done.code, done.out) == (4, "")
    assert "There is no data directory at" in done.err
    assert not (tmp_path / "nothing").exists()


def test_the_doctor_examines_a_stopped_service(at_rest, stopped):
    done = at_rest("doctor", "--embedded", "--json")
    states = {result["check"]: result["state"] for result in done.json["results"]}
    assert done.code == int("problem" in states.values()), "such as a disk that is nearly full"
    assert states["directories"] == states["scope source"] == states["scope data"] == states["api_listen"] == "ok"
    assert states["service"] == "skipped"


def test_bash_completes_commands_options_and_choices_but_no_command_of_the_agents(shell, require_tool):
    script = shell("completion", "bash").out
    ask = """
    complete_it() {
        COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMPREPLY=()
        _shtab_apidanalytics; echo "${COMPREPLY[@]}"
    }
    complete_it apidanalytics ten
    complete_it apidanalytics files --sta
    complete_it apidanalytics files --state fa
    complete_it apidanalytics wor
    """
    done = subprocess.run(
        [require_tool("bash"), "-c", f"{script}\n{ask}"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.splitlines() == ["tenants", "--state", "failed", ""], done.stderr
    assert shell("completion", "zsh").out.startswith("#compdef apidanalytics")


def test_a_damaged_ledger_is_said_in_a_sentence(shell, tmp_path):
    (tmp_path / "ax").mkdir()
    (tmp_path / "ax/ledger.db").write_text("this is no database at all" * 100)
    shell.uses({"APID_LOCAL_STORAGE_PATH": str(tmp_path)})
    for command in ("status", "tenants", "files"):
        done = shell(command)
        assert (done.code, done.out) == (1, "")
        assert "The ledger cannot be read: file is not a database" in done.err


def test_exit_codes_when_the_service_was_ended(at_rest, stopped, codes_of):
    assert codes_of(at_rest, exit_codes.STOPPED, stopped) == exit_codes.STOPPED


def test_exit_codes_while_somebody_else_works_in_the_directory(at_rest, stopped, codes_of):
    lock = DataDirectoryLock.acquire(DataDirectory(stopped.directory / "ax").lock)
    try:
        assert codes_of(at_rest, exit_codes.LOCKED, stopped) == exit_codes.LOCKED
    finally:
        lock.release()


def test_exit_codes_where_nothing_was_ever_collected(shell, tmp_path, codes_of):
    shell.uses({"APID_LOCAL_STORAGE_PATH": str(tmp_path / "nothing")})
    assert codes_of(shell, exit_codes.NOTHING) == exit_codes.NOTHING


def test_exit_codes_without_scope_data(shell, tmp_path, codes_of):
    shell.uses({"APID_LOCAL_STORAGE_PATH": str(tmp_path), "APID_APIDANALYTICS_UAP_SERVER_BASE": "http://127.0.0.1:9"})
    assert codes_of(shell, exit_codes.NO_SCOPES) == exit_codes.NO_SCOPES
