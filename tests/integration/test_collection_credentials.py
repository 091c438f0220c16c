"""Credentials of the environment and the instance: found, renewed beside the requests, and missing without harm."""

import http.server
import json
import threading
from datetime import UTC, datetime, timedelta

import pytest

from apidanalytics.collection.ports import StoreUnavailableError
from apidanalytics.collection.s3 import S3Store
from tests.contract.stores import wanted


@pytest.fixture
def no_credentials(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    return monkeypatch


@pytest.fixture
def instance():
    """Serve credentials as a container's platform does; each time others, which are about to end."""
    served = []
    failing = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if failing.is_set():
                self.send_error(404)
                return
            served.append(self.path)
            ends_at = datetime.now(UTC) + timedelta(minutes=5)
            pair = {"AccessKeyId": f"AK{len(served)}", "SecretAccessKey": "sk", "Token": "session"}
            body = json.dumps(pair | {"Expiration": ends_at.strftime("%Y-%m-%dT%H:%M:%SZ")}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/credentials", served, failing
    server.shutdown()
    thread.join()
    server.server_close()


def test_without_any_credentials_there_is_no_url(no_credentials):
    store = S3Store(bucket="analytics", region="eu-west-1")
    with pytest.raises(StoreUnavailableError, match="no credentials"):
        store.refresh()
    with pytest.raises(StoreUnavailableError):
        store.sign(wanted("k"))


def test_the_environments_credentials_sign(no_credentials):
    no_credentials.setenv("AWS_ACCESS_KEY_ID", "AKENV")
    no_credentials.setenv("AWS_SECRET_ACCESS_KEY", "sk")
    store = S3Store(bucket="analytics", region="eu-west-1")
    store.refresh()
    assert "X-Amz-Credential=AKENV%2F" in store.sign(wanted("k")).url


def test_the_instances_credentials_are_renewed_by_refresh_and_never_by_sign(no_credentials, instance):
    url, served, _ = instance
    no_credentials.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
    store = S3Store(bucket="analytics", region="eu-west-1")
    store.refresh()
    seen = len(served)
    signed = store.sign(wanted("k")).url
    assert f"X-Amz-Credential=AK{seen}%2F" in signed
    assert "X-Amz-Security-Token=session" in signed
    for _ in range(3):
        store.sign(wanted("k"))
    assert len(served) == seen
    store.refresh()
    assert len(served) == seen + 1
    assert f"X-Amz-Credential=AK{seen + 1}%2F" in store.sign(wanted("k")).url


def test_credentials_that_cannot_be_renewed_stay_in_use(no_credentials, instance):
    url, served, failing = instance
    no_credentials.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
    no_credentials.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0.01)
    store = S3Store(bucket="analytics", region="eu-west-1")
    store.refresh()
    failing.set()
    with pytest.raises(StoreUnavailableError, match="no credentials"):
        store.refresh()
    assert f"X-Amz-Credential=AK{len(served)}%2F" in store.sign(wanted("k")).url
