"""An apid_config.yaml as an apid installation has it drives the service: from first start to a changed scope."""

import gzip
import json
import math
import re
import subprocess
import sys
import time

import pytest

from tests.apigeesync import faults
from tests.apigeesync.accounts import CLUSTER, DEVELOPER, add_key, add_scope, example_database, remove_key, remove_scope
from tests.apigeesync.server import InThread, StandIn
from tests.harness import ROOT, ServiceProcess, wait_until
from tests.integration.faulty_store import FaultyStore

CONFIGURATION = """\
apigeesync_proxy_server_base: {sync}
apigeesync_snapshot_server_base: {sync}
apigeesync_change_server_base: {sync}/
apigeesync_consumer_key: {key}
apigeesync_consumer_secret: {secret}
apigeesync_cluster_id: {cluster}
apigeesync_instance_name: gateway-host-1
apigeesync_poll_interval: 5
apigeesync_snapshot_proto: sqlite
apidanalytics_uap_server_base: {uap}
apidanalytics_collection_interval: 1
apidanalytics_upload_interval: 1
local_storage_path: {directory}/var
api_listen: 127.0.0.1:{port}
log_level: debug
data_trace_log_level: error
db_config_max_conns: 10
"""
STAMP = int(time.time() * 1000)
WITHIN_SECONDS = 20.0  # a second is promised; this machine may be busy with other tests


