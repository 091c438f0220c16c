"""Masked values reach no file of the data directory, nor the lake; what is not masked does."""

import hashlib
import hmac
import json
from contextlib import suppress

import pytest

from tests.harness import files_below, wait_until

KEY = "0123456789abcdef0123456789abcdef"
SECRETS = ("SESAME-TOKEN", "SESAME-QUERY", "192.0.2.211", "SESAME-KEY")
RECORD = {
    "client_received_start_timestamp": 1_795_310_045_694,
    "access_token": SECRETS[0],
    "request_uri": f"http://h/p?a={SECRETS[1]}",
    "client_ip": SECRETS[2],
    "client_id": SECRETS[3],
    "kept": "OPEN-VALUE",
}


def found(directory, text):
    """Return the files below a directory that hold a text, as it stands on disk."""
    holding = []
    for path in files_below(directory):
        with suppress(FileNotFoundError):  # the service is at work
            if path.is_file() and text.encode() in path.read_bytes():
                holding.append(path)
    return holding


@pytest.fixture
def masked(start_service, tmp_path):
    (tmp_path / "key").write_text(KEY + "\n")
    return start_service(
        apidanalytics_mask="access_token: drop, request_uri: query, client_ip: truncate, client_id: hash",
        apidanalytics_mask_key_file=tmp_path / "key",
        apidanalytics_collection_interval="24h",
        apidanalytics_workers=1,
    )


def test_nothing_that_is_masked_is_on_disk_at_any_stage(masked, data_directory):
    body = json.dumps({"records": [RECORD]}).encode()
    headers = {"Content-Type": "application/json", "Idempotency-Key": "once"}
    for _ in range(2):
        assert masked.request("POST", "/analytics/testid", body, headers)[0] == 200
    assert found(data_directory, "OPEN-VALUE")  # so small a batch is stored as it is
    assert not [(secret, found(data_directory, secret)) for secret in SECRETS if found(data_directory, secret)]
    shown = masked.command("inspect", "--json", str(data_directory / "ax"))
    assert not [secret for secret in SECRETS if secret in shown.stdout + masked.log()]
    assert masked.terminate() == 0
    ((line,),) = masked.lake().values()
    assert not [secret for secret in SECRETS if secret.encode() in line]
    record = json.loads(line)
    assert "access_token" not in record
    assert (record["request_uri"], record["client_ip"], record["kept"]) == ("http://h/p", "192.0.2.0", "OPEN-VALUE")
    assert record["client_id"] == hmac.new(KEY.encode(), SECRETS[3].encode(), hashlib.sha256).hexdigest()


def test_a_key_that_is_missing_or_too_short_stops_the_start(start_service, tmp_path):
    (tmp_path / "key").write_text("short")
    service = start_service(
        ready=False, apidanalytics_mask="client_id: hash", apidanalytics_mask_key_file=tmp_path / "key"
    )
    wait_until(lambda: service.process.poll() is not None, what="it ends")
    assert service.process.returncode == 2
    assert "apidanalytics_mask_key_file: should hold at least 16 bytes" in service.log()
