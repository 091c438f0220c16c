"""A disk that is full or fails under a real service: an honest 503, nothing torn, and normal service afterwards."""

from contextlib import contextmanager

import pytest

from tests.crash.load import Load, assert_books_balance, children, first_true, wait_settled
from tests.crash.syscalls import Strace
from tests.harness import wait_until
from tests.posting import UNANSWERED
from tests.small_disk import small_disk as a_small_disk

QUICK = {
    "apidanalytics_collection_interval": 1,
    "apidanalytics_upload_interval": "0.2s",
    "apidanalytics_workers": 1,
    "apidanalytics_min_free_disk_bytes": 0,  # until the disk itself says no
}


def wait_refused(load):
    """Wait until the disk refuses every batch that comes."""

    def is_so():
        acknowledged, refused = load.acknowledged, load.refused_by_the_disk
        return not first_true(lambda: load.acknowledged > acknowledged, 0.5) and load.refused_by_the_disk > refused

    wait_until(is_so, what="batches are refused")


def readiness(service):
    return service.request("GET", "/ready")[0]


@pytest.fixture
def inject(require_tool):
    """Return a context in which system calls of a process fail as told."""
    strace = require_tool("strace")

    @contextmanager
    def failing(pid, *faults):
        calls = ",".join(fault.partition(":")[0] for fault in faults)
        with Strace(strace, pid, f"--trace={calls}", *(f"--inject={fault}" for fault in faults)):
            yield

    return failing


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(["pwrite64:error=ENOSPC"], id="every write says that the disk is full"),
        pytest.param(["fdatasync:error=EIO", "fsync:error=EIO"], id="every sync fails"),
    ],
)
def test_while_the_disk_refuses_batches_get_503_and_afterwards_service_is_normal(faults, start_service, inject):
    service = start_service(**QUICK)
    with Load(service, seed=1) as load:
        load.wait_acknowledged(100)
        (worker,) = children(service.pid)
        with inject(worker, *faults):
            wait_refused(load)
            assert readiness(service) == 503
        service.wait_ready()
        load.wait_acknowledged(100)
        load.stop()
    wait_settled(service)
    assert_books_balance(service, load.assert_conserved())
    assert children(service.pid) == [worker], "it lived through it"


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(["pwrite64:error=ENOSPC:when=2+3"], id="some writes"),
        pytest.param(["fdatasync:error=EIO:when=2+3"], id="some syncs of batches"),
        pytest.param(["fdatasync:error=EIO:when=2+5", "fsync:error=EIO:when=1+5"], id="some syncs of all kinds"),
        pytest.param(["fdatasync:error=EIO:when=2+5", "ftruncate:error=EIO:when=1+2"], id="some undoings"),
    ],
)
def test_where_the_disk_fails_now_and_then_what_was_refused_is_not_delivered_and_the_rest_is(
    faults, start_service, inject
):
    service = start_service(**QUICK)
    with Load(service, seed=2) as load:
        load.wait_acknowledged(100)
        (worker,) = children(service.pid)
        with inject(worker, *faults):
            wait_until(lambda: "spool.refused" in service.log(), what="the disk refuses a batch")
            load.wait_acknowledged(500)
        load.wait_acknowledged(100)
        load.stop()
    assert load.refused_by_the_disk or load.batches[UNANSWERED]
    # What could not be undone may be found by packing, so nobody may be told that it was refused.
    assert bool(load.batches[UNANSWERED]) == ("spool.cut_failed" in service.log())
    wait_settled(service)
    assert_books_balance(service, load.assert_conserved())


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(["fsync:error=EIO:when=1+3", "fdatasync:error=EIO:when=1+3"], id="some syncs fail"),
        pytest.param(["pwrite64:error=ENOSPC:when=3+4"], id="some writes of the ledger fail"),
        pytest.param(["linkat,link:error=EIO:when=1+2"], id="some links fail"),
    ],
)
def test_where_the_disk_fails_the_agent_now_and_then_nothing_is_lost_or_doubled(faults, start_service, inject):
    service = start_service(**QUICK)
    with Load(service, seed=3) as load:
        load.wait_acknowledged(100)
        with inject(service.pid, *faults):
            load.wait_acknowledged(2500)
        load.stop()
    wait_settled(service, 90)
    assert_books_balance(service, load.assert_conserved())


# -- a disk that is really full


@pytest.fixture
def small_disk(data_directory):
    """Return a folder on a file system of its own."""
    with a_small_disk(data_directory / "disk", megabytes=6) as path:
        yield path


def fill(path):
    with path.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def test_on_a_full_disk_batches_get_503_and_once_there_is_room_service_is_normal(small_disk, start_service):
    service = start_service(local_storage_path=small_disk / "data", **QUICK)
    with Load(service, seed=4) as load:
        load.wait_acknowledged(500)
        fill(small_disk / "filler")
        wait_refused(load)

        def stays_full():
            # A spool that is sealed gives its unused room back, and a small batch fits once more: take that, too.
            fill(small_disk / "filler")
            return not first_true(lambda: readiness(service) == 200, 2)

        wait_until(stays_full, what="the service is not ready any more, and stays so")
        (small_disk / "filler").unlink()
        service.wait_ready()
        load.wait_acknowledged(500)
        load.stop()
    wait_settled(service)
    assert_books_balance(service, load.assert_conserved())


def test_a_kill_on_a_full_disk_loses_nothing(small_disk, start_service):
    service = start_service(local_storage_path=small_disk / "data", **QUICK)
    with Load(service, seed=5) as load:
        load.wait_acknowledged(500)
        fill(small_disk / "filler")
        wait_refused(load)
        service.kill_all()
        (small_disk / "filler").unlink()
        service.restart()
        load.wait_acknowledged(200)
        load.stop()
    wait_settled(service)
    assert_books_balance(service, load.assert_conserved())
