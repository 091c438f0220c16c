"""``apidanalytics status`` while the endpoint asks everybody for less."""

import re

import pytest

from tests.acceptance.commands import Shell
from tests.acceptance.test_commands import BAD_SCOPE, EXAMPLE, GOOD_SCOPE, RECORD
from tests.harness import ServiceProcess, wait_until
from tests.integration.faulty_store import TOKEN, FaultyStore


@pytest.fixture
def throttled(data_directory, free_port):
    with FaultyStore(data_directory / "objects", free_port()) as store:
        store.start()
        store.sign_status, store.retry_after = {"": 429}, "600"
        service = ServiceProcess(
            {
                "local_storage_path": data_directory / "service",
                "api_listen": f"127.0.0.1:{free_port()}",
                "apidanalytics_uap_server_base": store.url,
                "apigeesync_bearer_token": TOKEN,
                "apidanalytics_scopes_file": EXAMPLE,
                "apidanalytics_collection_interval": 1,
                "apidanalytics_workers": 1,
            },
            arguments=("run",),
        )
        try:
            service.start()
            for scope in (GOOD_SCOPE, BAD_SCOPE):
                service.post(scope, [RECORD])
            yield service
        finally:
            service.close()


def test_the_status_says_until_when_everybody_waits_and_who_asked_for_it(throttled, monkeypatch, capsys):
    shell = Shell(monkeypatch, capsys)
    shell.uses(throttled.variables())
    wait_until(lambda: shell("status", "--json").json["uploads"]["throttled_until"], what="everybody waits")
    status = shell("status", "--json").json
    assert 500 < status["uploads"]["throttled_until"] - status["now"] < 700
    assert status["uploads"]["throttled_reason"] == "the collection endpoint answered 429"
    assert "uploads_throttled" in [finding["code"] for finding in status["findings"]]
    assert status["uploads"]["stopped_since"] is None
    text = shell("status").out
    said = r"Nothing is sent for another \d+ minutes, as asked: the collection endpoint answered 429"
    assert re.search(said, text)
