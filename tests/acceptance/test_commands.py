"""The commands that look at a service and order it about: one whose store refuses a tenant."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from tests.acceptance import exit_codes
from tests.acceptance.commands import Shell, Terminal, at_work
from tests.harness import ServiceProcess, wait_until
from tests.integration.faulty_store import TOKEN, FaultyStore

GOOD, BAD = "testorg~testenv", "acme~prod"
GOOD_SCOPE, BAD_SCOPE = "testid", "7b1c4b9e-2a51-4a6b-9f0e-3d1f6f0f2c11"
RECORD = {"client_received_start_timestamp": 1700000000000}
EXAMPLE = Path(__file__).parents[2] / "examples/scopes.yaml"


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


@pytest.mark.parametrize("width", [40, 60])
@pytest.mark.parametrize("command", ["status", "tenants", "files", "failed list", "scopes", "audit"])
def test_on_a_narrow_terminal_names_are_whole_and_no_line_is_too_long(running, monkeypatch, command, width):
    words = command.split()
    monkeypatch.setattr(f"apidanalytics.cli.{words[0]}.console", lambda: Console(width=width, color_system=None))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    names = {"scopes": [GOOD_SCOPE, BAD_SCOPE], "failed list": [BAD]}.get(command, [GOOD, BAD])
    lines: list[str] = []

    def shows_all() -> bool:
        lines[:] = running(*words).out.splitlines()
        is_there = all(any(name in line for line in lines) for name in names)
        if not is_there:
            running("flush")
        return is_there

    wait_until(shows_all, what="every name stands in a line (what failed may be on its way once more just now)")
    assert max(len(line.rstrip()) for line in lines) <= width


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


def test_watching_on_a_terminal_shows_the_flow_and_leaves_the_terminal_as_it_was(service):
    with Terminal(service.variables(), "status", "--watch", "--interval", "0.1", columns=80) as terminal:
        wait_until(lambda: b"workers   0: running" in terminal.read(), what="the view is drawn")
        assert b"\x1b[?1049h" in terminal.seen, "it has the other screen"
        assert b"accepted" in terminal.seen
        terminal.write(b"\x03")
        wait_until(terminal.has_ended, what="Ctrl-C ends it")
    seen = terminal.seen
    assert terminal.code == 0
    assert seen.rindex(b"\x1b[?1049l") > seen.rindex(b"\x1b[?1049h"), "the screen of before is back"
    assert seen.rindex(b"\x1b[?25h") > seen.rindex(b"\x1b[?25l"), "and so is the cursor"
    assert b"Traceback" not in seen


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


def test_json_is_asked_for_before_or_behind_the_word_below(running):
    assert (
        running("scopes", "check", GOOD_SCOPE, "--json").json == running("scopes", "--json", "check", GOOD_SCOPE).json
    )


def test_exit_codes_while_the_service_runs(running, service, codes_of):
    running("flush")
    assert codes_of(running, exit_codes.RUNNING, service) == exit_codes.RUNNING


def test_tail_ends_with_0_after_as_many_records_as_were_asked_for(running, service):
    with at_work(service, "tail", "--records", "1") as following:
        wait_until(
            lambda: service.post(GOOD_SCOPE, [RECORD]) and following.poll() is not None,
            pause_seconds=0.1,
            what="it has seen one",
        )
        assert following.returncode == 0
