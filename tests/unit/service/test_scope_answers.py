"""Where there is no scope data, it is said why, and what to do."""

import pytest

from apidanalytics import config
from apidanalytics.errors import NotRunningError
from apidanalytics.service import scope_answers
from apidanalytics.service.scope_answers import why_none

SYNC = {
    **{f"apigeesync_{name}_server_base": "http://127.0.0.1:9" for name in ("proxy", "snapshot", "change")},
    "apigeesync_consumer_key": "key",
    "apigeesync_consumer_secret": "secret",
    "apigeesync_cluster_id": "4c6bb536-0d64-43ca-abae-17c08f1a7e58",
}


@pytest.fixture
def why(tmp_path, monkeypatch):
    """Return a function that tells why there is none; ``known``: what a running service says of its scope data."""

    def tell(known=None, **settings):
        def ask_status(_settings):
            if known is None:
                raise NotRunningError("no agent answers")
            return {"scopes": known}

        monkeypatch.setattr(scope_answers, "ask_status", ask_status)
        given = {"local_storage_path": tmp_path, **settings}
        environ = {f"APID_{key.upper()}": str(value) for key, value in given.items()}
        return why_none(config.load(config_file=None, environ=environ, embedded=True))

    return tell


@pytest.mark.parametrize("known", [None, {"trouble": None}], ids=["stopped", "running"])
def test_without_a_source_that_is_why(why, known):
    assert why(known).startswith("No source is configured: set apidanalytics_scopes_file, ")


def test_of_a_stopped_service_it_is_said_whether_the_file_is_there(why, tmp_path):
    file = tmp_path / "scopes.yaml"
    assert f"{file}, which is to hold them, is not there" in why(apidanalytics_scopes_file=file)
    file.touch()
    assert f"No service has taken up {file} yet: a start does" in why(apidanalytics_scopes_file=file)


def test_before_the_first_snapshot_that_is_why(why):
    assert "none has had a snapshot of Apigee Sync yet" in why(**SYNC)
    assert "The service has had none of Apigee Sync yet" in why({"trouble": None}, **SYNC)


def test_what_the_service_says_of_its_source_is_said(why):
    assert why({"trouble": "token: status 401"}, **SYNC).startswith(
        "The service cannot take up any: token: status 401. Mend that; it is tried again by itself"
    )


@pytest.mark.parametrize("known", [None, {"trouble": None}], ids=["stopped", "running"])
def test_where_nobody_is_asked_no_first_snapshot_is_promised(why, known):
    assert why(known, **SYNC, apigeesync_diagnostic_mode="true").startswith("Apigee Sync is not asked")
