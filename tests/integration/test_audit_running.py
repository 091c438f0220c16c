"""Audit and tail beside a service at work, and the same directory after it was killed."""

import json
import select
import subprocess
import sys
from contextlib import contextmanager

from tests.crash.load import Load

SECRETS = {
    "client_received_start_timestamp": 1_700_000_000_000,
    "client_id": "a-whole-api-key",
    "access_token": "hush-token",
    "request_uri": "/v1/cats?session=hush-session",
    "nested": {"Authorization": "Bearer hush-bearer", "plain": "shown"},
}


@contextmanager
def tail(service, *arguments):
    with subprocess.Popen(
        [sys.executable, "-m", "apidanalytics", "tail", "--json", *arguments],
        env=service.variables(),
        cwd=service.directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as following:
        try:
            yield following
        finally:
            following.kill()


def next_lines(service, following, *records):
    """Return what is shown of records that are sent anew until they are seen.

    A spool may come and go while the machine lets nobody look.
    """
    for _ in range(4):
        assert service.post("testid", list(records))[0] == 200
        if select.select([following.stdout], [], [], 15)[0]:
            break
    return [json.loads(following.stdout.readline()) for _ in records]


def assert_the_books_hold(service, *arguments):
    result = service.command("audit", "--json", *arguments)
    assert result.returncode == 0, result.stdout
    return json.loads(result.stdout)


def test_the_books_hold_at_any_moment_of_a_service_at_work_and_after_a_kill(start_service):
    service = start_service(apidanalytics_collection_interval=1, apidanalytics_workers=2)
    with Load(service, seed=11) as load:
        for arguments in ((), ("--deep",), ()):
            load.wait_acknowledged(800)
            acknowledged = load.acknowledged
            report = assert_the_books_hold(service, *arguments)
            assert report["is_running"]
            assert report["totals"]["accepted"]["records"] >= acknowledged
        service.kill_all()
        load.stop()
    report = assert_the_books_hold(service, "--deep")
    assert not report["is_running"]
    assert report["totals"]["accepted"]["records"] >= load.acknowledged
    assert service.command("inspect", str(service.directory / "ax")).returncode == 0


def test_tail_shows_what_is_accepted_of_a_tenant_without_its_secrets(start_service):
    # So long that a spool hardly ever ends by itself before it is looked at.
    service = start_service(apidanalytics_collection_interval=300, apidanalytics_workers=1)
    service.post("testid", [{**SECRETS, "request_uri": "/before"}])
    with tail(service, "--tenant", "testorg~testenv", "--records", "3") as following:
        assert "Following" in following.stderr.readline()
        first, second = next_lines(service, following, SECRETS, {**SECRETS, "n": 2})
        assert service.command("flush").returncode == 0
        service.wait_delivered(3)  # the spool it read from is gone by now
        (last,) = next_lines(service, following, {**SECRETS, "n": 3})
        assert following.wait(60) == 0
    assert first["tenant"] == "testorg~testenv"
    record = first["record"]
    assert record["client_id"] == "a-wh***"
    assert record["request_uri"] == "/v1/cats?…"
    assert record["nested"] == {"Authorization": "***", "plain": "shown"}
    assert record["access_token"] == "***"
    assert second["record"]["n"] == 2
    assert last["record"]["n"] == 3
    assert "hush" not in json.dumps([first, second, last])
