"""The administration address as its users meet it: Prometheus, probes, scripts, browsers, and strange pages."""

import json
import shutil
import socket
import ssl
import tempfile
import urllib.request
from pathlib import Path
from urllib.parse import quote

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, assume, given, settings
from schemathesis import GenerationMode

import apidanalytics
from apidanalytics.admin.routes import ROUTES
from apidanalytics.config import SETTINGS
from apidanalytics.control.server import ask
from tests.acceptance.administration import CHANGE, Administration, administration_of
from tests.harness import ROOT, ServiceProcess, wait_until
from tests.integration.faulty_store import TOKEN, FaultyStore
from tests.integration.http_server import make_certificate

DESCRIPTION = ROOT / "src/apidanalytics/admin/openapi.yaml"
DOCUMENT = yaml.safe_load(DESCRIPTION.read_text())
OPERATIONS = [
    (path, method) for path, item in DOCUMENT["paths"].items() for method in ("get", "post") if method in item
]
RECORD = {"client_received_start_timestamp": 1700000000000}
ACME = "7b1c4b9e-2a51-4a6b-9f0e-3d1f6f0f2c11"
LONGEST_LINE = 6000
"""Bytes of a request's first line; some more than these are taken."""
QUIET = settings(
    max_examples=8,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def home():
    path = Path(tempfile.mkdtemp(prefix="apa-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def store(home, free_port):
    with FaultyStore(home / "objects", free_port()) as store:
        store.start()
        yield store


@pytest.fixture(scope="module")
def service(home, store, free_port):
    """One service for the whole module; its tests leave it well."""
    running = ServiceProcess(
        {
            "local_storage_path": home / "data",
            "api_listen": f"127.0.0.1:{free_port()}",
            "apidanalytics_admin_listen": f"127.0.0.1:{free_port()}",
            "apidanalytics_uap_server_base": store.url,
            "apigeesync_bearer_token": TOKEN,
            "apidanalytics_collection_interval": 1,
            "apidanalytics_workers": 2,
            "apidanalytics_metrics_tenants": 1,
            "apidanalytics_upload_attempts": 1,
        }
    )
    try:
        running.start()
        yield running
    finally:
        running.close()


@pytest.fixture
def admin(service, store):
    store.heal()
    admin = administration_of(service)
    if admin.get("/api/status")["uploads"]["paused_since"] is not None:
        admin.post("/api/uploads/resume")
    return admin


# The description.


def test_the_description_is_valid_served_and_of_this_version(admin):
    schemathesis.openapi.from_path(DESCRIPTION).validate()
    assert admin.get("/openapi.json") == DOCUMENT
    assert DOCUMENT["info"]["version"] == apidanalytics.__version__


def test_every_route_is_described_and_none_that_does_not_exist():
    described = {(method.upper(), path) for path, method in OPERATIONS if path.startswith("/api/")}
    assert described == {(route.method, route.path) for route in ROUTES}


def operation(admin, path, method):
    schema = schemathesis.openapi.from_path(DESCRIPTION)
    schema.config.update(base_url=admin.url)
    return schema[path][method]


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_answer_is_as_described(admin, path, method):
    @QUIET
    @given(case=operation(admin, path, method).as_strategy(generation_mode=GenerationMode.POSITIVE))
    def answered(case):
        response = case.call(headers=CHANGE)
        case.validate_response(response)
        assert response.status_code in {200, 404}, response.text

    answered()
    if method == "post":
        admin.post("/api/uploads/resume")


def pieces(value) -> list:
    """What of a generated parameter is in the query: nothing of what is empty."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [piece for one in inner for piece in pieces(one)]
    return [] if value is None else [value]


def is_sent_as_it_is(value) -> bool:
    """Whether a server can see that it is wrong: a list of one looks like that one."""
    return len(pieces(value)) > isinstance(value, list)


@pytest.mark.parametrize("path", ["/api/tenants", "/api/files", "/api/files/{id}", "/api/events", "/api/failed"])
def test_what_the_description_does_not_allow_is_refused_as_described(admin, path):
    @QUIET
    @given(case=operation(admin, path, "get").as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def refused(case):
        parameters = dict(case.query or {})
        assume(all(map(is_sent_as_it_is, parameters.values())))
        # A longer line is no request of HTTP, and refused before there is an API to do so.
        assume(len(quote(repr(parameters))) < LONGEST_LINE)
        response = case.call()
        case.validate_response(response)
        assert response.status_code in {400, 404, 405}, response.text

    refused()


# Metrics.


def test_the_metrics_count_what_was_sent_over_all_workers(admin, service):
    before = admin.settled_metrics()
    for _ in range(20):
        assert service.post("testid", [RECORD] * 5)[0] == 200
    assert service.post("unknown", [RECORD])[0] == 400
    name = "apidanalytics_accepted_records_total"
    admin.wait_metric(name, before[name] + 100)
    refused = 'apidanalytics_requests_total{code="UNKNOWN_SCOPE",status="400"}'
    admin.wait_metric(refused, before.get(refused, 0) + 1)
    after = admin.metrics()
    assert after[name] == before[name] + 100
    count = "apidanalytics_request_duration_seconds_count"
    assert after[count] == before.get(count, 0) + 20
    batches = "apidanalytics_commit_group_batches_sum"
    assert after[batches] == before.get(batches, 0) + 20
    assert after['apidanalytics_request_duration_seconds_bucket{le="+Inf"}'] == after[count]


def test_no_counter_goes_back_when_a_worker_is_replaced(admin, service):
    assert service.post("testid", [RECORD] * 3)[0] == 200
    admin.wait_metric("apidanalytics_accepted_records_total", 3)
    restarts = admin.metrics()["apidanalytics_worker_restarts_total"]
    seen = [admin.metrics()]
    service.kill_worker(0)
    wait_until(
        lambda: seen.append(admin.metrics()) or seen[-1]["apidanalytics_worker_restarts_total"] > restarts,
        what="the worker is replaced",
    )
    wait_until(lambda: admin.metrics()['apidanalytics_workers{state="running"}'] == 2, what="both workers run")
    seen.append(admin.metrics())
    counters = [name for name in seen[0] if "_total" in name or name.endswith(("_count", "_sum")) or "_bucket" in name]
    for name in counters:
        values = [metrics[name] for metrics in seen]
        assert values == sorted(values), name


def test_tenants_have_series_up_to_the_limit_and_all_others_are_counted_together(admin, service):
    service.post("testid", [RECORD])
    service.post(ACME, [RECORD])
    accepted = "apidanalytics_tenant_accepted_records_total"
    wait_until(lambda: f'{accepted}{{tenant="_other"}}' in admin.metrics(), what="a second tenant is counted")
    series = [name for name in admin.metrics() if name.startswith(accepted)]
    assert len(series) == 2


def test_openmetrics_is_spoken_where_it_is_asked_for(admin):
    _, headers, body = admin.request("GET", "/metrics", {"Accept": "application/openmetrics-text; version=1.0.0"})
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


# What is going on.


def test_the_way_of_a_file_can_be_followed_from_the_tenant_to_its_last_error(admin, service, store):
    store.put_status = {"acme~prod": 403}
    assert service.post(ACME, [RECORD] * 4)[0] == 200
    wait_until(lambda: admin.get("/api/tenants?only=trouble")["found"], what="the tenant is in trouble")
    assert service.post("testid", [RECORD])[0] == 200
    tenant = admin.get("/api/tenants/acme~prod")
    assert "403" in tenant["trouble"]
    assert (tenant["org"], tenant["env"]) == ("acme", "prod")
    # After the success of another tenant it is tried once more, and is not among the failed ones for that moment.
    found = []
    wait_until(lambda: found.extend(admin.get("/api/failed/acme~prod")["files"]) or found, what="it gave up for now")
    the_file = f"/api/files/{found[0]['id']}"
    known = admin.get(the_file)
    assert "403" in known["reason"]
    assert {attempt["result"] for attempt in known["recent_attempts"]} == {"refused"}
    status = admin.get("/api/status")
    sentences = [finding["text"] for finding in status["findings"] if finding["tenant"] == "acme~prod"]
    assert sentences[0].startswith("Uploads for acme~prod have failed for ")
    assert "403" in sentences[0]
    assert status["verdict"] == "warning"

    store.heal()
    wait_until(
        lambda: admin.post("/api/failed/acme~prod/retry")["files"] >= 1 or admin.get(the_file)["state"] == "uploaded",
        what="it is on its way",
    )
    wait_until(lambda: not admin.get("/api/failed")["files"], what="it is delivered")
    wait_until(lambda: admin.get(the_file)["state"] == "uploaded", what="it is uploaded")
    wait_until(lambda: admin.get("/api/status")["verdict"] == "well", what="all is well again")


def test_a_pause_holds_uploads_back_even_over_a_restart_until_it_is_resumed(admin, service):
    assert service.post(ACME, [RECORD])[0] == 200
    wait_until(lambda: admin.request("GET", "/api/tenants/acme~prod")[0] == 200, what="the tenant is known")
    admin.post("/api/tenants/acme~prod/pause")
    assert service.post(ACME, [RECORD])[0] == 200
    wait_until(lambda: admin.get("/api/files?tenant=acme~prod&state=staged")["files"], what="the file is staged")
    service.terminate()
    service.restart()
    assert admin.get("/api/tenants/acme~prod")["paused_since"] is not None
    assert service.post("testid", [RECORD])[0] == 200
    wait_until(lambda: admin.get("/api/files?tenant=testorg~testenv&state=uploaded")["files"], what="others are sent")
    assert admin.get("/api/files?tenant=acme~prod&state=staged")["files"]
    admin.post("/api/tenants/acme~prod/resume")
    wait_until(lambda: not admin.get("/api/files?tenant=acme~prod&state=staged")["files"], what="it is sent")


def test_all_uploads_can_be_paused_at_once(admin, service):
    admin.post("/api/uploads/pause")
    assert service.post("testid", [RECORD])[0] == 200
    wait_until(lambda: admin.get("/api/files?state=staged")["files"], what="the file is staged")
    assert any("paused by hand" in finding["text"] for finding in admin.get("/api/status")["findings"])
    assert admin.metrics()["apidanalytics_uploads_paused"] == 1
    admin.post("/api/uploads/resume")
    wait_until(lambda: not admin.get("/api/files?state=staged")["files"], what="it is sent")


def test_recent_events_are_those_of_the_agent_and_its_workers(admin):
    def speakers():
        return {line["process"] for line in admin.get("/api/events?limit=1000")["events"]}

    # What a worker logged comes with its next report.
    wait_until(lambda: {"agent", "worker-0", "worker-1"} <= speakers(), what="all have said something")
    events = admin.get("/api/events?limit=1000")
    assert admin.get(f"/api/events?after={events['last']}&level=error")["events"] == []


def test_settings_are_shown_with_their_origin_and_without_secrets(admin):
    shown = {line["key"]: line for line in admin.get("/api/settings")["settings"]}
    assert set(shown) == {row.key for row in SETTINGS}
    assert shown["apigeesync_bearer_token"]["value"] == "***"
    assert shown["apidanalytics_collection_interval"]["origin"].startswith("environment")


def test_no_secret_stands_in_any_answer(admin):
    for path in [*(route.path for route in ROUTES if route.method == "GET" and "{" not in route.path), "/metrics"]:
        assert TOKEN.encode() not in admin.request("GET", path)[2], path


def test_probes_say_whether_and_why(admin):
    assert admin.get("/health") == {"status": "alive"}
    assert admin.get("/ready") == {"ready": True, "reasons": []}


def test_the_commands_of_the_control_socket_have_the_same_answers(admin, service):
    control = service.directory / "ax" / "control.sock"
    by_socket = ask(control, {"command": "tenants", "search": "ACME"})
    by_http = admin.get("/api/tenants?search=ACME")
    assert [row["tenant"] for row in by_socket["tenants"]] == [row["tenant"] for row in by_http["tenants"]]
    assert ask(control, {"command": "tenants", "serch": "x"})["kind"] == "bad_request"
    assert ask(control, {"command": "nothing"})["kind"] == "not_found"


# Who is let in.


def test_what_changes_something_needs_a_header_that_no_other_page_can_send(admin):
    assert admin.request("POST", "/api/uploads/pause")[0] == 403
    for foreign in ("http://evil.example", "http://[", "null"):
        assert admin.request("POST", "/api/uploads/pause", {**CHANGE, "Origin": foreign})[0] == 403
    own = {**CHANGE, "Origin": admin.url}
    assert admin.request("POST", "/api/uploads/resume", own)[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:9001", "127.0.0.1.evil.example", "", "["])
def test_a_name_that_is_not_ours_is_refused(admin, host):
    assert admin.request("GET", "/api/status", {"Host": host})[0] in {400, 421}


@pytest.mark.parametrize("host", ["localhost:9001", "127.0.0.1", "[::1]:9001", "10.1.2.3:9001"])
def test_our_own_names_and_addresses_are_answered(admin, host):
    assert admin.request("GET", "/api/status", {"Host": host})[0] == 200


def test_answers_may_load_nothing_from_elsewhere_nor_be_framed(admin):
    for path in ("/metrics", "/api/status", "/nothing"):
        headers = admin.request("GET", path)[1]
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in headers


def test_other_paths_and_methods_are_refused_in_json(admin):
    status, _, body = admin.request("GET", "/nothing")
    assert (status, json.loads(body)) == (404, {"error": "Not Found"})
    status, headers, _ = admin.request("DELETE", "/api/status", CHANGE)
    assert status == 405
    assert "GET" in headers["Allow"]
    for query in ("tenants?command=pause", "tenants?offset=0&offset=1", "files?state=null", "failed?limit=NULL"):
        assert admin.request("GET", f"/api/{query}")[0] == 400, query
    assert admin.request("GET", f"/api/tenants/{quote('a%2F..%2F..~b', safe='')}")[0] == 404


def test_a_token_is_asked_for_where_there_is_one_and_a_new_one_counts_at_once(start_service, free_port, tmp_path):
    token = tmp_path / "token"
    token.write_text("first\n")
    address = f"127.0.0.1:{free_port()}"
    start_service(apidanalytics_admin_listen=address, apidanalytics_admin_token_file=token, apidanalytics_workers=1)
    admin = Administration(address)
    assert admin.request("GET", "/health")[0] == admin.request("GET", "/ready")[0] == 200
    status, headers, _ = admin.request("GET", "/metrics")
    assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
    for wrong in ("wrong", "\xff"):
        assert admin.request("GET", "/api/status", {"Authorization": f"Bearer {wrong}"})[0] == 401
    first, second = {"Authorization": "Bearer first"}, {"Authorization": "Bearer second-one"}
    assert admin.request("GET", "/api/status", first)[0] == 200
    assert admin.request("GET", "/api/status", {**first, "Host": "collector.example"})[0] == 200
    token.write_text("second-one")
    assert admin.request("GET", "/api/status", first)[0] == 401
    assert admin.request("GET", "/api/status", second)[0] == 200


def test_only_a_client_with_a_certificate_is_let_in_where_that_is_asked_for(
    start_service, free_port, tmp_path, require_tool
):
    certificate, key = make_certificate(require_tool("openssl"), tmp_path)
    address = f"127.0.0.1:{free_port()}"
    start_service(
        apidanalytics_admin_listen=address,
        apidanalytics_admin_tls_cert=certificate,
        apidanalytics_admin_tls_key=key,
        apidanalytics_admin_client_ca=certificate,
        apidanalytics_workers=1,
    )
    context = ssl.create_default_context(cafile=str(certificate))
    with pytest.raises((ssl.SSLError, OSError)):
        urllib.request.urlopen(f"https://{address}/health", context=context, timeout=60)
    context.load_cert_chain(certificate, key)
    with urllib.request.urlopen(f"https://{address}/api/status", context=context, timeout=60) as response:
        status = json.load(response)
    assert status["state"] == "running"
    assert [found["code"] for found in status["findings"]] == ["certificate_expires"]


def test_a_port_that_another_program_has_does_not_keep_batches_from_being_taken(start_service, free_port):
    address = f"127.0.0.1:{free_port()}"
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", int(address.rpartition(":")[2])))
        taken.listen()
        service = start_service(apidanalytics_admin_listen=address, apidanalytics_workers=1)
        assert service.post("testid", [RECORD])[0] == 200
        assert "admin.port_taken" in service.log()
        assert [found["code"] for found in service.status()["findings"]] == ["admin_port_taken"]
    admin = Administration(address)

    def answers():
        try:
            return admin.request("GET", "/health")[0] == 200
        except OSError:
            return False

    wait_until(answers, what="it listens once the port is free")
