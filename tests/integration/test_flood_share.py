"""A real service that holds back a tenant that floods while another one posts, and does so no longer than that."""

import http.client
import os
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

from apidanalytics.control.server import ask
from apidanalytics.service.stepping import ASIDE_NICENESS
from tests.crash.load import SCOPES, TENANTS, amounts, children
from tests.harness import ServiceProcess, wait_until
from tests.integration.test_overload import body_of

FLOOD, CALM = TENANTS
NOBODY = SimpleNamespace(scopes=["nobodys-scope"])
CONNECTIONS = 8


@contextmanager
def posting(service: ServiceProcess, tenant, connections: int, records_bytes: int):
    """Post on so many connections as fast as answers come, and count them by status."""
    found: Counter[int] = Counter()
    stop = threading.Event()
    body = body_of(records_bytes)
    path = f"/analytics/{tenant.scopes[0]}"
    host, _, port = service.settings["api_listen"].rpartition(":")

    def post() -> None:
        with closing(http.client.HTTPConnection(host, int(port), timeout=60)) as connection:
            while not stop.is_set():
                connection.request("POST", path, body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                response.read()
                found[response.status] += 1

    threads = [threading.Thread(target=post) for _ in range(connections)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def pushes_in(worker: int) -> Callable[[], bool]:
    """Tell whether the worker gets a core as soon as it wakes, which it does while it holds somebody back."""
    return lambda: os.sched_getscheduler(worker) == os.SCHED_OTHER


def has_counted_floods(service: ServiceProcess) -> bool:
    """Tell whether there was a flood of each kind, so that requests were held, and others had the express lane."""
    counters = ask(service.directory / "ax/control.sock", {"command": "metrics"})["counters"]
    return bool(all(counters["floods"].values()) and counters["held_back_so_far"] and counters["express_groups"])


def packs_aside(agent: int) -> bool:
    """Tell whether the agent has a thread that leaves the cores to others."""
    for thread in Path(f"/proc/{agent}/task").iterdir():
        with suppress(ProcessLookupError):  # it has ended meanwhile
            if os.getpriority(os.PRIO_PROCESS, int(thread.name)) == ASIDE_NICENESS:
                return True
    return False


def test_a_tenant_that_floods_is_held_back_while_another_posts_and_both_have_all_their_answers(start_service):
    service = start_service(
        apidanalytics_scopes_file=SCOPES,
        apidanalytics_workers=1,
        apidanalytics_collection_interval=1,
        apidanalytics_upload_interval=1,
        apidanalytics_flood_share="0.2",
    )
    (worker,) = children(service.pid)
    holds_back = pushes_in(worker)
    with posting(service, CALM, 1, 500) as calm_first:
        with posting(service, NOBODY, CONNECTIONS, 500) as refused:
            wait_until(holds_back, what="a flood of what is refused is held back")
            had, calmed = refused[400], calm_first[200]
            wait_until(lambda: refused[400] >= had + 50 and calm_first[200] >= calmed + 50, what="both go on")
        wait_until(lambda: not holds_back(), what="that flood is over")
    assert (set(refused), set(calm_first)) == ({400}, {200})
    with ExitStack() as flooding:
        flood = flooding.enter_context(posting(service, FLOOD, CONNECTIONS, 20_000))
        wait_until(lambda: flood[200] > CONNECTIONS and not holds_back(), what="the flood is served, and alone")
        with posting(service, CALM, 1, 500) as calm:
            wait_until(holds_back, what="the flood is held back")
            flooded, calmed = flood[200], calm[200]
            wait_until(lambda: flood[200] >= flooded + 50 and calm[200] >= calmed + 50, what="both go on")
            wait_until(lambda: packs_aside(service.pid), what="the agent packs aside")
        wait_until(lambda: not holds_back(), what="the flood is alone again")
    assert (set(flood), set(calm)) == ({200}, {200})
    stored = flood[200] + calm[200] + calm_first[200]
    wait_until(lambda: has_counted_floods(service), what="what was held back is counted")
    wait_until(lambda: amounts(service)["uploaded"] == stored, what="what was accepted, and nothing else, is delivered")
