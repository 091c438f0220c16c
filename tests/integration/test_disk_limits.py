"""Limits of the disk under real services: batches wait, then get 503; packing goes on; service resumes by itself."""

import json
import os
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from apidanalytics.layout import format_tenant
from apidanalytics.quota.decide import RESUME_AT
from tests.crash.load import SCOPES, TENANTS, amounts, status
from tests.harness import files_below, wait_until
from tests.integration.faulty_store import TOKEN, FaultyStore
from tests.small_disk import small_disk as a_small_disk

MIB = 1 << 20
FIRST, SECOND = TENANTS
NAME = format_tenant(FIRST.org, FIRST.env)
BATCH_BYTES = 200_000


@pytest.fixture
def store(data_directory, free_port):
    with FaultyStore(data_directory / "objects", free_port()) as store:
        yield store


@pytest.fixture
def start_with(start_service):
    """Return a function that starts the service against a store."""

    def start(store, directory, **settings):
        quick = {
            "local_storage_path": directory,
            "apidanalytics_uap_server_base": store.url,
            "apidanalytics_scopes_file": SCOPES,
            "apigeesync_bearer_token": TOKEN,
            "apidanalytics_collection_interval": 1,
            "apidanalytics_upload_interval": "0.2s",
            "apidanalytics_failed_retry_interval": 1,
            "apidanalytics_upload_attempts": 1,
            "apidanalytics_overload_wait": "300ms",
            "apidanalytics_min_free_disk_bytes": 0,
            "apidanalytics_workers": 2,
        }
        return start_service(**quick | settings)

    return start


@pytest.fixture
def small_disk(data_directory):
    """Return a folder on a file system of its own."""
    with a_small_disk(data_directory / "disk", megabytes=24) as path:
        yield path


