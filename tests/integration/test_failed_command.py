"""``apidanalytics failed``: what gave up is seen, explained, copied out and sent again, running or stopped."""

import gzip
import json
import socket
import stat

import pytest

from apidanalytics import config
from apidanalytics.errors import DataDirectoryLocked
from apidanalytics.service.failed import stopped
from tests.harness import wait_until
from tests.integration.faulty_store import TOKEN, FaultyStore

SCOPES = """
scopes:
  - {id: s1, org: acme, env: prod, tenant_id: t1}
  - {id: s2, org: zeta, env: test, tenant_id: t2}
"""


@pytest.fixture
def service(start_service, data_directory, tmp_path, free_port):
    scopes = tmp_path / "scopes.yaml"
    scopes.write_text(SCOPES)
    with FaultyStore(data_directory / "objects", free_port()) as store:
        store.start()
        store.sign_status = {"acme~prod": 403}
        service = start_service(
            local_storage_path=data_directory / "collector",
            apidanalytics_uap_server_base=store.url,
            apidanalytics_scopes_file=scopes,
            apigeesync_bearer_token=TOKEN,
            apidanalytics_collection_interval=1,
            apidanalytics_upload_attempts=1,
            apidanalytics_failed_retry_interval=3600,
            apidanalytics_workers=1,
        )
        service.store = store
        yield service


def failed(service):
    return service.status()["totals"]["failed"]["files"]


def files(service, *arguments):
    done = service.command("failed", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["files"]


def post_and_fail(service):
    before = failed(service)
    assert service.post("s1", [{"client_received_start_timestamp": 1, "n": before}])[0] == 200
    wait_until(lambda: failed(service) == before + 1, what="it failed")


def test_failed_files_are_listed_explained_copied_out_and_sent_again(service, tmp_path):
    assert service.command("failed", "list").stdout == "No failed files.\n"
    post_and_fail(service)
    (file,) = files(service, "list")
    assert (file["tenant"], file["records"], file["attempts"]) == ("acme~prod", 1, 1)
    assert file["reason"] == "the collection endpoint answered 403"
    assert file["reason"] in service.command("failed", "list").stdout
    assert files(service, "list", "--tenant", "zeta~test") == []

    (shown,) = files(service, "show", file["name"][:30])
    assert shown["path"].endswith(f"failed/{file['directory']}/{file['name']}")
    assert file["sha256"] in service.command("failed", "show", file["name"]).stdout
    unknown = service.command("failed", "show", "nothing-like-it")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "failed list" in unknown.stderr

    done = service.command("failed", "export", str(tmp_path / "out"))
    assert (done.returncode, done.stdout.partition(" ")[0]) == (0, "1")
    (listed,) = (json.loads(line) for line in (tmp_path / "out/failed.jsonl").read_text().splitlines())
    copy = tmp_path / "out" / listed["path"]
    assert copy.relative_to(tmp_path / "out").parts[0] == "acme~prod"
    assert json.loads(gzip.decompress(copy.read_bytes()))["n"] == 0
    made = (tmp_path / "out", tmp_path / "out/failed.jsonl", copy)
    assert [stat.S_IMODE(path.stat().st_mode) for path in made] == [0o700, 0o600, 0o600]
    assert failed(service) == 1

    refusals = service.store.seen["403"]
    again = service.command("failed", "retry", "--json")
    assert json.loads(again.stdout) == {"retried": 1}
    wait_until(lambda: service.store.seen["403"] > refusals, what="it is tried again")
    wait_until(lambda: len(files(service, "list")) == 1, what="it failed again, and retry did not go on for ever")
    assert service.command("failed", "retry", "--tenant", "zeta~test").stdout == "No failed files to try again.\n"
    service.store.heal()
    service.command("failed", "retry", file["name"])
    wait_until(lambda: failed(service) == 0 and service.is_delivered(1), what="delivered")


def test_with_the_service_down_its_data_directory_answers_and_says_so(service):
    post_and_fail(service)
    post_and_fail(service)
    service.terminate()
    listed = service.command("failed", "list", "--json")
    assert listed.returncode == 0
    assert "this is done in its data directory" in listed.stderr
    names = [file["name"] for file in json.loads(listed.stdout)["files"]]
    assert len(names) == 2
    assert json.loads(service.command("failed", "retry", names[0], "--json").stdout) == {"retried": 1}
    assert [file["name"] for file in files(service, "list")] == [names[1]]
    service.store.heal()
    service.restart()
    wait_until(lambda: failed(service) == 0, what="the one sent at the start, the other after its success")


def test_a_directory_whose_agent_still_listens_is_not_stopped_though_somebody_removed_its_lock(tmp_path):
    settings = config.load(config_file=None, environ={"APID_LOCAL_STORAGE_PATH": str(tmp_path)}, embedded=True)
    settings.data.create()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
        agent.bind(str(settings.data.control))
        agent.listen()
        with pytest.raises(DataDirectoryLocked, match=r"An agent listens on control\.sock"), stopped(settings):
            pass
    assert not settings.data.ledger.exists()


def test_what_cannot_be_moved_is_said_with_the_number_that_came_back_running_or_stopped(service, data_directory):
    post_and_fail(service)
    post_and_fail(service)
    first, *_ = files(service, "list")
    in_the_way = data_directory / "collector/ax/staging" / first["directory"]
    in_the_way.write_bytes(b"no directory")
    refusals = service.store.seen["403"]
    done = service.command("failed", "retry", "--json")
    assert (done.returncode, json.loads(done.stdout)["retried"]) == (1, 1)
    assert first["directory"] in json.loads(done.stdout)["stuck"]
    assert f"cannot be moved: {json.loads(done.stdout)['stuck']}" in done.stderr
    wait_until(lambda: service.store.seen["403"] > refusals, what="the other one is tried again")
    wait_until(lambda: failed(service) == 2, what="it failed again")
    service.terminate()
    done = service.command("failed", "retry")
    assert (done.returncode, done.stdout) == (1, "1 files are back in staging/.\n")
    assert first["directory"] in done.stderr
