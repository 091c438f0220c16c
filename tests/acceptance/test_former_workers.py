"""The workers of before a reload or an upgrade: while they drain they let in, and know, whom the new ones do."""

import json
import os
import signal
import socket

import pytest

from apidanalytics.access.tokens import hash_token
from tests.crash.load import status
from tests.harness import wait_until

SLOW = {
    "apidanalytics_workers": 1,
    "apidanalytics_collection_interval": 1,
    "apidanalytics_upload_interval": "0.2s",
    "apidanalytics_request_timeout": "120s",
    "apidanalytics_shutdown_timeout": "120s",
}


@pytest.mark.parametrize("number", [signal.SIGHUP, pytest.param(signal.SIGUSR2, marks=pytest.mark.soak)])
def test_a_worker_of_before_follows_scopes_and_tokens_while_it_drains(start_service, tmp_path, number):
    scopes, tokens = tmp_path / "scopes.yaml", tmp_path / "tokens.yaml"
    write_tenant(scopes, "acme")
    write_tokens(tokens, "kept", "revoked")
    service = start_service(**SLOW, apidanalytics_scopes_file=scopes, apidanalytics_api_tokens_file=tokens)
    with Half(service, "revoked") as refused, Half(service, "kept") as moved:
        change(service, number)
        write_tokens(tokens, "kept")
        wait_until(lambda: lines(service, "agent.tokens"), what="all workers are told of the tokens")
        before = published(service)
        write_tenant(scopes, "globex")
        wait_until(lambda: published(service) != before, what="the new tenant is published")
        wait_until(lambda: workers_on_latest(service) == 2, what="both workers know the new tenant")
        assert refused.finish() == 401
        assert moved.finish() == 200
    lake = service.directory / "lake"
    wait_until(lambda: any(lake.rglob("globex~prod")), what="the record came to its tenant")
    assert service.terminate() == 0


class Half:
    """A request whose body is half sent, on a connection that has been answered before."""

    def __init__(self, service, token):
        self._body = json.dumps({"records": [{"client_received_start_timestamp": 1}]}).encode()
        host, port = service.settings["api_listen"].split(":")
        self._connection = socket.create_connection((host, int(port)), timeout=60)
        head = (
            "POST /analytics/testid HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {token}\r\nContent-Length: {len(self._body)}\r\n\r\n"
        ).encode()
        self._connection.sendall(head + self._body)
        assert self._status() == 200
        self._connection.sendall(head + self._body[:10])

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._connection.close()

    def finish(self):
        """Send the rest, and return the status of the answer."""
        self._connection.sendall(self._body[10:])
        return self._status()

    def _status(self):
        return int(self._connection.recv(65536).split(b" ")[1])


def change(service, number):
    before = generation(service)
    os.kill(service.pid, number)
    wait_until(lambda: generation(service) > before, timeout_seconds=60, what="the new worker serves")


def generation(service):
    now = status(service)  # between two agents nobody answers
    return now["generation"] if now and now["ready"] else 0


def lines(service, event):
    found = [json.loads(line) for line in service.log().splitlines() if line.startswith("{")]
    return [line for line in found if line["event"] == event]


def published(service):
    return lines(service, "scopes.published")[-1]["version"]


def workers_on_latest(service):
    """Return how many workers say that they took up the version that was published last."""
    version = published(service)
    return sum(line["version"] == version for line in lines(service, "worker.scopes"))


def write_tenant(path, org):
    path.write_text(f"scopes:\n  - {{id: testid, org: {org}, env: prod, tenant_id: {org}}}\n")


def write_tokens(path, *names):
    entries = [f"  - {{name: {name}, hash: '{hash_token(name)}', tenants: ['*~*']}}\n" for name in names]
    path.write_text("tokens:\n" + "".join(entries))
    path.chmod(0o600)