class Gateway:
    """Posts batches that do not compress well, and counts the answers."""

    def __init__(self, service) -> None:
        self.service = service
        self.answers: Counter[tuple[str, int]] = Counter()
        self.errors: Counter[str] = Counter()
        self.reasons: set[str] = set()
        """Their beginnings."""
        self._random = random.Random(1)
        self._lock = threading.Lock()

    def post(self, tenant=FIRST) -> int:
        with self._lock:
            filler = self._random.randbytes(BATCH_BYTES // 2).hex()
        record = {"client_received_start_timestamp": 1_700_000_000_000, "filler": filler}
        code, body = self.service.post(tenant.scopes[0], [record])
        with self._lock:
            self.answers[tenant.env, code] += 1
            if body:
                error = json.loads(body)
                self.errors[error["errorCode"]] += 1
                self.reasons.add(error["reason"].partition(";")[0])
        return code

    def flood(self, batches: int) -> None:
        """Post so many at eight connections."""
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: self.post(), range(batches)))

    def fill(self, at_most: int = 400) -> None:
        """Post until nothing is taken any more."""
        for _ in range(at_most // 16):
            before = self.answers[FIRST.env, 200]
            self.flood(16)
            if self.answers[FIRST.env, 200] == before:
                return
        pytest.fail(f"never full: {self.answers}")

    @property
    def accepted(self) -> int:
        return sum(count for (_, code), count in self.answers.items() if code == 200)


def packed_bytes(service):
    """What the files that wait take of the disk; one that moves while we look may be missed."""
    sizes = {}
    for place in ("staging", "failed"):
        for path in files_below(service.directory / "ax" / place):
            with suppress(FileNotFoundError):
                sizes[path.name] = path.stat().st_blocks * 512
    return sum(sizes.values())


def problems(service):
    return " ".join((status(service) or {}).get("problems", []))


def assert_audited(service, arguments=()):
    result = service.command("audit", "--json", *arguments)
    assert result.returncode == 0, result.stdout
    return json.loads(result.stdout)["totals"]


def test_new_batches_leave_the_reserve_free_packing_goes_on_and_service_resumes_by_itself(
    small_disk, store, start_with, data_directory
):
    service = start_with(store, small_disk / "data", apidanalytics_min_free_disk_bytes=8 * MIB)
    gateway = Gateway(service)
    lowest, stop = [1 << 40], threading.Event()

    def watch():
        while not stop.wait(0.005):
            disk = os.statvfs(small_disk)
            lowest[0] = min(lowest[0], disk.f_bavail * disk.f_frsize)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        # A packed batch takes half of the room, so that it may be full for a moment only, again and again.
        wait_until(
            lambda: gateway.fill() or (not amounts(service)["spooled"] and service.request("GET", "/ready")[0] == 503),
            timeout_seconds=60,
            what="it is full, and all of it is packed, disk or no disk",
        )
        assert set(gateway.errors) == {"STORAGE_UNAVAILABLE"}
        assert gateway.reasons == {"The disk has no room for more"}
        wait_until(lambda: "apidanalytics_min_free_disk_bytes" in problems(service), what="the status says why")
    finally:
        stop.set()
        watcher.join()
    assert lowest[0] >= 7 * MIB, "no more than the ledger came out of the reserve"
    assert "pack.failed" not in service.log()
    assert "spool.refused" not in service.log()
    store.start()
    service.wait_ready()
    wait_until(lambda: gateway.post() == 200, what="batches are accepted again")
    service.wait_delivered(gateway.accepted)
    totals = assert_audited(service, ("--deep", "--lake", str(data_directory / "objects")))
    assert totals["uploaded"]["records"] == gateway.accepted


def test_a_tenant_over_its_share_waits_alone_until_its_files_are_delivered(store, start_with, data_directory):
    store.start()
    store.put_status = {f"{FIRST.org}~{FIRST.env}": 403}
    service = start_with(store, data_directory / "collector", apidanalytics_tenant_max_disk_bytes=MIB)
    gateway = Gateway(service)
    # A spooled byte counts twice, and once it is packed only once: it is over its share for good when what is packed
    # is above the low-water mark by itself. Beyond that mark nothing may be accepted any more.
    enough = RESUME_AT * MIB
    wait_until(lambda: gateway.flood(4) or packed_bytes(service) >= enough, what="its files take its share")
    wait_until(
        lambda: gateway.flood(1) or (NAME in problems(service) and not amounts(service)["spooled"]),
        what="it is over its share",
    )
    assert set(gateway.errors) <= {"STORAGE_UNAVAILABLE"}
    assert gateway.post() == 503
    assert "This tenant has used up its share of the disk" in gateway.reasons
    assert [gateway.post(SECOND) for _ in range(3)] == [200] * 3
    assert service.request("GET", "/ready")[0] == 200
    assert NAME in problems(service)
    store.heal()
    wait_until(lambda: gateway.post() == 200, what="its batches are accepted again")
    service.wait_delivered(gateway.accepted)
    assert_audited(service)


def test_with_drop_oldest_the_oldest_files_give_way_and_every_one_is_counted(store, start_with, data_directory):
    limits = {"apidanalytics_max_disk_bytes": 6 * MIB, "apidanalytics_full_policy": "drop_oldest"}
    service = start_with(store, data_directory / "collector", apidanalytics_overload_wait=30, **limits)
    gateway = Gateway(service)
    wait_until(
        lambda: gateway.flood(16) or amounts(service)["dropped"] > 10, pause_seconds=0.2, what="files are dropped"
    )
    assert gateway.answers[FIRST.env, 503] == 0, "whoever waited got room"
    store.start()
    wait_until(lambda: not sum(amounts(service)[s] for s in ("spooled", "staged", "failed")), what="delivered")
    totals = assert_audited(service, ("--lake", str(data_directory / "objects")))
    assert totals["accepted"]["records"] == gateway.accepted
    assert totals["dropped"]["records"] + totals["uploaded"]["records"] == gateway.accepted
    assert "disk.dropped" in service.log()
    assert "to make room" in problems(service)
