"""The commands that look at a service and order it about: one whose store refuses a tenant, and one that is stopped."""

import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from apidanalytics.control.lock import DataDirectoryLock
from apidanalytics.layout import DataDirectory
from tests.acceptance import exit_codes
from tests.acceptance.commands import Shell
from tests.harness import ServiceProcess, wait_until
from tests.integration.faulty_store import TOKEN, FaultyStore

GOOD, BAD = "testorg~testenv", "acme~prod"
GOOD_SCOPE, BAD_SCOPE = "testid", "7b1c4b9e-2a51-4a6b-9f0e-3d1f6f0f2c11"
RECORD = {"client_received_start_timestamp": 1700000000000}
EXAMPLE = Path(__file__).parents[2] / "examples/scopes.yaml"
READING = [
    ("status",),
    ("tenants",),
    ("files",),
    ("files", "show", "1"),
]


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="apa-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def store(home, free_port) -> Iterator[FaultyStore]:
    with FaultyStore(home / "objects", free_port()) as store:
        store.start()
        store.put_status = {BAD: 403}
        yield store


@pytest.fixture(scope="module")
def service(home, store, free_port) -> Iterator[ServiceProcess]:
    """One whose buckets close only when somebody says so, and that gives up at once."""
    service = ServiceProcess(
        {
            "local_storage_path": home / "running",
            "api_listen": f"127.0.0.1:{free_port()}",
            "apidanalytics_uap_server_base": store.url,
            "apigeesync_bearer_token": TOKEN,
            "apidanalytics_scopes_file": EXAMPLE,
            "apidanalytics_collection_interval": 86400,
            "apidanalytics_upload_attempts": 1,
            "apidanalytics_failed_retry_interval": 3600,
            "apidanalytics_workers": 1,
        },
        arguments=("run",),
    )
    try:
        service.start()
        service.post(GOOD_SCOPE, [RECORD])
        service.post(BAD_SCOPE, [RECORD, RECORD])
        yield service
    finally:
        service.close()