class Installation:
    """What its user has: a file, a command, an address."""

    def __init__(self, directory, port, sync, uap):
        self.file = directory / "apid_config.yaml"
        tokens = sync.tokens
        self.file.write_text(
            CONFIGURATION.format(
                sync=sync.base_url, uap=uap, key=tokens.key, secret=tokens.secret, cluster=CLUSTER,
                directory=directory, port=port,
            )
        )  # fmt: skip
        settings = {"local_storage_path": directory / "home", "api_listen": f"127.0.0.1:{port}"}
        self.service = ServiceProcess(settings, arguments=("run", "--config", str(self.file)))
        self.service.variables = lambda: {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "src")}

    def command(self, *arguments):
        environment = {**self.service.variables(), "APID_CONFIG_FILE": str(self.file)}
        command = [sys.executable, "-m", "apidanalytics", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    def check(self, *names):
        return self.command("scopes", "check", *names).stdout

    def post(self, scope, **members):
        record = {"client_received_start_timestamp": STAMP, "client_received_end_timestamp": STAMP, **members}
        try:
            status, body = self.service.post(scope, [record])
        except ConnectionError:
            return "nobody listens"
        return status if status == 200 else (status, json.loads(body)["errorCode"], json.loads(body)["reason"])

    def wait_for(self, answer, scope, **members):
        """Wait for an answer and return how long that took."""
        started = time.monotonic()
        wait_until(lambda: self.post(scope, **members) == answer, timeout_seconds=60, what=f"{scope}: {answer}")
        return time.monotonic() - started


@pytest.fixture
def sync():
    with InThread(StandIn(example_database())) as thread:
        yield thread


@pytest.fixture
def store(free_port, tmp_path):
    with FaultyStore(tmp_path / "lake", free_port()) as store:
        store.start()
        yield store


def lines(store, tmp_path, tenant):
    found = []
    for path in sorted((tmp_path / "lake").glob(f"{tenant}/date=*/time=*/*.txt.gz")):
        found += map(json.loads, gzip.decompress(path.read_bytes()).splitlines())
    return found


def test_a_configuration_of_apid_drives_it_from_first_start_to_a_changed_scope(
    sync, store, free_port, data_directory, tmp_path
):
    upstream = sync.stand_in
    upstream.faults.add("data", faults.status(503), times=math.inf)
    installation = Installation(data_directory, free_port(), upstream, store.url)
    service = installation.service
    try:
        # Before the first snapshot
        service.start(ready=False)
        wait_until(lambda: upstream.asked("data"), what="it asks for a snapshot")
        refused = (500, "INTERNAL_SERVER_ERROR", "Service is not initialized completely")
        installation.wait_for(refused, "testid")
        assert service.request("GET", "/ready")[0] == 503
        assert service.request("GET", "/health")[0] == 200
        upstream.faults.clear()
        service.wait_ready()
        store.accepts = upstream.tokens.accepts
        installation.wait_for(200, "testid", client_id="testapikey", probe="first")  # of whichever worker it reaches

        # Scopes and keys change upstream
        unknown = (400, "UNKNOWN_SCOPE", "No tenant found for this scopeuuid: new")
        assert installation.post("new") == unknown
        add_scope(upstream.database, "new", "acme", "prod", "t1")
        add_key(
            upstream.database, "new-key", "t1", product="gold", app="shop", developer="ann", email="ann@acme.example"
        )
        assert installation.wait_for(200, "new", client_id="new-key", probe="early") < WITHIN_SECONDS
        text = installation.check("new")
        assert "acme" in text
        assert "prod" in text
        assert "apigee" in text.lower()
        listing = installation.command("scopes").stdout
        assert "testorg" in listing
        assert "acme" in listing
        assert installation.post("new", client_id="new-key", probe="second") == 200
        upstream.database.update(DEVELOPER, "t1", "annid", email="ann@new.example")
        remove_key(upstream.database, "testapikey", "tenantid")
        for key, address in (("new-key", "ann@new.example"), ("testapikey", "testdeveloper@test.com")):
            is_known = key == "new-key"
            wait_until(lambda k=key, a=address, i=is_known: (a in installation.check(k)) == i, what=f"{key} changed")
        assert installation.post("new", client_id="new-key", probe="third") == 200
        assert installation.post("testid", client_id="testapikey", probe="fourth") == 200
        remove_scope(upstream.database, "new")
        assert installation.wait_for(unknown, "new") < WITHIN_SECONDS

        # What was acknowledged is delivered, the removed scope's too
        wait_until(lambda: len(lines(store, tmp_path, "testorg~testenv")) >= 2, what="the first tenant's are there")
        wait_until(
            lambda: {"second", "third"} <= {r.get("probe") for r in lines(store, tmp_path, "acme~prod")},
            what="the removed scope's are there",
        )
        found = {
            r.get("probe"): r for tenant in ("testorg~testenv", "acme~prod") for r in lines(store, tmp_path, tenant)
        }
        assert found["first"]["developer_email"] == "testdeveloper@test.com"
        assert found["first"]["developer_app"] == "testapp"
        assert found["second"]["developer_email"] == "ann@acme.example"
        assert found["second"]["api_product"] == "gold"
        assert found["third"]["developer_email"] == "ann@new.example"
        assert found["fourth"]["developer"] == ""

        # Upstream goes away: it says so, and serves on, after a restart too
        failures = service.log().count("sync.failed")
        sync.stop()
        wait_until(lambda: service.log().count("sync.failed") > failures, what="the log says that upstream is away")
        known = status(installation)
        assert known["last_error"]
        assert known["source"]
        assert known["version"]
        assert re.fullmatch(r"[0-9a-f]+\.[0-9a-f]+\.[0-9a-f]+", known["sequence"])
        assert known["age_seconds"] >= 0
        assert known["last_contact_at"]
        assert installation.post("testid") == 200
        assert service.terminate() == 0
        service.restart()
        assert installation.post("testid") == 200
        assert installation.post("new") == unknown

        # Nothing secret was written
        written = (
            service.log()
            + installation.command("status", "--json").stdout
            + installation.command("check-config").stdout
        )
        for secret in (upstream.tokens.secret, *upstream.tokens.issued):
            assert secret not in written

        # Upstream comes back
        sync.serve()
        add_scope(upstream.database, "again", "acme", "prod", "t1")
        installation.wait_for(200, "again")
        assert service.terminate() == 0
    finally:
        service.close()


def status(installation):
    result = installation.command("status", "--json")
    return json.loads(result.stdout)["scopes"]
