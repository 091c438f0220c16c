"""What one signed URL costs the collection service: the whole request over a kept connection, audit entry included."""

import base64
import http.client
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from google.oauth2.service_account import Credentials

from benchmarks.processes import cpu_seconds
from benchmarks.service import directory
from tests.acceptance.collection_process import GZIP, CollectionProcess, make_token, path_of
from tests.contract.stores import service_account

WARM_UP = 50
ROUNDS = 5
"""One store after the other, so that drift meets all of them; the median counts."""

RSA: Final = "RSA alone"
"""Not a store: the one signature within a URL of ``gcs``, by such a key, of as many bytes as are signed there."""


@dataclass(frozen=True, kw_only=True)
class Signing:
    """One kind of store, or ``RSA``."""

    store: str
    urls: int
    cpu_seconds: float

    @property
    def microseconds(self) -> float:
        """CPU time per URL."""
        return self.cpu_seconds / self.urls * 1e6


def measure(below: Path, urls: int) -> list[Signing]:
    """Ask for so many URLs of each kind of store, over one connection."""
    with directory(below) as folder:
        token, entry = make_token("bench", "*~*")
        (folder / "account.json").write_text(service_account()[0])
        configuration = {
            "listen": "127.0.0.1:0",
            "log_format": "json",
            "rate_limit": 1_000_000,
            "stores": _stores(),
            "tenants": [{"tenant": f"acme~{name}", "store": name} for name in _stores()],
            "tokens": [entry],
        }
        with CollectionProcess(folder, configuration) as service:
            rounds = [
                [*(_measure(service, name, token, urls // ROUNDS) for name in _stores()), _rsa(urls // ROUNDS)]
                for _ in range(ROUNDS)
            ]
            return [sorted(row, key=lambda one: one.cpu_seconds)[ROUNDS // 2] for row in zip(*rounds, strict=True)]


def _stores() -> dict[str, dict[str, Any]]:
    return {
        "s3": {
            "type": "s3",
            "bucket": "analytics",
            "region": "eu-west-1",
            "access_key_id": "AK",
            "secret_access_key": "sk",
            "create_only": True,
        },
        "gcs": {"type": "gcs", "bucket": "analytics", "credentials_file": "account.json", "create_only": True},
        "gcs-by-hmac-key": {
            "type": "s3",
            "bucket": "analytics",
            "endpoint": "https://storage.googleapis.com",
            "access_key_id": "GOOG1E",
            "secret_access_key": "sk",
        },
        "azure": {
            "type": "azure",
            "account": "acct",
            "container": "analytics",
            "account_key": base64.b64encode(b"k" * 64).decode(),
        },
        "local": {"type": "local", "path": "lake"},
    }


def _measure(service: CollectionProcess, store: str, token: str, urls: int) -> Signing:
    parts = urlsplit(service.url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    for n in range(WARM_UP):
        _ask(connection, store, token, n)
    assert service.process is not None
    before = cpu_seconds([service.process.pid])
    for n in range(urls):
        _ask(connection, store, token, n)
    spent = cpu_seconds([service.process.pid]) - before
    connection.close()
    return Signing(store=store, urls=urls, cpu_seconds=spent)


def _rsa(signatures: int) -> Signing:
    account = Credentials.from_service_account_info(json.loads(service_account()[0]))  # type: ignore[no-untyped-call]
    before = time.thread_time()
    for n in range(signatures):
        account.sign_bytes(f"GOOG4-RSA-SHA256\n{n:0150}".encode())
    return Signing(store=RSA, urls=signatures, cpu_seconds=time.thread_time() - before)


def _ask(connection: http.client.HTTPConnection, store: str, token: str, n: int) -> None:
    asked = {"tenant": f"acme~{store}", "relative_file_path": path_of(n), "file_content_type": GZIP, "encrypt": "true"}
    connection.request("GET", f"/analytics?{urlencode(asked)}", headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200, answer.status