@contextmanager
def at_work(service, *arguments) -> Iterator[subprocess.Popen[str]]:
    """Run a command that goes on until it is told to end, and end it however the test does."""
    command = [sys.executable, "-m", "apidanalytics", *arguments]
    with subprocess.Popen(command, env=service.variables(), stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def shell(monkeypatch, capsys) -> Shell:
    return Shell(monkeypatch, capsys)


@pytest.fixture
def running(shell, service) -> Shell:
    shell.uses(service.variables())
    return shell


def test_a_flush_closes_the_buckets_uploads_what_goes_and_says_what_does_not(running, service):
    done = running("flush", "--timeout", "60s")
    assert done.code == 1
    assert "1 file in failed/ was given up for now" in done.err
    assert "apidanalytics failed list" in done.err
    assert service.post(GOOD_SCOPE, [RECORD] * 5)[0] == 200
    again = running("flush", "--json")
    assert (again.code, again.json["is_through"], again.json["failed"]) == (1, True, {"files": 1, "records": 2})

    def records():
        rows = {row["tenant"]: row for row in running("tenants", "--json").json["tenants"]}
        return [rows[GOOD]["counts"][state]["records"] for state in ("accepted", "uploaded")]

    # What is counted of each tenant may be two seconds old.
    wait_until(lambda: records()[0] == records()[1] >= 6, what="all of it is uploaded")


def test_a_flush_that_a_pause_holds_up_says_so_and_does_not_wait(running, service):
    running("flush")
    assert running("pause", "--tenant", GOOD).code == 0
    service.post(GOOD_SCOPE, [RECORD])
    began = time.monotonic()
    held = running("flush", "--timeout", "10m")
    assert time.monotonic() - began < 120
    assert held.code == 1
    # The file of the other tenant counts where it is being tried once more just now, after a success of this one.
    assert re.search(r"(1 file not uploaded \(1 record\)|2 files .* \(3 records\)): paused by hand", held.err), held.err
    assert f"Uploads of {GOOD} have been paused by hand for" in held.err
    assert running("tenants", "--search", "TESTORG", "--json").json["tenants"][0]["paused_since"] is not None
    assert running("resume", "--tenant", GOOD).code == 0
    wait_until(lambda: not running("files", "--state", "staged", "--json").json["files"], what="it goes on")


def test_the_tenants_are_searched_sorted_and_cut_and_the_last_error_is_said(running):
    running("flush")

    def worst():
        found = running("tenants", "--sort", "failed", "--limit", "1", "--json").json
        assert (len(found["tenants"]), found["found"]) == (1, 2)
        return found["tenants"][0]

    seen = []
    wait_until(lambda: seen.append(worst()) or seen[-1]["tenant"] == BAD, what="its file has failed (again)")
    assert seen[-1]["last_error"] == "the object store answered 403"
    text = running("tenants", "--only", "trouble").out
    assert BAD in text
    assert "the object store answered 403" in text
    assert GOOD not in text
    assert running("tenants", "--search", "nobody").out == "No tenant is like that.\n"


def test_a_file_has_a_history_by_its_id_and_by_the_beginning_of_its_name(running):
    running("flush")
    # Whenever another tenant's upload goes well, the failed one is tried once more: it may be on its way just now.
    (file,) = running("files", "--tenant", BAD, "--json").json["files"]
    (by_id,) = running("files", "show", str(file["id"]), "--json").json["files"]
    (by_name,) = running("files", "--json", "show", file["name"][:40], "--tenant", BAD).json["files"]
    assert by_id["name"] == by_name["name"] == file["name"]
    assert by_id["path"].endswith(f"/{file['directory']}/{file['name']}")
    assert {attempt["reason"] for attempt in by_id["recent_attempts"]} == {"the object store answered 403"}
    story = re.compile(r"Staged: .*\n.*Attempt, \S+ m?s: the object store answered 403\.(.*\n)*.*Gave up for now")
    wait_until(lambda: story.search(running("files", "show", str(file["id"])).out), what="the history tells it")
    unknown = running("files", "show", "nothing-like-it")
    assert (unknown.code, unknown.out) == (1, "")
    assert "apidanalytics files" in unknown.err


def test_orders_about_a_tenant_that_nobody_knows_are_refused(running):
    for order in ("pause", "resume"):
        refused = running(order, "--tenant", "no~one")
        assert (refused.code, refused.out, refused.err) == (1, "", "No such tenant: no~one.\n")


def test_events_are_chosen_by_time_level_and_tenant(running):
    running("flush")
    lines = running("events", "--level", "warning", "--tenant", BAD, "--json").out.splitlines()
    events = [json.loads(line) for line in lines]
    assert {event["event"] for event in events} >= {"upload.tenant_trouble", "upload.failed"}
    assert {event["level"] for event in events} == {"warning"}
    assert len(running("events", "--limit", "1").out.splitlines()) in {1, 2}
    assert running("events", "--since", "2100-01-01").out == ""
    text = running("events", "--tenant", BAD).out
    assert 'upload.tenant_trouble tenant=acme~prod reason="the object store answered 403"' in text
    assert "other tenants are not affected" in text
    assert TOKEN not in text


def test_events_are_followed_as_they_come(running, service):
    with at_work(service, "events", "--follow", "--limit", "1", "--json") as following:
        assert json.loads(following.stdout.readline())["event"], "what there is"
        assert running("pause", "--tenant", BAD).code == 0
        assert running("resume", "--tenant", BAD).code == 0
        seen: list[str] = []
        while "upload.resumed_by_hand" not in seen:
            line = following.stdout.readline()
            assert line, "it ended by itself"
            seen.append(json.loads(line)["event"])
        following.terminate()
    assert seen.index("upload.paused_by_hand") < seen.index("upload.resumed_by_hand")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("events", "--since", "soon"), "--since: 'soon' should be an age such as 2h"),
        (("flush", "--timeout", "soon"), "--timeout: 'soon' should be a duration"),
        (("tenants", "--limit", "0"), "'0' should be a number from 1"),
        (("status", "--watch", "--interval", "0"), "'0' should be a number of seconds"),
        (("files", "--state", "lost"), "invalid choice: 'lost'"),
    ],
)
def test_a_wrong_option_is_explained_with_exit_code_2(running, arguments, said):
    done = running(*arguments)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_the_doctor_finds_what_the_store_refuses_and_tells_no_secret(running, service):
    running("flush")
    done = running("doctor", "--tenant", BAD, "--upload")
    assert done.code == 1
    lines = done.out.splitlines()
    for check in ("configuration", "settings in force", "directories", "api_listen", "token", "signed url"):
        assert any(line.startswith(f"ok      {check} ") for line in lines), done.out
    (refused,) = [line for line in lines if line.startswith("PROBLEM upload")]
    assert "the object store answered 403" in refused
    assert lines[lines.index(refused) + 1].strip().startswith("-> 403: the rights")
    assert TOKEN not in done.out + done.err
    results = {
        result["check"]: result for result in running("doctor", "--tenant", GOOD, "--upload", "--json").json["results"]
    }
    assert results["upload"]["state"] == "ok"
    assert re.search(r"0000_\d{14}\.\d{14}_doctor_writer_\d+\.txt\.gz", results["upload"]["text"])


