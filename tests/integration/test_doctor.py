"""The doctor finds what is wrong with a directory, a certificate, an address or an endpoint, and says what to do."""

import asyncio
import os
import socket
import subprocess
from pathlib import Path

import pytest

from apidanalytics import config
from apidanalytics.config.loading import EMBEDDED
from apidanalytics.doctor import delivery, examine, listening, place, scope_data
from apidanalytics.doctor.patient import Patient
from apidanalytics.doctor.result import State
from tests.integration.faulty_store import TOKEN, FaultyStore

SCOPES = "scopes:\n  - {id: s1, org: acme, env: prod, tenant_id: t1}\n"


@pytest.fixture
def patient(tmp_path):
    """Return a function that makes a patient without a service, with these settings."""
    scopes = tmp_path / "scopes.yaml"
    scopes.write_text(SCOPES)

    def make(**settings):
        given = {"local_storage_path": tmp_path / "data", "apidanalytics_scopes_file": scopes, **settings}
        environ = {f"APID_{key.upper()}": str(value) for key, value in given.items()}
        loaded = config.load(config_file=None, environ=environ, embedded=True)
        return Patient(
            settings=loaded, embedded=True, status=None, running_settings={}, timeout_seconds=60, tenant="acme~prod"
        )

    return make


def by_check(results):
    return {result.check: result for result in results}


def delivered(patient):
    async def collect():
        return [result async for result in delivery.delivery(patient)]

    return by_check(asyncio.run(collect()))


def test_a_directory_that_others_can_read_is_a_problem(patient):
    someone = patient()
    someone.settings.data.create()
    (result,) = place.directories(someone)
    assert result.state is State.OK
    someone.settings.data.staging.chmod(0o755)
    (result,) = place.directories(someone)
    assert result.state is State.PROBLEM
    assert f"{someone.settings.data.staging} has mode 755: others can read it" in result.text
    assert "chmod 700" in result.advice


def test_a_directory_that_is_missing_or_a_file_is_a_problem(patient):
    someone = patient()
    someone.settings.data.create()
    someone.settings.data.failed.rmdir()
    someone.settings.data.sealed.rmdir()
    someone.settings.data.sealed.write_text("")
    (result,) = place.directories(someone)
    assert f"{someone.settings.data.failed} is missing" in result.text
    assert f"{someone.settings.data.sealed} is no directory" in result.text


def test_what_a_trial_run_as_another_user_left_is_a_problem(patient):
    someone = patient()
    data = someone.settings.data
    data.create()
    (data.tmp / "0123456789ab.spool").touch()
    try:
        os.chown(data.tmp / "0123456789ab.spool", 12345, -1)
    except PermissionError:
        pytest.skip("needs the right to give a file away")
    (result,) = place.directories(someone)
    assert result.state is State.PROBLEM
    assert f"{data.tmp}/0123456789ab.spool belongs to user 12345, and {data.root} to " in result.text
    assert "chown -R" in result.advice


def test_a_disk_with_less_room_than_is_kept_free_is_a_problem(patient):
    result = by_check(place.disk(patient(apidanalytics_min_free_disk_bytes="1000000GiB")))["disk"]
    assert result.state is State.PROBLEM
    assert "apidanalytics_min_free_disk_bytes" in result.text


def test_trying_the_disk_leaves_nothing_behind(patient):
    someone = patient()
    someone.settings.data.create()
    before = sorted(path.name for path in someone.settings.data.root.iterdir())
    assert by_check(place.disk(someone))["sync"].text.startswith("A sync takes")
    assert sorted(path.name for path in someone.settings.data.root.iterdir()) == before


def test_the_file_system_is_that_of_the_directory_and_not_another_of_its_disk(patient, tmp_path):
    """In a container the volume, resolv.conf and more come from one disk."""
    someone = patient()
    data = tmp_path / "data"
    data.mkdir()
    mounted = subprocess.run(["mount", "--bind", data, data], check=False, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"needs the right to mount: {mounted.stderr}")
    try:
        assert by_check(place.disk(someone))["file system"].text.startswith(f"{data} is a local file system (")
    finally:
        subprocess.run(["umount", "--lazy", data], check=True)


def test_a_file_system_that_does_not_tell_upper_from_lower_case_is_a_problem(patient):
    someone = patient()
    someone.settings.data.create()
    assert "upper" not in by_check(place.disk(someone))["file system"].text
    # Such a system finds it by this name, too.
    (someone.settings.data.root / "STAGING").symlink_to("staging")
    result = by_check(place.disk(someone))["file system"]
    assert result.state is State.PROBLEM
    assert "tenants whose names differ in nothing else are mixed up" in result.text


def test_what_is_stored_from_the_future_is_a_problem(patient):
    someone = patient()
    someone.settings.data.create()
    os.utime(someone.settings.data.staging, (4_000_000_000, 4_000_000_000))
    (result,) = place.clock(someone)
    assert result.state is State.PROBLEM
    assert "the clock was set back" in result.text


