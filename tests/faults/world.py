"""Everything around the service that can be hurt: its disk, its clock, its store, its scopes, its settings."""

import os
import random
import struct
import subprocess
import threading
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest

from tests.faults.tenants import scopes_yaml
from tests.harness import ROOT, ServiceProcess, files_below
from tests.integration.faulty_store import TOKEN, FaultyStore

SHIFTED = ROOT / "tests" / "faults" / "shifted"
DISK_BYTES = 64 << 20
RESERVE_BYTES = 4 << 20


class Disk:
    """A small file system of its own, if this user may mount one."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        self._path = path
        options = ["-o", f"size={DISK_BYTES},mode=700"]
        done = subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", path], check=False, capture_output=True)
        self.is_small = done.returncode == 0
        if not self.is_small and os.environ.get("CI"):
            pytest.fail(f"cannot mount: {done.stderr.decode()}")
        self.data = path / "data"

    def fill(self) -> None:
        with (self._path / "filler").open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))

    def free(self) -> None:
        (self._path / "filler").unlink(missing_ok=True)

    def close(self) -> None:
        if self.is_small:
            subprocess.run(["umount", "--lazy", self._path], check=True)


class Clock:
    """The time of day that the service sees, and a record of what it saw."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(8))
        self._path = path
        self._jumps: list[tuple[float, float]] = [(0.0, 0.0)]
        self._lock = threading.Lock()

    @property
    def variables(self) -> dict[str, str]:
        return {"SHIFTED_CLOCK": str(self._path), "PYTHONPATH": f"{SHIFTED}:{ROOT / 'src'}"}

    @property
    def offset(self) -> float:
        return self._jumps[-1][1]

    def jump(self, offset: float) -> None:
        """Make it be this many seconds ahead of the real time."""
        with self._lock:
            self._jumps.append((time.time(), offset))
        with self._path.open("r+b", buffering=0) as file:
            file.write(struct.pack("d", offset))

    def times(self, first: float, last: float) -> list[tuple[float, float]]:
        """Return the stretches of its time of day between two instants of the real time."""
        with self._lock:
            jumps = [*self._jumps, (float("inf"), 0.0)]
        seen = []
        for (begun, offset), (ended, _) in pairwise(jumps):
            # A second either way: a jump is written down a moment before it counts.
            if begun - 1 <= last and first <= ended + 1:
                seen.append((first + offset, last + offset))
        return seen


class Scopes:
    """A scopes file that changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.generation = 0
        self._write()

    def change(self) -> None:
        self.generation += 1  # before it is there: nobody may see it earlier than the oracle
        self._write()

    def _write(self) -> None:
        part = self._path.with_suffix(".new")
        part.write_text(scopes_yaml(self.generation))
        part.rename(self._path)


class Settings:
    """The file of settings that reloads read."""

    SPOILT = "apidanalytics_no_such_thing"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.change(random.Random(0))

    def change(self, draw: random.Random) -> None:
        self._write(
            apidanalytics_workers=draw.choice((1, 2, 2)),
            apidanalytics_collection_interval=draw.choice((1, 1, 2)),
            apidanalytics_upload_concurrency=draw.choice((1, 4, 8)),
            apidanalytics_max_file_bytes=draw.choice(("20KB", "512MiB")),
            apidanalytics_spool_max_bytes=draw.choice(("64KiB", "1GiB")),
            apidanalytics_use_caching=draw.choice(("true", "true", "false")),
            apidanalytics_commit_linger=draw.choice(("0", "1ms", "5ms")),
            apidanalytics_flood_share=draw.choice(("0.5", "0.5", "0.5", "0.2", "1")),
        )

    def spoil(self) -> str:
        """Make them wrong, and return what they were."""
        good = self.path.read_text()
        self.path.write_text(f"{good}{self.SPOILT}: 1\n")
        return good

    def _write(self, **settings: object) -> None:
        self.path.write_text("".join(f"{key}: {value}\n" for key, value in settings.items()))


class World:
    """The service and all that is around it, from ``with`` on; ``close`` leaves nothing behind but the lake."""

    def __init__(self, directory: Path, free_port) -> None:
        self.lake = directory / "objects"
        self.disk = Disk(directory / "disk")
        self.clock = Clock(directory / "clock")
        self.scopes = Scopes(directory / "scopes.yaml")
        self.settings = Settings(directory / "settings.yaml")
        self.objects = FaultyStore(self.lake, free_port())
        self.collection = FaultyStore(directory / "none", free_port(), objects_url=self.objects.url)
        self.service = ServiceProcess(
            {
                "local_storage_path": self.disk.data,
                "api_listen": f"127.0.0.1:{free_port()}",
                "apidanalytics_uap_server_base": self.collection.url,
                "apigeesync_bearer_token": TOKEN,
                "apidanalytics_scopes_file": directory / "scopes.yaml",
                "apidanalytics_min_free_disk_bytes": RESERVE_BYTES if self.disk.is_small else 0,
                "apidanalytics_upload_interval": 1,
                "apidanalytics_upload_timeout": 4,
                "apidanalytics_failed_retry_interval": 1,
                "apidanalytics_overload_wait": 2,
                "apidanalytics_shutdown_timeout": 8,
                "apidanalytics_worker_timeout": 3,
                "apidanalytics_log_format": "json",
            },
            environment={**self.clock.variables, "APID_CONFIG_FILE": str(self.settings.path)},
            arguments=("run",),
            log_path=directory / "service.log",
        )

    def __enter__(self):
        for store in (self.objects, self.collection):
            store.__enter__()
            store.start()
        return self

    def __exit__(self, *error):
        self.service.close()
        for store in (self.objects, self.collection):
            store.__exit__()
        self.disk.close()

    def left(self) -> list[str]:
        """Return what of the data directory still waits to be delivered, or was set aside."""
        places = ("tmp", "sealed", "recovered", "staging", "failed", "damaged")
        data = self.service.directory / "ax"
        return [str(path.relative_to(data)) for place in places for path in files_below(data / place)]
