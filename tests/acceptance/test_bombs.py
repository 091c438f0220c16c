"""Bodies and names that mean harm, against a running service: a documented answer, no dead worker, nothing outside."""

import json
import urllib.parse

import pytest
from isal import igzip

from tests.harness import ServiceProcess

TRICKS = [
    "..",
    "../..",
    "a/b",
    "/etc",
    "~",
    "a~b",
    "a\\b",
    ".",
    "%2e%2e",
    "con\u202e",
    "a" * 80,
    "-rf",
    "a b",
    "*",
    "é",
]
START = '"client_received_start_timestamp":1'
MIB = 1 << 20


def zipped(body, times=1):
    for _ in range(times):
        body = igzip.compress(body, 1, mtime=0)
    return body


def record(members):
    return f'{{"records":[{{{START},{members}}}]}}'.encode()


JSON_BOMBS = {
    "arrays in arrays": (lambda: b'{"records":' + b"[" * 15 * MIB, 400),
    "objects in objects": (lambda: b'{"a":' * 2 * MIB, 400),
    "a number of a million digits": (
        lambda: b'{"records":[{"client_received_start_timestamp":%s}]}' % (b"9" * MIB),
        400,
    ),
    "a fraction of a million digits": (lambda: record(f'"client_received_end_timestamp":1.{"1" * MIB}'), 200),
    "a huge exponent": (lambda: b'{"records":[{"client_received_start_timestamp":1e%s}]}' % (b"9" * 1000), 400),
    "one name a million times": (lambda: record(",".join(['"organization":null'] * 700_000)), 413),
    "a million names": (
        lambda: record('"organization":null,' * 2 + ",".join(f'"{n}":1' for n in range(MIB))),
        413,
    ),
    "a key of 15 MB": (lambda: record(f'"client_id":"{"k" * 15 * MIB}"'), 200),
    "a string of backslashes": (lambda: record('"organization":null,"a":"' + "\\\\" * 7 * MIB + '"'), 200),
    "millions of records": (lambda: b'{"records":[' + b"{}," * 5 * MIB + b"{}]}", 413),
    "records a million times": (lambda: b"{" + b'"records":[],' * MIB + b'"records":[]}', 400),
}
GZIP_BOMBS = {
    "beyond the limit": (lambda: zipped(b" " * 130 * MIB), 413),
    "gzip in gzip": (lambda: zipped(b" " * 100 * MIB, 2), 400),
    "gzip in gzip in gzip": (lambda: zipped(b" " * 100 * MIB, 3), 400),
    "members beyond the limit": (lambda: zipped(b" " * 10 * MIB) * 14, 413),
    "empty members only": (lambda: zipped(b"") * 500_000, 400),
    "records beyond the limit": (lambda: zipped(b'{"records":[' + b"{}," * 20 * MIB + b"{}]}"), 413),
    "members of a record": (lambda: zipped(record(",".join(['"organization":null'] * 5_000_000))), 413),
}


@pytest.fixture(scope="module")
def service(tmp_path_factory, free_port):
    directory = tmp_path_factory.mktemp("tricks")
    scopes = [{"id": "testid", "org": "testorg", "env": "testenv", "tenant_id": "t"}]
    scopes += [{"id": f"id{n}", "org": one, "env": one, "tenant_id": f"t{n}"} for n, one in enumerate(TRICKS)]
    (directory / "scopes.yaml").write_text(json.dumps({"scopes": scopes}))
    settings = {
        "api_listen": f"127.0.0.1:{free_port()}",
        "local_storage_path": directory / "data",
        "apidanalytics_scopes_file": directory / "scopes.yaml",
        "apidanalytics_workers": 1,
        "apidanalytics_collection_interval": 1,
    }
    with ServiceProcess(settings) as service:
        service.start()
        yield service


def send(service, body, **headers):
    headers = {"Content-Type": "application/json", **headers}
    status, answer = service.request("POST", "/analytics/testid", body, headers, timeout_seconds=60)
    assert not answer or json.loads(answer)["errorCode"]
    return status


def test_no_bomb_kills_a_worker_or_gets_an_undocumented_answer(service):
    before = service.status()["workers"][0]
    for name, (body, status) in JSON_BOMBS.items():
        assert send(service, body()) == status, name
    for name, (body, status) in GZIP_BOMBS.items():
        assert send(service, body(), **{"Content-Encoding": "gzip"}) == status, name
    for encoding in ("gzip, gzip", "deflate", "br", "identity, gzip"):
        assert send(service, zipped(b"{}", 2), **{"Content-Encoding": encoding}) == 400
    after = service.status()["workers"][0]
    assert (after["pid"], after["restarts"]) == (before["pid"], before["restarts"])
    assert after["memory_bytes"] < 1 << 30


@pytest.mark.parametrize(
    "scope", ["..", "../testid", "%2e%2e", "..%2ftestid", "testid%00", "testid/..", "/testid", "%ff", "testid;a", ""]
)
def test_a_scope_is_a_name_and_no_path(service, scope):
    body = record('"a":1')
    status, answer = service.request("POST", f"/analytics/{scope}", body, {"Content-Type": "application/json"})
    assert status in {400, 404}
    assert json.loads(answer)["errorCode"] in {"UNKNOWN_SCOPE", "NOT_FOUND"}


def test_names_of_tenants_lead_nowhere_but_into_their_own_directory(service):
    for trick in TRICKS:
        body = json.dumps({"organization": trick, "environment": trick, "records": [json.loads(f"{{{START}}}")]})
        assert service.request("POST", "/analytics", body.encode(), {"Content-Type": "application/json"})[0] == 200
    parent = service.directory.parent
    around = {path.name for path in parent.iterdir()}
    service.wait_delivered(len(TRICKS))
    assert {path.name for path in parent.iterdir()} == around
    tenants = {path.name for path in (service.directory / "lake").iterdir() if "~" in path.name}
    decoded = {tuple(map(urllib.parse.unquote, name.split("~"))) for name in tenants}
    assert decoded - {("testorg", "testenv")} == {(trick, trick) for trick in TRICKS}
