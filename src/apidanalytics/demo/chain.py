"""What ``demo --s3`` puts behind the collector: SeaweedFS, and the collection service that signs for it."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final, Self

import apidanalytics
from apidanalytics.demo.child import ServiceError, free_address
from apidanalytics.demo.seaweed import BUCKET, REGION, Seaweed

READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 20.0

_COMMAND: Final = (sys.executable, "-m", "apidanalytics", "collection")


class S3Chain:
    """A store with a bucket, and a collection service for some tenants; ``with`` starts and ends both."""

    def __init__(self, directory: Path, tenants: Iterable[str]) -> None:
        self._directory = directory
        self._tenants = tuple(tenants)
        self._store = Seaweed(directory / "seaweedfs")
        self._listen = free_address()
        self._process: subprocess.Popen[bytes] | None = None
        self._client: Any = None
        self._fetching = threading.Lock()  # a look that was given up may still go on in its thread
        self.log = directory / "collection.log"

    def __enter__(self) -> Self:
        try:
            self._store.start()
            self._client = self._store.client()
            self._start_collection()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if self._client is not None:
            self._client.close()
        self._store.stop()

    def environment(self) -> dict[str, str]:
        """Return the settings by which a collector delivers here."""
        return {
            "APID_APIDANALYTICS_UAP_SERVER_BASE": f"http://{self._listen}",
            "APID_APIGEESYNC_BEARER_TOKEN_FILE": str(self._token_file),
            "APID_APIDANALYTICS_ENCRYPT": "true",
        }

    def stop_collection(self) -> int:
        """Let the collection service drain; return its exit code."""
        assert self._process is not None, "not started"
        self._process.terminate()
        return self._process.wait(STOP_SECONDS)

    def read_back(self, lake: Path) -> int:
        """Read every object of the bucket into a folder that is empty before; return how many there are."""
        with self._fetching:
            shutil.rmtree(lake, ignore_errors=True)
            keys = list(self._objects())
            for key in keys:
                self._fetch(key, lake)
        return len(keys)

    def fetch_new(self, lake: Path) -> None:
        """Read the objects that are not in the folder yet: for a look in between."""
        with self._fetching:
            for key in self._objects():
                if not (lake / key).exists():
                    self._fetch(key, lake)

    def _objects(self) -> Iterator[str]:
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            yield from (entry["Key"] for entry in page.get("Contents", ()) if not entry["Key"].endswith("/"))

    def _fetch(self, key: str, lake: Path) -> None:
        part = lake / ".part"
        lake.mkdir(parents=True, exist_ok=True)
        part.write_bytes(self._client.get_object(Bucket=BUCKET, Key=key)["Body"].read())
        (lake / key).parent.mkdir(parents=True, exist_ok=True)
        part.rename(lake / key)

    @property
    def _token_file(self) -> Path:
        return self._directory / "collection-token"

    def _start_collection(self) -> None:
        config = self._directory / "collection.yaml"
        _write(config, json.dumps(self._configuration(self._make_token()), indent=2))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and package # nosec B603
                [*_COMMAND, "--config", str(config)],
                cwd=self._directory,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ServiceError("the collection service did not get ready", self.log)
            time.sleep(0.05)

    def _make_token(self) -> dict[str, object]:
        """Make a token as an operator does; return its entry for the configuration."""
        tenants = [word for tenant in self._tenants for word in ("--tenant", tenant)]
        made = subprocess.run(  # noqa: S603 - our own interpreter and package # nosec B603
            [*_COMMAND, "token", "--json", "--name", "demo", *tenants],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
        )
        answer = json.loads(made.stdout)
        _write(self._token_file, answer["token"])
        entry: dict[str, object] = answer["entry"]
        return entry

    def _configuration(self, token: dict[str, object]) -> dict[str, object]:
        """Return it as JSON, which YAML has in it."""
        store = {
            "type": "s3",
            "endpoint": self._store.endpoint,
            "addressing": "path",
            "bucket": BUCKET,
            "region": REGION,
            "access_key_id": self._store.access_key_id,
            "secret_access_key": self._store.secret_access_key,
            "create_only": True,
        }
        return {
            "listen": self._listen,
            "stores": {"seaweedfs": store},
            "tenants": [{"tenant": tenant, "store": "seaweedfs"} for tenant in self._tenants],
            "tokens": [token],
        }

    def _is_ready(self) -> bool:
        host, _, port = self._listen.partition(":")
        with closing(http.client.HTTPConnection(host, int(port), timeout=2)) as connection:
            try:
                connection.request("GET", "/ready")
                return connection.getresponse().status == http.client.OK
            except (OSError, http.client.HTTPException):
                return False


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(apidanalytics.__file__).parents[1])}


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