def test_the_doctor_sees_that_the_service_has_other_settings(running, monkeypatch):
    monkeypatch.setenv("APID_APIDANALYTICS_UPLOAD_ATTEMPTS", "7")
    (found,) = [r for r in running("doctor", "--json").json["results"] if r["check"] == "settings in force"]
    assert found["state"] == "problem"
    assert "apidanalytics_upload_attempts" in found["text"]
    assert "apidanalytics reload" in found["advice"]


def test_watching_prints_a_line_each_time_where_nobody_looks(service):
    looks: list[str] = []
    with at_work(service, "status", "--watch", "--interval", "0.1") as watching:
        while len(looks) < 3:
            line = watching.stdout.readline()
            assert line, "it ended by itself"
            if not line.startswith("  ! "):
                looks.append(line)
        watching.terminate()
        watching.stdout.read()
        assert watching.wait(60) == 0
    assert all(re.match(r"\d\d:\d\d:\d\dZ \w+ ready accepted=\d+ \(\d+/s\) spooled=", line) for line in looks)


ON_THE_TERMINAL = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.SIG_DFL)  # whoever started the tests may have it ignored
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def test_watching_on_a_terminal_shows_the_flow_and_leaves_the_terminal_as_it_was(service):
    screen = {**service.variables(), "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "30"}
    # Not by a fork of this process: it has threads, and what they hold is held in the child for ever.
    terminal, theirs = pty.openpty()
    watching = subprocess.Popen(
        [sys.executable, "-c", ON_THE_TERMINAL, "-m", "apidanalytics", "status", "--watch", "--interval", "0.1"],
        env=screen,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    seen = b""

    def read() -> bytes:
        nonlocal seen
        while select.select([terminal], [], [], 0.05)[0]:
            try:
                seen += os.read(terminal, 65536)
            except OSError:  # it has closed its side
                break
        return seen

    try:
        wait_until(lambda: b"workers   0: running" in read(), what="the view is drawn")
        assert b"\x1b[?1049h" in seen, "it has the other screen"
        assert b"accepted" in seen
        os.write(terminal, b"\x03")
        wait_until(lambda: (read(), watching.poll() is not None)[1], what="Ctrl-C ends it")
        read()
    finally:
        watching.kill()
        watching.wait()
        os.close(terminal)
    assert watching.returncode == 0
    assert seen.rindex(b"\x1b[?1049l") > seen.rindex(b"\x1b[?1049h"), "the screen of before is back"
    assert seen.rindex(b"\x1b[?25h") > seen.rindex(b"\x1b[?25l"), "and so is the cursor"
    assert b"Traceback" not in seen


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


def test_a_service_is_asked_and_examined_though_somebody_spoiled_its_settings(running, monkeypatch):
    monkeypatch.setenv("APID_APIDANALYTICS_UPLOAD_TIMEOUT", "soon")
    monkeypatch.setenv("APID_APIDANALYTICS_UPLOAD_TIMEOT", "60s")
    shown = running("status", "--json")
    assert (shown.code, shown.json["state"]) == (0, "running")
    assert "Warning: a start or a reload would refuse the configuration: apidanalytics_upload_timeot" in shown.err
    assert "1 more: apidanalytics check-config" in shown.err
    examined = running("doctor", "--json")
    problems = [(one["check"], one["text"].partition(":")[0]) for one in examined.json["results"][:2]]
    assert problems == [
        ("configuration", "apidanalytics_upload_timeot"),
        ("configuration", "apidanalytics_upload_timeout"),
    ]
    assert "service" in {one["check"] for one in examined.json["results"]}


def test_a_command_does_not_guess_where_the_directory_is(running, monkeypatch):
    monkeypatch.setenv("APID_APIDANALYTICS_DATA_PATH", "../elsewhere")
    assert running("status").code == 2


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


def test_json_is_asked_for_before_or_behind_the_word_below(running):
    assert (
        running("scopes", "check", GOOD_SCOPE, "--json").json == running("scopes", "--json", "check", GOOD_SCOPE).json
    )


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


def test_exit_codes_while_the_service_runs(running, service, codes_of):
    running("flush")
    assert codes_of(running, exit_codes.RUNNING, service) == exit_codes.RUNNING


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


def test_tail_ends_with_0_after_as_many_records_as_were_asked_for(running, service):
    with at_work(service, "tail", "--records", "1") as following:
        wait_until(
            lambda: service.post(GOOD_SCOPE, [RECORD]) and following.poll() is not None,
            pause_seconds=0.1,
            what="it has seen one",
        )
        assert following.returncode == 0
