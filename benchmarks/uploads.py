"""How fast the uploader is beside ``curl -T``: the same files, the same S3 server, the same number at a time.

The uploader asks the collection service for every URL; curl has them from before, and keeps its connections too.
"""

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import xxhash

from apidanalytics import layout
from apidanalytics.demo.seaweed import BUCKET, REGION, Seaweed
from apidanalytics.layout import BucketName, DataDirectory, FileName
from apidanalytics.model import StagedFile
from apidanalytics.upload.ledger import Ledger
from benchmarks.processes import cpu_seconds
from benchmarks.service import directory
from tests.acceptance.collection_process import GZIP, CollectionProcess, make_token

CONCURRENCY: Final = 4
TENANTS: Final = 10
_START: Final = 1_767_323_040


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The same files by curl, and then by the uploader."""

    seconds: float
    curl_seconds: float
    cpu_seconds: float
    """Of the uploader."""
    signing_cpu_seconds: float
    """Of the collection service."""
    peak_megabytes: float

    @property
    def speed(self) -> float:
        """How many times as fast as curl."""
        return self.curl_seconds / self.seconds


@dataclass(frozen=True, kw_only=True)
class Uploads:
    """One size of file, by both in turn; curl's own time may be twice as long from one minute to the next."""

    files: int
    """In each turn."""
    bytes: int
    """Of each."""
    pairs: list[Pair]
    """Slowest beside curl first."""

    @property
    def median(self) -> Pair:
        """The pair that counts."""
        return self.pairs[len(self.pairs) // 2]

    @property
    def peak_megabytes(self) -> float:
        """Largest memory of an uploader."""
        return max(pair.peak_megabytes for pair in self.pairs)


def measure(below: Path, files: int, size: int, *, pairs: int) -> Uploads:
    """Upload so many files of this size by curl and by the uploader in turn, to one store."""
    with directory(below) as folder, Seaweed(folder / "weed") as store, _collection(folder, store) as (service, token):
        made = [_measure(folder, store, service, token, (files, size), number) for number in range(pairs)]
    return Uploads(files=files, bytes=size, pairs=sorted(made, key=lambda pair: pair.speed))


def _measure(
    folder: Path, store: Seaweed, service: CollectionProcess, token: str, files_of: tuple[int, int], number: int
) -> Pair:
    assert service.process is not None
    files, size = files_of
    data = DataDirectory(folder / f"ax{number}")
    data.root.mkdir()
    staged = stage(data, files, size, salt=number)
    os.sync()  # what the disk owes from before is nobody's
    curl_seconds = _curl(folder, data, staged, store)
    os.sync()
    before = cpu_seconds([service.process.pid])
    took = _upload(service.url, token, data.root, files)
    signing = cpu_seconds([service.process.pid]) - before
    shutil.rmtree(data.root)
    return Pair(
        seconds=took["seconds"],
        curl_seconds=curl_seconds,
        cpu_seconds=took["cpu_seconds"],
        signing_cpu_seconds=signing,
        peak_megabytes=took["peak_megabytes"],
    )


@contextmanager
def _collection(folder: Path, store: Seaweed) -> Iterator[tuple[CollectionProcess, str]]:
    token, entry = make_token("bench", "*~*")
    where = {
        "type": "s3",
        "bucket": BUCKET,
        "region": REGION,
        "endpoint": store.endpoint,
        "addressing": "path",
        "access_key_id": store.access_key_id,
        "secret_access_key": store.secret_access_key,
    }
    configuration = {
        "listen": "127.0.0.1:0",
        "log_format": "json",
        "rate_limit": 1_000_000,
        "stores": {"s3": where},
        "tenants": [{"tenant": "*~*", "store": "s3"}],
        "tokens": [entry],
    }
    with CollectionProcess(folder, configuration) as service:
        yield service, token


def stage(data: DataDirectory, files: int, size: int, *, salt: int, in_directory: int = 1) -> list[StagedFile]:
    """Put files of random bytes where packing would, so many in a directory."""
    data.create()
    source = random.Random(salt)
    staged = [_write(data, n + salt * files, source.randbytes(size), in_directory) for n in range(files)]
    with Ledger.open(data.ledger, data.damaged, 0.0) as ledger:
        ledger.stage(staged, 0.0)
    return staged


def _write(data: DataDirectory, n: int, content: bytes, in_directory: int) -> StagedFile:
    start_at, tenant = _START + 120 * (n // TENANTS // in_directory), f"org{n % TENANTS}~prod"
    name = FileName(hash=f"{n % 65536:04x}", start_at=start_at, end_at=start_at + 120, instance_id="bench", n=n)
    folder = data.staging / str(BucketName(tenant=tenant, start_at=start_at))
    folder.mkdir(exist_ok=True)
    (folder / str(name)).write_bytes(content)
    return StagedFile(
        directory=folder.name,
        name=str(name),
        tenant=tenant,
        start_at=start_at,
        records=1,
        bytes=len(content),
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),
        xxh3=xxhash.xxh3_128_hexdigest(content),
    )


def _curl(folder: Path, data: DataDirectory, staged: list[StagedFile], store: Seaweed) -> float:
    """Have one curl put them all, so many at a time."""
    client = store.client()
    lines = []
    for file in staged:
        # The same depth and number of folders as the keys of the service.
        key = f"curl/{file.tenant}/{layout.format_object_path(file.name, file.start_at)}"
        asked = {"Bucket": BUCKET, "Key": key, "ContentType": GZIP}
        url = client.generate_presigned_url("put_object", Params=asked)
        path = data.staging / file.directory / file.name
        lines.append(f'url = "{url}"\nupload-file = "{path}"\noutput = "/dev/null"\n')
    plan = folder / "curl.txt"
    plan.write_text("".join(lines))
    options = ["--silent", "--no-progress-meter", "--show-error", "--fail", "--parallel"]
    options += ["--parallel-max", str(CONCURRENCY), "--header", f"Content-Type: {GZIP}", "--config", str(plan)]
    began = time.monotonic()
    subprocess.run(["curl", *options], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def _upload(endpoint: str, token: str, root: Path, files: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.uploading", endpoint, str(root), str(CONCURRENCY)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, input=token)
    took: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    if took["files"] != files:
        raise AssertionError(f"{files} files should be uploaded, {took['files']} are:\n{done.stdout}{done.stderr}")
    return took
