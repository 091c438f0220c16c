"""A real service that gets more than its disk takes: one tenant floods, another does not notice much of it."""

import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

from apidanalytics import failpoints
from tests.crash.load import SCOPES, TENANTS, amounts, children
from tests.harness import wait_until

FLOOD, CALM = TENANTS
WAITERS = 160
"""Of small batches: more than the disk takes in ``apidanalytics_overload_wait``, two in 60 ms."""
LARGE = 40
"""Of large ones: as many bytes as the worker must not hold at once."""
LARGE_BYTES = 900_000
MAX_INFLIGHT_BYTES = 4 << 20
READ_BYTES = 256 << 10
"""What one connection may bring at once, before it is known that there is no room."""
COPIES = 2
"""A body, and the lines made of it."""
SLACK_BYTES = 12 << 20


def body_of(size: int) -> bytes:
    record = {"client_received_start_timestamp": 1_700_000_000_000, "filler": "x" * (size - 100)}
    return json.dumps({"records": [record]}).encode()


def post(service, tenant, body: bytes) -> tuple[int, str, str | None]:
    """Return status, errorCode and Retry-After."""
    host, _, port = service.settings["api_listen"].rpartition(":")
    with closing(HTTPConnection(host, int(port), timeout=60)) as connection:
        path = f"/analytics/{tenant.scopes[0]}"
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
        return response.status, json.loads(text)["errorCode"] if text else "", response.headers["Retry-After"]


def peak_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def test_overload_waits_then_503_memory_is_bounded_another_tenant_is_served_and_it_ends_at_once(start_service):
    service = start_service(
        apidanalytics_scopes_file=SCOPES,
        apidanalytics_workers=1,
        apidanalytics_collection_interval=1,
        apidanalytics_upload_interval=1,
        apidanalytics_buffer_channel_size=2,
        apidanalytics_overload_wait="1s",
        apidanalytics_max_inflight_bytes=MAX_INFLIGHT_BYTES,
        environment={failpoints.VARIABLE: "spool.before_sync=sleep:0.06"},
    )
    (worker,) = children(service.pid)
    before = peak_bytes(worker)
    calm, stop = [], threading.Event()

    def be_calm() -> None:
        while not stop.is_set():
            calm.append(post(service, CALM, small))

    small, large = body_of(500), body_of(LARGE_BYTES)
    with ThreadPoolExecutor(WAITERS + 1) as threads:
        watching = threads.submit(be_calm)
        answers = Counter(threads.map(lambda _: post(service, FLOOD, small), range(WAITERS)))
        large_answers = Counter(threads.map(lambda _: post(service, FLOOD, large), range(LARGE)))
        stop.set()
        watching.result()

    assert set(answers) == {(200, "", None), (503, "OVERLOADED", "1")}, answers
    assert set(large_answers) <= set(answers)
    assert calm
    assert set(calm) == {(200, "", None)}, Counter(calm)
    bound = LARGE * READ_BYTES + COPIES * MAX_INFLIGHT_BYTES + SLACK_BYTES
    assert peak_bytes(worker) - before < bound < LARGE * LARGE_BYTES

    assert post(service, FLOOD, large)[0] == 200
    assert service.request("GET", "/ready")[0] == 200
    wait_until(lambda: "ingest.accepting_again" in service.log(), what="the end of it is logged")
    stored = len(calm) + answers[200, "", None] + large_answers[200, "", None] + 1
    wait_until(lambda: amounts(service)["uploaded"] == stored, what="what was accepted, and nothing else, is delivered")