def test_a_taken_address_is_a_problem_and_a_free_one_is_not(patient, free_port):
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        (api, _) = listening.addresses(patient(api_listen=f"127.0.0.1:{port}", apidanalytics_admin_listen="off"))
    assert api.state is State.PROBLEM
    assert "Address already in use" in api.text
    assert f"sport = :{port}" in api.advice
    (api, admin) = listening.addresses(patient(api_listen=f"127.0.0.1:{port}", apidanalytics_admin_listen="off"))
    assert (api.state, admin.state) == (State.OK, State.SKIPPED)


def certificate(openssl, directory: Path, name: str, days: int) -> tuple[Path, Path]:
    made = (directory / f"{name}.pem", directory / f"{name}.key")
    new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}"]
    subprocess.run(
        [openssl, *new, "-days", str(days), "-out", made[0], "-keyout", made[1]], check=True, capture_output=True
    )
    return made


def test_a_certificate_that_ends_soon_or_has_another_key_is_a_problem(patient, tmp_path, require_tool):
    openssl = require_tool("openssl")
    good, soon = certificate(openssl, tmp_path, "good", 300), certificate(openssl, tmp_path, "soon", 5)

    def looked(pem, key):
        (result,) = listening.certificates(patient(api_tls_cert=pem, api_tls_key=key))
        return result

    assert looked(*good).state is State.OK
    assert "fits its key and is good for 300 more days" in looked(*good).text
    assert "is good for 5 more days only" in looked(*soon).text
    mixed = looked(good[0], soon[1])
    assert mixed.state is State.PROBLEM
    assert "cannot be used" in mixed.text


def test_a_scopes_file_is_read_and_its_problems_are_said(patient, tmp_path):
    (result,) = scope_data.source(patient())
    assert (result.state, "1 tenant" in result.text) == (State.OK, True)
    (tmp_path / "scopes.yaml").write_text("scopes:\n  - {id: s1, org: acme}\n")
    (result,) = scope_data.source(patient())
    assert result.state is State.PROBLEM
    assert "env" in result.text
    (tmp_path / "scopes.yaml").unlink()
    (result,) = scope_data.source(patient())
    assert "No such file" in result.text


@pytest.fixture
def store(tmp_path, free_port):
    with FaultyStore(tmp_path / "objects", free_port()) as store:
        store.start()
        yield store


def test_the_way_to_the_store_is_tried_up_to_the_signed_url(patient, store):
    found = delivered(patient(apidanalytics_uap_server_base=store.url, apigeesync_bearer_token=TOKEN))
    assert {check: result.state for check, result in found.items()} == {
        "token": State.OK,
        "endpoint": State.OK,
        "clocks": State.OK,
        "signed url": State.OK,
        "upload": State.SKIPPED,
    }
    assert store.seen["taken"] == 0, "nothing is uploaded unless that is wanted"


def test_a_wrong_token_is_found_and_not_shown(patient, store, tmp_path):
    token = tmp_path / "token"
    token.write_text("not-the-right-one")
    token.chmod(0o600)
    found = delivered(patient(apidanalytics_uap_server_base=store.url, apigeesync_bearer_token_file=token))
    assert found["signed url"].state is State.PROBLEM
    assert "401" in found["signed url"].text
    assert "apigeesync_bearer_token_file" in found["signed url"].advice
    assert "not-the-right-one" not in str(found)
    token.chmod(0o644)
    found = delivered(patient(apidanalytics_uap_server_base=store.url, apigeesync_bearer_token_file=token))
    assert "Everybody on this machine can read" in found["token"].text
    token.unlink()
    found = delivered(patient(apidanalytics_uap_server_base=store.url, apigeesync_bearer_token_file=token))
    assert "There is none" in found["token"].text


def test_an_endpoint_that_is_not_there_is_said_with_what_to_check(patient, store):
    store.stop()
    found = delivered(patient(apidanalytics_uap_server_base=store.url))
    assert found["endpoint"].state is State.PROBLEM
    assert "Connection refused" in found["endpoint"].text
    assert "apidanalytics_uap_server_base" in found["endpoint"].advice
    assert "signed url" not in found


def test_a_file_in_the_place_of_the_embedded_lake_is_a_problem(patient):
    someone = patient()
    someone.settings.data.create()
    assert delivered(someone)["upload"].state is State.OK
    lake = someone.settings.local_storage_path / "lake"
    lake.write_bytes(b"")
    found = delivered(someone)["upload"]
    assert found.state is State.PROBLEM
    assert f"{lake} is no directory" in found.text


@pytest.mark.parametrize("is_embedded", [False, True])
def test_what_is_missing_counts_among_the_problems_of_a_service_that_is_not_the_embedded_one(
    tmp_path, monkeypatch, is_embedded
):
    origin = EMBEDDED if is_embedded else "default"
    answers = {"settings": {"settings": [{"key": "log_level", "value": "info", "origin": origin}]}}
    monkeypatch.setattr(examine, "ask", lambda _socket, request: answers.get(request["command"], {}))
    monkeypatch.setenv("APID_LOCAL_STORAGE_PATH", str(tmp_path))
    monkeypatch.setenv("APID_LOG_LEVEL", "loud")
    someone = examine.patient(None, embedded=False, tenant=None, uploads=False, timeout_seconds=60)
    assert someone.embedded is is_embedded
    missing = [text for text in someone.spoiled if text.startswith("Missing required")]
    assert len(missing) == (not is_embedded)
    assert any(text.startswith("log_level:") for text in someone.spoiled)
