"""Scope data from Apigee Sync at full size: how soon it counts, and what a look-up and a record cost then."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from apidanalytics.clock import SystemClock
from apidanalytics.control.server import NotRunningError, ask
from apidanalytics.model import Tenant
from apidanalytics.scopes.lookup import CachedScopes, UncachedScopes
from apidanalytics.scopes.ready import FILE_NAME
from benchmarks import drawn_keys, processes, sync_data
from benchmarks.service import directory, prepared
from benchmarks.sync_data import CLUSTER, TENANT, Size
from tests.apigeesync.accounts import APP, MAPPER
from tests.apigeesync.database import Database, Transaction
from tests.apigeesync.server import InThread, StandIn
from tests.apigeesync.tables import SELECTOR
from tests.apigeesync.values import Value
from tests.harness import ServiceProcess, wait_until

SHARE = 0.6
"""Of the usual length of a measurement, for a turn of those that are compared: short ones meet the same hour."""
CHANGES = 100
ROUNDS = 5
LOOKUPS = 20_000
FLOOD = 100_000


@dataclass(frozen=True, kw_only=True)
class Syncing:
    """What it took."""

    scopes: int
    api_keys: int
    megabytes: float
    """Length of the snapshot."""
    in_service_seconds: float
    """From its last byte until every worker answers from it."""
    change_milliseconds: float
    """From the commit of 100 changed API keys upstream until every worker has them; the longest of several."""
    app_change_milliseconds: float
    """The same with 100 changed apps, of which the workers look for the API keys in all that they remember."""
    worker_megabytes: float
    """Peak memory of the largest worker, after the load."""
    agent_megabytes: float
    few_keys_cpu: float
    """CPU seconds per million records with 10 keys, in the median of the turns."""
    all_keys_cpu: float
    """The same with all keys, drawn with a Zipf skew."""
    filling_cpu: float
    """The same before that, from the start of the workers on."""
    keys_ratios: list[float]
    """Cost of a record with all keys, in those with 10, for each pair of turns, in order of size."""
    workers_keys_ratio: float
    """The same of the workers alone, in the median."""
    cached_microseconds: float
    ready_microseconds: float
    """Not remembered by the worker, and ready-made."""
    uncached_microseconds: float
    """Asked of the database, as all are without caching."""
    unknown_microseconds: float
    flood_lookups: int
    """Questions to the database that 100,000 unknown scopes and 100,000 unknown keys caused."""

    @property
    def keys_ratio(self) -> float:
        """Cost of a record with all keys, in those with 10: the median of the pairs."""
        return median(self.keys_ratios)


def measure(below: Path, size: Size, seconds: float) -> Syncing:
    """Serve a snapshot of this size to a service, change it, and put load on it."""
    with directory(below) as folder:
        snapshot = folder / "snapshot.db"
        sync_data.write(snapshot, size)
        stand_in = StandIn(Database())
        stand_in.ready_made = snapshot
        with InThread(stand_in), _service(folder, stand_in) as service:
            service.start(ready=False)
            wait_until(lambda: _versions(service), timeout_seconds=300, pause_seconds=0.05, what="it is in service")
            in_service = time.time() - _status(service)["scopes"]["snapshot_at"]
            _wait_ready(service)
            drawn = drawn_keys.measure(service, size, SHARE * seconds)
            # Before the changes: after them the agent makes the ready answers anew, on the same cores.
            file = Path(_status(service)["scopes"]["path"])
            cached, ready, uncached, unknown, lookups = _lookups(file, size)
            keys, apps = _change(service, stand_in)
            workers = service.worker_pids()
            peaks = max(map(processes.peak_megabytes, workers)), processes.peak_megabytes(service.pid)
        return Syncing(
            scopes=size.scopes,
            api_keys=size.api_keys,
            megabytes=snapshot.stat().st_size / 1e6,
            in_service_seconds=in_service,
            change_milliseconds=keys * 1e3,
            app_change_milliseconds=apps * 1e3,
            worker_megabytes=peaks[0],
            agent_megabytes=peaks[1],
            few_keys_cpu=median(spent.everybody for spent in drawn.few),
            all_keys_cpu=median(spent.everybody for spent in drawn.every),
            filling_cpu=drawn.filling.everybody,
            keys_ratios=drawn.ratios,
            workers_keys_ratio=drawn.workers_ratio,
            cached_microseconds=cached,
            ready_microseconds=ready,
            uncached_microseconds=uncached,
            unknown_microseconds=unknown,
            flood_lookups=lookups,
        )


@contextmanager
def _service(folder: Path, stand_in: StandIn) -> Iterator[ServiceProcess]:
    base = stand_in.base_url
    settings = {
        "apidanalytics_scopes_file": "",
        "apigeesync_proxy_server_base": base,
        "apigeesync_snapshot_server_base": base,
        "apigeesync_change_server_base": base,
        "apigeesync_consumer_key": stand_in.tokens.key,
        "apigeesync_consumer_secret": stand_in.tokens.secret,
        "apigeesync_cluster_id": CLUSTER,
    }
    with prepared(folder, **settings) as service:
        yield service


def _status(service: ServiceProcess) -> dict:
    """Ask as `apidanalytics status` does, without a new process: what is timed takes milliseconds."""
    return ask(service.directory / "ax/control.sock", {"command": "status"})


def _workers(service: ServiceProcess) -> list[dict]:
    return list(_status(service).get("workers", ()))  # an agent that is starting cannot say yet


def _versions(service: ServiceProcess) -> bool:
    try:
        workers = _workers(service)
    except NotRunningError:
        return False
    return bool(workers) and all(worker.get("scopes") and worker.get("ready") for worker in workers)


def _wait_ready(service: ServiceProcess) -> None:
    """Wait until look-ups have what is made in the background: what is measured is how it is from then on."""
    file = Path(_status(service)["scopes"]["path"]).with_name(FILE_NAME)
    wait_until(file.exists, timeout_seconds=400, pause_seconds=0.5, what="answers are ready")
    time.sleep(2.0)


def _change(service: ServiceProcess, stand_in: StandIn) -> tuple[float, float]:
    """Return how long it takes until every worker has 100 new API keys, and 100 changed apps: the longest of several.

    Workers remember what they will by now.
    """
    rows = [_app(number) for number in range(CHANGES)]
    stand_in.database.load(APP, rows)

    def add_keys(round_: int, transaction: Transaction) -> None:
        for number in range(CHANGES):
            key = f"new-{round_}-{number}"
            ids = {"tenant_id": TENANT, "appcred_id": key, "app_id": key, "apiprdt_id": key}
            transaction.insert(MAPPER, **ids, status="APPROVED", **{SELECTOR: TENANT})

    def rename_apps(round_: int, transaction: Transaction) -> None:
        for row in rows:
            key = (row[column] for column in stand_in.database.tables[APP].key)
            transaction.update(APP, *key, name=f"renamed-{round_}")

    keys, apps = [], []
    for round_ in range(ROUNDS):
        keys.append(_until_all_have(service, stand_in, partial(add_keys, round_)))
        apps.append(_until_all_have(service, stand_in, partial(rename_apps, round_)))
    return max(keys), max(apps)


def _app(number: int) -> dict[str, Value]:
    """Return an app as it is in the snapshot: of those whose API keys come most often."""
    app, developer = sync_data.app_id(number), sync_data.developer_id(number)
    owned = {"tenant_id": TENANT, SELECTOR: TENANT}
    return {"id": app, "name": f"storefront-{number}", "developer_id": developer, **owned}


def _until_all_have(service: ServiceProcess, stand_in: StandIn, change: Callable[[Transaction], None]) -> float:
    time.sleep(0.5)
    before = {worker["sequence"] for worker in _workers(service)}
    with stand_in.database.transaction() as transaction:
        change(transaction)
    began = time.monotonic()
    while before & {worker["sequence"] for worker in _workers(service)}:
        time.sleep(0.002)
    return time.monotonic() - began


def _lookups(file: Path, size: Size) -> tuple[float, float, float, float, int]:
    """Return microseconds of a remembered, a ready, an uncached and an unknown look-up, and what a flood asks."""
    tenant = Tenant(org="o", env="e", tenant_id=TENANT)
    keys = [sync_data.api_key(number * 611_953 % size.api_keys) for number in range(LOOKUPS)]
    _read_through(file)
    with closing(UncachedScopes(file)) as uncached:
        cold = _each(lambda key: uncached.tails(tenant)[key], keys)
    scopes = CachedScopes(file, max_keys=100_000, refresh_interval=1800, clock=SystemClock())
    with closing(scopes):
        ready = _each(lambda key: scopes.tails(tenant)[key], keys)
        warm = _each(lambda key: scopes.tails(tenant)[key], keys)
        asked: list[str] = []
        scopes._database._connection.set_trace_callback(asked.append)  # noqa: SLF001 - what reaches it is counted
        unknown = _each(lambda key: scopes.tails(tenant)[key], [f"flood-{number}" for number in range(FLOOD)])
        _each(scopes.tenant, [f"flood-{number}" for number in range(FLOOD)])
    return warm, ready, cold, unknown, len(asked)


def _read_through(file: Path) -> None:
    """Have the file in the machine's memory, as one that is asked all day: what is timed is us, and not the disk."""
    with file.open("rb") as opened:
        while opened.read(1 << 20):
            pass


def _each(ask, keys) -> float:
    began = time.process_time()
    for key in keys:
        ask(key)
    return (time.process_time() - began) / len(keys) * 1e6
