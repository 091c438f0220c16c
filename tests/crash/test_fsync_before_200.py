"""Durability for real: in the trace of a worker's system calls, every 200 comes after the sync of its record.

A killed process cannot show this, as the kernel keeps what was written. The check is shown to fail where syncs do not
come first: with durability ``os``, and with a sync that only begins before the answer.
"""

import re
import threading

import pytest

from tests.crash.load import children
from tests.crash.syscalls import STRING_BYTES, TRACED, Strace, judge, parse
from tests.harness import ROOT

RECORD_ID = re.compile(r"flow-\d+-\d+")
PLANTED = ROOT / "tests" / "crash" / "planted"
CONNECTIONS = 8
POSTS = 12
SCOPES = ("testid", "7b1c4b9e-2a51-4a6b-9f0e-3d1f6f0f2c11")


@pytest.fixture
def traced(require_tool, start_quick, tmp_path):
    """Return what the system calls of a worker show while eight clients post at the same time."""
    strace = require_tool("strace")

    def trace(durability, environment=None):
        # Long enough that no spool is sealed meanwhile: that syncs it, and may do so between a write and its answer.
        service = start_quick(
            apidanalytics_durability=durability, apidanalytics_collection_interval=86_400, environment=environment
        )
        output = tmp_path / "trace"
        (worker,) = children(service.pid)
        arguments = ("--decode-fds=all", f"--string-limit={STRING_BYTES}", f"--trace={TRACED}")
        with Strace(strace, worker, *arguments, output=output):
            assert post_from_many(service) == [200] * CONNECTIONS * POSTS
        return judge(parse(output.read_text().splitlines()), RECORD_ID)

    return trace


def post_from_many(service):
    statuses = []

    def client(number):
        for post in range(POSTS):
            record = {"client_received_start_timestamp": 1, "gateway_flow_id": f"flow-{number}-{post}"}
            statuses.append(service.post(SCOPES[number % 2], [record])[0])

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


def test_with_durability_disk_no_200_leaves_before_a_sync_that_covers_its_record(traced):
    found = traced("disk")
    assert found.answers == CONNECTIONS * POSTS
    assert found.early == []
    # Several batches share a sync, so this is no accident of one sync for each.
    assert 0 < found.syncs < CONNECTIONS * POSTS


def test_with_durability_os_the_same_check_fails(traced):
    found = traced("os")
    assert found.answers == CONNECTIONS * POSTS
    assert len(found.early) == CONNECTIONS * POSTS


def test_with_an_ack_planted_before_the_write_the_same_check_fails(traced):
    found = traced("disk", {"PYTHONPATH": f"{PLANTED}:{ROOT / 'src'}", "PLANTED_MISTAKE": "ack_before_write"})
    assert found.early


BEGINS_EARLY = """
7 read(13<TCP:[a->b]>, "POST flow-1-1", 256000) = 13
8 pwrite64(15</tmp/0123456789ab.spool>, "flow-1-1", 8, 0) = 8
8 fdatasync(15</tmp/0123456789ab.spool> <unfinished ...>
7 write(13<TCP:[a->b]>, "HTTP/1.1 200 OK", 15) = 15
8 <... fdatasync resumed>) = 0
"""
WRITTEN_TOO_LATE = """
7 read(13<TCP:[a->b]>, "POST flow-1-1", 256000) = 13
8 fdatasync(15</tmp/0123456789ab.spool> <unfinished ...>
9 pwrite64(15</tmp/0123456789ab.spool>, "flow-1-1", 8, 0) = 8
8 <... fdatasync resumed>) = 0
7 write(13<TCP:[a->b]>, "HTTP/1.1 200 OK", 15) = 15
"""
FAILED = """
7 read(13<TCP:[a->b]>, "POST flow-1-1", 256000) = 13
8 pwrite64(15</tmp/0123456789ab.spool>, "flow-1-1", 8, 0) = 8
8 fdatasync(15</tmp/0123456789ab.spool>) = -1 EIO (Input/output error)
7 write(13<TCP:[a->b]>, "HTTP/1.1 200 OK", 15) = 15
"""


@pytest.mark.parametrize("trace", [BEGINS_EARLY, WRITTEN_TOO_LATE, FAILED])
def test_a_sync_that_has_not_ended_or_began_too_early_or_failed_covers_nothing(trace):
    assert judge(parse(trace.strip().splitlines()), RECORD_ID).early == ["flow-1-1"]
